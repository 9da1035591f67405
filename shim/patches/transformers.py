"""Hugging Face's Trainer, and those built on it (TRL's): configuration, metrics and checkpoints, without a logger.

Why: the Trainer has a `WandbCallback` only where the script has asked for it (`report_to`, "none" by default from 5.0
on), and that callback uploads checkpoints, if at all, within the training step. What it would have logged is told here,
in the methods of `CallbackHandler` by which the Trainer calls its callbacks: no callback of ours is in the script's
list.

What is relied on (transformers 5.24.0; read in 4.57.6 and 4.40.0, too):
- transformers/integrations/integration_utils.py, `WandbCallback`: its rows, its summary, its configuration;
- transformers/trainer.py, `_maybe_log_save_evaluate`: evaluation, then `_save_checkpoint`, then `on_save`.
  `_save_checkpoint` writes `trainer_state.json` as the last file of the checkpoint, by `TrainerState.save_to_json`, and
  deletes older checkpoints right after that (`rotate_checkpoints`); which one is the best is known by then.
  `save_total_limit=1` deletes once more at the end, after the log that has `train_runtime` (`_finalize_training`);
- `_load_optimizer_and_scheduler(checkpoint)`: called where a training is resumed, whatever holds the weights;
- `save_model(output_dir)`: called by the script, unless `_internal_call` is set.

The journal lies in the output directory under a name that `push_to_hub` leaves out ("_*").

Where the script's own WandbCallback makes artifacts (WANDB_LOG_MODEL), there are none of ours for the same files.

Remove when: never.
"""

from __future__ import annotations

import copy
import os
import re
import weakref
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ..checkpoint import JOURNAL_NOT_PUSHED, Checkpoint
from ..script import checkpoints, content
from . import wrapping
from .liveness import Liveness

MODULE = "transformers.trainer_callback"

# Names that WandbCallback puts into the summary, and into no row.
_SINGLE_VALUES = frozenset(
    ["train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos"]
)
_STEP = "train/global_step"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
# The number of last logs in which the metrics of a checkpoint are looked for.
_LOGS_OF_A_CHECKPOINT = 16

# The callback handlers of the Trainers whose configuration has been told.
_told: weakref.WeakSet[Any] = weakref.WeakSet()
# The directory into which the Trainer's state was written last, and how many checkpoints the Trainer keeps.
_written_in = ""
_kept: int | None = None
# What is being logged, as it was before any callback has seen it.
_logs: dict[str, Any] = {}


def apply(module: ModuleType) -> bool:
    """Watch what `module` holds of the Trainer; once, and only in a shape that is known."""
    known = True
    for owner_name, watchers in WATCHED.get(module.__name__, {}).items():
        owner = getattr(module, owner_name, None)
        for name, then in watchers.items():
            title = f"{owner_name}.{name} of transformers"
            first = _before_log if name == "on_log" else None
            if owner is None or not wrapping.after(owner, name, then, title=title, first=first):
                _liveness.unknown(f"there is no {module.__name__}.{owner_name}.{name}")
                known = False
    return known


def _on_train_begin(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    global _kept
    handler, arguments, state = _event(args, kwargs)
    _kept = arguments.save_total_limit
    if not state.is_world_process_zero:
        return
    _set_up(handler, arguments)
    if checkpoints.has_run():
        directory = os.path.abspath(arguments.output_dir)
        _liveness.watch(directory)
        checkpoints.recover(directory)


def _before_log(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Keep what is logged, as WandbCallback sees it: a later callback takes names out (`PrinterCallback.on_log`)."""
    global _logs
    _logs = dict(wrapping.argument(args, kwargs, 4, "logs"))


def _on_log(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    handler, arguments, state = _event(args, kwargs)
    if not state.is_world_process_zero:
        return
    if handler not in _told:
        _set_up(handler, arguments)
    logs = _logs
    single = {name: value for name, value in logs.items() if name in _SINGLE_VALUES}
    if single:
        content.summary(single)
        if arguments.save_total_limit == 1:
            checkpoints.settle()  # the checkpoints that are not the best are deleted next
    content.metrics({**_as_logged(logs), _STEP: state.global_step})


def _on_predict(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    handler, arguments, state = _event(args, kwargs)
    if state.is_world_process_zero:
        if handler not in _told:
            _set_up(handler, arguments)
        content.metrics(_as_logged(wrapping.argument(args, kwargs, 4, "metrics")))


def _on_state_written(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The checkpoint is complete now, and older ones may be deleted next."""
    global _written_in
    _written_in = os.path.dirname(os.path.abspath(wrapping.argument(args, kwargs, 1, "json_path")))
    if _kept:
        checkpoints.settle()


def _on_save(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    handler, arguments, state = _event(args, kwargs)
    if not state.is_world_process_zero or not checkpoints.has_run():
        return
    _liveness.called()
    if _made_by_wandb_callback(handler) == "checkpoint":
        return
    name = f"checkpoint-{state.global_step}"
    # In a search for hyperparameters each trial has a directory of its own, which the Trainer alone knows.
    within = os.path.basename(_written_in) == name
    path = _written_in if within else os.path.join(os.path.abspath(arguments.output_dir), name)
    if os.path.isdir(path):
        best = state.best_model_checkpoint
        is_best = best is not None and os.path.abspath(best) == path
        aliases = (name, "latest", "best") if is_best else (name, "latest")
        checkpoints.saved(_checkpoint(path, os.path.dirname(path), state.global_step, aliases, _metrics(state)))


def _on_save_model(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The script has trained a model, and saves it."""
    trainer = args[0]
    state = trainer.state
    internal = wrapping.argument(args, kwargs, 2, "_internal_call")
    if internal or not state.is_world_process_zero or not checkpoints.has_run():
        return
    # A model that is saved within the training is saved by a callback; and WandbCallback makes a Trainer that has
    # trained nothing, to save the model for itself.
    if (
        getattr(trainer, "is_in_train", False)
        or not state.global_step
        or _made_by_wandb_callback(trainer.callback_handler)
    ):
        return
    path = os.path.abspath(wrapping.argument(args, kwargs, 1, "output_dir") or trainer.args.output_dir)
    if os.path.isdir(path):
        place = os.path.abspath(trainer.args.output_dir)
        journal_in = place if os.path.isdir(place) else path
        aliases = ("final", "latest")
        checkpoints.saved(_checkpoint(path, place, state.global_step, aliases, _metrics(state), journal_in))


def _on_resume(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    trainer = args[0]
    given = wrapping.argument(args, kwargs, 1, "checkpoint")
    if given is None or not trainer.state.is_world_process_zero or not checkpoints.has_run():
        return
    path = os.path.abspath(given)
    found = _CHECKPOINT.fullmatch(os.path.basename(path))
    place = os.path.dirname(path) if found else path
    checkpoints.recover(place)
    aliases = (os.path.basename(path),) if found else ("final",)
    read = _checkpoint(path, place, int(found[1]) if found else trainer.state.global_step, aliases, {})
    checkpoints.loaded(read.name, read)


def _event(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The handler, the TrainingArguments and the TrainerState of a call to an event's method."""
    return args[0], wrapping.argument(args, kwargs, 1, "args"), wrapping.argument(args, kwargs, 2, "state")


def _set_up(handler: Any, arguments: Any) -> None:
    """Tell what WandbCallback.setup would tell of a Trainer before its first row."""
    _told.add(handler)
    content.tells("transformers")
    if content.wanted(content.CONFIG):
        content.config(_configuration(handler.model, arguments), under="transformers")
    content.define(_STEP)
    content.define("*", step_metric=_STEP, step_sync=True)


def _configuration(model: Any, arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if getattr(model, "peft_config", None) is not None:
        found["peft_config"] = model.peft_config
    if getattr(model, "config", None) is not None:
        found.update(model.config if isinstance(model.config, dict) else model.config.to_dict())
    # `to_dict` changes the dicts that it finds, in which it makes text of data types (`_dict_dtype_to_str`): they are
    # the script's own, so it gets copies.
    copied = copy.copy(arguments)
    vars(copied).update({name: _copied(value) for name, value in vars(arguments).items() if type(value) is dict})
    found.update(copied.to_dict())
    if hasattr(model, "num_parameters"):
        found["model/num_parameters"] = model.num_parameters()
    return found


def _copied(value: Any) -> Any:
    return {name: _copied(held) for name, held in value.items()} if type(value) is dict else value


def _as_logged(logs: Mapping[str, Any]) -> dict[str, Any]:
    """The logs by the names that `rewrite_logs` gives them."""
    named: dict[str, Any] = {}
    for name, value in logs.items():
        if name.startswith("eval_"):
            named[f"eval/{name[5:]}"] = value
        elif name.startswith("test_"):
            named[f"test/{name[5:]}"] = value
        elif name not in _SINGLE_VALUES:
            named[f"train/{name}"] = value
    return named


def _metrics(state: Any) -> dict[str, Any]:
    """The last value of each name in the last logs."""
    found: dict[str, Any] = {}
    for logs in state.log_history[: -_LOGS_OF_A_CHECKPOINT - 1 : -1]:
        found = {**logs, **found}
    found.pop("step", None)
    return found


def _checkpoint(
    path: str, place: str, step: int, aliases: tuple[str, ...], metrics: Mapping[str, Any], journal_in: str = ""
) -> Checkpoint:
    """The checkpoint at `path`, of a Trainer whose checkpoints lie in `place`."""
    journal = os.path.join(journal_in or place, JOURNAL_NOT_PUSHED)
    return Checkpoint(path, os.path.basename(place), step, "step", aliases, metrics, journal)


def _made_by_wandb_callback(handler: Any) -> str:
    """Which artifacts the script's own WandbCallback makes: "checkpoint", "end", or "" for none."""
    for callback in handler.callbacks:
        if type(callback).__name__ == "WandbCallback":
            wanted = getattr(callback, "_log_model", None)
            wanted = str(getattr(wanted, "value", wanted)).lower()
            return wanted if wanted in ("checkpoint", "end") else ""
    return ""


# For each module and class, the methods that are watched, each with the function that is called then.
WATCHED: Mapping[str, Mapping[str, Mapping[str, Callable[[Any, tuple[Any, ...], dict[str, Any]], None]]]] = {
    MODULE: {
        "CallbackHandler": {
            "on_train_begin": _on_train_begin,
            "on_log": _on_log,
            "on_predict": _on_predict,
            "on_save": _on_save,
        },
        "TrainerState": {"save_to_json": _on_state_written},
    },
    "transformers.trainer": {
        "Trainer": {"save_model": _on_save_model, "_load_optimizer_and_scheduler": _on_resume},
    },
}

_liveness = Liveness("transformers", "transformers", f"{MODULE}.CallbackHandler.on_save", "transformers")
