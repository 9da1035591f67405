"""Keras: each epoch of `fit` is a row of the run, as W&B's own callback logs it; ModelCheckpoint's files are artifacts.

What is relied on (keras 3.15.1, which tensorflow 2.16 and later have as `tf.keras`):
- callbacks/callback_list.py, `CallbackList.on_train_begin` and `on_epoch_end`: `fit` calls them on every backend, and
  the latter makes numbers of all figures, so that nothing waits for the accelerator because of us;
- callbacks/model_checkpoint.py, `ModelCheckpoint._save_model`: decides whether to save, and does not say so, but the
  file then has changed. `_should_save_model` names its caller in warnings, and is left alone, as is BackupAndRestore;
- callbacks/tensorboard.py, `TensorBoard`: writes the same figures to `train` and `validation` in its `log_dir`, under
  names that begin with `epoch_`.

The rows are those of wandb/integration/keras/callbacks/metrics_logger.py, the aliases those of model_checkpoint.py
there. Where the script has a WandbModelCheckpoint, its artifacts are its own.

Remove when: never.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ..checkpoint import Checkpoint
from ..script import checkpoints, content
from . import wrapping
from .naming import absolute, collection_of, local

MODULES = ("keras.src.callbacks.callback_list", "keras.src.callbacks.model_checkpoint")

_TITLE = "what Keras trains"
_A_CHECKPOINT = "a checkpoint of Keras"
_SUFFIXES = (".keras", ".weights.h5", ".h5")

# Paths of the checkpoints that this process has saved.
_saved: set[str] = set()
# The file that may be saved next, and its state before.
_before: tuple[str, Any] = ("", None)
# Whether it has been told over which metric the others are drawn.
_defined = False


def apply(module: ModuleType) -> None:
    """Watch what `fit` tells all callbacks, or what a ModelCheckpoint saves.

    Raises:
        AttributeError: This release has nothing of the shape that is known.
    """
    if module.__name__ == MODULES[0]:
        wrapping.required(module.CallbackList, "on_train_begin", _on_begin, title=_TITLE, first=_before_begin)
        wrapping.required(module.CallbackList, "on_epoch_end", _on_epoch, title=_TITLE)
    else:
        wrapping.required(module.ModelCheckpoint, "_save_model", _on_save, title=_A_CHECKPOINT, first=_before_save)


def _before_begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for callback in args[0].callbacks:
        directory = getattr(callback, "log_dir", None)
        if "TensorBoard" in _names_of(callback) and isinstance(directory, str | os.PathLike):
            for part in ("train", "validation"):
                content.tells_in(os.path.join(absolute(directory), part), "epoch_")


def _on_begin(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    callbacks = args[0]
    model, params = callbacks.model, callbacks.params or {}
    if content.wanted(content.CONFIG) and model is not None:
        optimizer = getattr(model, "optimizer", None)
        found: dict[str, Any] = {name: params[name] for name in ("epochs", "steps") if params.get(name) is not None}
        if optimizer is not None:
            found["optimizer"] = {**optimizer.get_config(), "class": type(optimizer).__name__}
        if isinstance(getattr(model, "loss", None), str):
            found["loss"] = model.loss
        content.config(found, under="keras")
    if checkpoints.has_run():
        for callback in callbacks.callbacks:
            directory = os.path.dirname(local(getattr(callback, "filepath", None)))
            if directory and "{" not in directory and _names_of(callback) & {"ModelCheckpoint"}:
                checkpoints.recover(directory)


def _on_epoch(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    global _defined
    if not content.wanted(content.METRICS):
        return
    if not _defined:
        _defined = True
        content.define("epoch/epoch")
        content.define("epoch/*", step_metric="epoch/epoch")
    row = {f"epoch/{name}": value for name, value in _flat(wrapping.argument(args, kwargs, 2, "logs") or {}).items()}
    row["epoch/epoch"] = wrapping.argument(args, kwargs, 1, "epoch")
    rate = getattr(getattr(args[0].model, "optimizer", None), "learning_rate", None)
    if rate is not None:
        row["epoch/learning_rate"] = _number(rate)
    content.metrics(row)


def _before_save(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    global _before
    _before = "", None
    if checkpoints.has_run() and "WandbModelCheckpoint" not in _names_of(args[0]):
        path = local(args[0]._get_file_path(*_event(args, kwargs)))
        if path in _saved:
            checkpoints.settle()  # it may be written again
        _before = path, _state(path)


def _on_save(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    path, before = _before
    if not path or _state(path) in (None, before):
        return
    callback, (epoch, batch, logs) = args[0], _event(args, kwargs)
    name = os.path.basename(path)
    stem = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
    aliases = [f"epoch_{epoch}" if batch is None else f"epoch_{epoch}_batch_{batch}", stem, "latest"]
    if callback.save_best_only:
        aliases.append("best")
    steps = getattr(getattr(callback.model, "optimizer", None), "iterations", None)
    step = epoch + 1 if steps is None else int(_number(steps))
    _saved.add(path)
    metrics = {**content.numbers(_flat(logs or {})), "epoch": epoch}
    checkpoints.saved(Checkpoint(path, collection_of(path), step, "step", tuple(dict.fromkeys(aliases)), metrics))


def _event(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Epoch, batch and logs of a save; None for the batch at the end of an epoch."""
    epoch, batch, logs = (
        wrapping.argument(args, kwargs, at, name) for at, name in enumerate(("epoch", "batch", "logs"), 1)
    )
    return epoch, batch, logs


def _state(path: str) -> Any:
    """A value that changes when the file is written again; None where there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _flat(logs: Mapping[str, Any]) -> dict[str, Any]:
    """The logs as `pythonify_logs` gives them to callbacks: sorted by name, and nested ones beside the others."""
    flat: dict[str, Any] = {}
    for name, value in sorted(logs.items()):
        flat.update(_flat(value) if isinstance(value, dict) else {name: value})
    return flat


def _number(value: Any) -> float:
    """The number in a variable of any backend."""
    return float(sys.modules["keras.src.backend"].convert_to_numpy(value))


def _names_of(callback: Any) -> set[str]:
    return {kind.__name__ for kind in type(callback).__mro__}
