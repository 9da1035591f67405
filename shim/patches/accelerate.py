"""Accelerate: what a script gives to its trackers, also where it has no trackers, and the states that it saves.

Why: `Accelerator.log` and `init_trackers` hand their arguments to the trackers of `log_with` alone, and no tracker
knows of `save_state`. Hugging Face's Trainer has an Accelerator of its own, and calls none of these methods
(transformers 5.24.0).

What is relied on (accelerate 1.15.0, accelerate/accelerator.py; read in 0.34.2 and 0.30.0, too):
- `log` gives `values` and `step` to each tracker, `WandBTracker.log` to `run.log`;
- `save_state` returns the directory, ends with `project_configuration.iteration += 1`, and with
  `automatic_checkpoint_naming` begins by deleting older states (`total_limit`). It and `load_state` take every name in
  `project_dir/checkpoints` for a state with a number, so a journal must not lie there;
- `load_state` gives the directory to `load_accelerator_state`, as the first argument.

Remove when: never.
"""

from __future__ import annotations

import os
import re
from types import ModuleType
from typing import Any

from ..checkpoint import JOURNAL, Checkpoint
from ..script import checkpoints, content
from . import wrapping
from .liveness import Liveness

MODULE = "accelerate.accelerator"

# Names with a number: `step_500`, `checkpoint-500`, `epoch_3`.
_NUMBERED = re.compile(r"(?:.*\D)?(\d+)")
# The directory below the project's that `automatic_checkpoint_naming` saves in.
_AUTOMATIC = "checkpoints"


def apply(module: ModuleType) -> bool:
    """Watch the Accelerator; once, and only in a shape that is known."""
    accelerator: Any = getattr(module, "Accelerator", None)
    watched = (
        (accelerator, "log", _on_log, _before_log),
        (accelerator, "init_trackers", _on_init_trackers, None),
        (accelerator, "save_state", _on_save_state, _before_save_state),
        (module, "load_accelerator_state", _on_load_state, None),
    )
    missing = [
        name
        for owner, name, then, first in watched
        if owner is None or not wrapping.after(owner, name, then, title=f"{name} of accelerate", first=first)
    ]
    if missing:
        _liveness.unknown(f"{MODULE} has no {' and '.join(missing)}")
    return not missing


def _before_log(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    content.tells("accelerate")


def _on_log(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if args[0].is_main_process:
        values = wrapping.argument(args, kwargs, 1, "values")
        content.metrics(values, step=wrapping.argument(args, kwargs, 2, "step"))


def _on_init_trackers(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    values = wrapping.argument(args, kwargs, 2, "config")
    if values and content.wanted(content.CONFIG) and args[0].is_main_process:
        content.config(values, under="accelerate")


def _before_save_state(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if args[0].project_configuration.total_limit:
        checkpoints.settle()


def _on_save_state(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    accelerator = args[0]
    if accelerator.is_main_process and checkpoints.has_run():
        path = os.path.abspath(result)
        name = os.path.basename(path)
        saves = accelerator.project_configuration.iteration
        checkpoints.saved(_checkpoint(path, saves, (name, "latest")))


def _on_load_state(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if checkpoints.has_run():
        path = os.path.abspath(wrapping.argument(args, kwargs, 0, "input_dir"))
        read = _checkpoint(path, 0, (os.path.basename(path),))
        checkpoints.recover(os.path.dirname(read.journal))
        checkpoints.loaded(read.name, read)


def _checkpoint(path: str, saves: int, aliases: tuple[str, ...]) -> Checkpoint:
    """The checkpoint at `path`; its step is the number in its name, else the number of saves so far."""
    name, place = os.path.basename(path), os.path.dirname(path)
    if os.path.basename(place) == _AUTOMATIC:
        place = os.path.dirname(place)
    found = _NUMBERED.fullmatch(name)
    step = int(found[1]) if found else saves
    step_name = "save" if not found else "epoch" if name.startswith("epoch") else "step"
    return Checkpoint(path, os.path.basename(place), step, step_name, aliases, journal=os.path.join(place, JOURNAL))


_liveness = Liveness("accelerate", "accelerate", f"{MODULE}.Accelerator.save_state", "")
