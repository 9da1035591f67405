"""The checkpoints of Lightning's Trainer, of its ModelCheckpoint and of the script's own `trainer.save_checkpoint`.

What is relied on (lightning 2.6.6):
- trainer/trainer.py, `Trainer.save_checkpoint`: all ranks call it for every save, and it returns after a barrier. Only
  `AsyncCheckpointIO` (plugins/io/async_plugin.py) writes later, in an executor with one thread: whatever is submitted
  to that executor next runs after the save;
- callbacks/model_checkpoint.py: the callback notes a path as its best, its last or one of its best before it saves
  there; `_remove_checkpoint` deletes; `save_last="link"` makes a link, by `_link_checkpoint` (from 2.2 on);
- trainer/connectors/checkpoint_connector.py, `resume_end`: called in each stage, after everything is loaded;
- tuner/*.py: a tuner saves a state under a hidden name, and deletes it at the end.

Where the script's own WandbLogger makes artifacts of a ModelCheckpoint's files (`log_model`), there are none of ours.
"""

from __future__ import annotations

import os
import re
import sys
from types import ModuleType
from typing import Any

from ..checkpoint import Checkpoint
from ..script import checkpoints, content
from . import wrapping
from .liveness import Liveness
from .naming import collection_of, local

_TITLE = "a checkpoint of Lightning"
_SUFFIX = ".ckpt"
_IN_NAME = re.compile(r"(?:^|[^a-z])step=?(\d+)")
_TUNER = (".lr_find_", ".scale_batch_size_")
# Paths of the checkpoints that this process has saved.
_saved: set[str] = set()
# The path of the state that a tuner has saved before it tries something out.
_tuning = ""


def apply(module: ModuleType) -> bool:
    """Watch saves and loads, in a shape that is known."""
    callback = getattr(sys.modules.get(_callbacks_of(module)), "ModelCheckpoint", object)
    watched = (
        wrapping.after(getattr(module, "Trainer", object), "save_checkpoint", _on_save, title=_TITLE),
        wrapping.after(getattr(module, "_CheckpointConnector", object), "resume_end", _on_resume, title=_TITLE),
        wrapping.after(callback, "_remove_checkpoint", wrapping.nothing, title=_TITLE, first=_before_removal),
    )
    wrapping.after(callback, "_link_checkpoint", _on_link, title=_TITLE)
    if not all(watched):
        _liveness.unknown("Trainer.save_checkpoint or what is around it is not as it was")
    return all(watched)


def is_tuning() -> bool:
    """Whether a tuner is trying out a learning rate or a batch size."""
    global _tuning
    if _tuning and not os.path.exists(_tuning):
        _tuning = ""
    return bool(_tuning)


def _on_save(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    global _tuning
    trainer, path = args[0], local(wrapping.argument(args, kwargs, 1, "filepath"))
    if not path or not trainer.is_global_zero:
        return
    if os.path.basename(path).startswith(_TUNER):
        _tuning = path
    elif not is_tuning() and checkpoints.has_run():
        _liveness.called()
        managers = [one for one in trainer.checkpoint_callbacks if _is_of(path, one)]
        if not (managers and _are_logged_by_the_script(trainer)):
            _tell(trainer, path, _aliases(path, managers, trainer))


def _tell(trainer: Any, path: str, aliases: tuple[str, ...]) -> None:
    """Tell a checkpoint, now or once all of it is written."""
    figures = {**trainer._logger_connector._callback_metrics, "epoch": trainer.current_epoch}
    step, collection = int(trainer.global_step), _collection(path, trainer)
    _saved.add(path)

    def tell() -> None:
        checkpoints.saved(Checkpoint(path, collection, step, "step", aliases, content.numbers(figures)))

    io = trainer.strategy.checkpoint_io
    while io is not None and getattr(io, "_executor", None) is None:
        io = getattr(io, "checkpoint_io", None)
    if io is None:
        tell()
    else:
        io._executor.submit(_once_written, io, path, tell)


def _once_written(io: Any, path: str, tell: Any) -> None:
    if getattr(io, "_error", None) is None and os.path.exists(path):
        wrapping.quietly(tell, title=_TITLE)


def _on_link(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Tell the link `last.ckpt` to a checkpoint that is logged: the same content gets more aliases."""
    trainer, path = args[0], local(wrapping.argument(args, kwargs, 2, "linkpath"))
    target = local(wrapping.argument(args, kwargs, 1, "filepath"))
    if path and target in _saved and trainer.is_global_zero and checkpoints.has_run():
        _tell(trainer, path, (_stem(path), "last", "latest"))


def _before_removal(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    path = local(wrapping.argument(args, kwargs, 2, "filepath"))
    if path in _saved:
        _saved.discard(path)
        checkpoints.settle()


def _on_resume(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Watch the directories of a stage that begins, and tell what it has loaded."""
    trainer = args[0].trainer
    if not trainer.is_global_zero or not checkpoints.has_run():
        return
    for callback in trainer.checkpoint_callbacks if not trainer.fast_dev_run else ():
        directory = local(getattr(callback, "dirpath", None))
        if directory:
            _liveness.watch(directory)
            checkpoints.recover(directory)
    path = local(args[0]._ckpt_path)
    if path and path not in _saved and not os.path.basename(path).startswith(_TUNER):
        checkpoints.recover(os.path.dirname(path))
        found = _IN_NAME.search(os.path.basename(path))
        step = int(found[1]) if found else int(trainer.global_step)
        read = Checkpoint(path, _collection(path, trainer), step, "step", (_stem(path),))
        checkpoints.loaded(read.name, read)


def _stem(path: str) -> str:
    return os.path.basename(path).removesuffix(_SUFFIX)


def _is_of(path: str, callback: Any) -> bool:
    named = (getattr(callback, name, "") for name in ("best_model_path", "last_model_path"))
    return path in {local(one) for one in (*named, *getattr(callback, "best_k_models", ()))}


def _aliases(path: str, managers: list[Any], trainer: Any) -> tuple[str, ...]:
    """The aliases of a checkpoint.

    With several callbacks "best" belongs to the first one, as in `ckpt_path="best"`; the alias of another callback
    names what it monitors.
    """
    found = [_stem(path), "latest"]
    for callback in managers:
        if local(callback.last_model_path) == path:
            found.append("last")
        if local(callback.best_model_path) == path:
            monitor = getattr(callback, "monitor", None)
            is_first = callback is trainer.checkpoint_callback or not monitor
            found.append("best" if is_first else f"best-{monitor}")
    return tuple(dict.fromkeys(found))


def _are_logged_by_the_script(trainer: Any) -> bool:
    """Whether the script's own WandbLogger makes artifacts of what a ModelCheckpoint saves."""
    return any(getattr(logger, "_log_model", False) for logger in trainer.loggers)


def _collection(path: str, trainer: Any) -> str:
    """The collection of a checkpoint; the directory that a WandbLogger makes for each of its runs gives no name."""
    versions = {str(logger.version) for logger in trainer.loggers if type(logger).__name__ == "WandbLogger"}
    return collection_of(path, versions)


def _callbacks_of(module: ModuleType) -> str:
    return f"{module.__name__.removesuffix('.trainer.trainer')}.callbacks.model_checkpoint"


_liveness = Liveness("lightning", "lightning", "Trainer.save_checkpoint", "lightning")
