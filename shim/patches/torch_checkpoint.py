"""torch.distributed.checkpoint: what a script saves by it becomes an artifact, and what it loads an input.

`save` and `async_save` end in `FileSystemWriter.finish`, in the coordinator alone and when everything is written: it
gives the metadata's file its name (torch/distributed/checkpoint/filesystem.py, torch 2.13, lines 758 to 790;
state_dict_saver.py, `finish_checkpoint`). With async_save that happens in a thread of torch's own, so no future has to
be watched. Each save calls `FileSystemWriter.set_up_storage_writer` first, and each load
`FileSystemReader.set_up_storage_reader`; both are told whether this is the coordinator. A framework whose own patch
tells its checkpoints is left to that patch; the nearest caller outside torch decides.

With AsyncCheckpointerType.PROCESS nothing is seen: that process has no way to the run. A save of `async_save` that is
still being staged when the script finishes its run is of no run: its writer is told of it only then.

Remove when: never.
"""

from __future__ import annotations

import os
import re
import sys
import weakref
from types import FrameType, ModuleType
from typing import Any

from ..checkpoint import Checkpoint, clean
from ..script import checkpoints
from . import wrapping
from .naming import local

MODULE = "torch.distributed.checkpoint.filesystem"
# Packages with a patch of their own that tells their checkpoints, …
FRAMEWORKS = frozenset(
    ["accelerate", "lightning", "lightning_fabric", "megatron", "nemo_rl", "pytorch_lightning", "transformers"]
)
# … and packages whose frames lie between torch's functions and their caller.
_BETWEEN = frozenset(["torch", "contextlib", "concurrent", "threading", __name__.partition(".")[0]])
_SAVED, _LOADED = "a checkpoint of torch.distributed", "a loaded checkpoint of torch.distributed"
_STEP = re.compile(r"(\d+)(?!.*\d)")

# For each path without a step in its name, how often it was saved.
_saves: dict[str, int] = {}
# By their ids, writers whose save began while a run was open, and which is told even where the script has finished the
# run since. Not by equality, which a writer's class may define as it likes.
_begun: "dict[int, weakref.ref[Any]]" = {}


def apply(module: ModuleType) -> None:
    """Watch three methods of this module."""
    for kind, name, then, title in (
        ("FileSystemWriter", "set_up_storage_writer", _on_begin, _SAVED),
        ("FileSystemWriter", "finish", _on_finish, _SAVED),
        ("FileSystemReader", "set_up_storage_reader", _on_reader, _LOADED),
    ):
        wrapping.required(_owner(module, kind, name), name, then, title=title)


def _owner(module: ModuleType, kind: str, name: str) -> type:
    """The class that defines a method: the class itself, or one that it inherits from (`_FileSystemWriter`)."""
    classes: tuple[type, ...] = getattr(module, kind).__mro__
    return next((one for one in classes if name in vars(one)), classes[0])


def _on_begin(result: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if wrapping.argument(args, kwargs, 1, "is_coordinator") and checkpoints.has_run():
        key = id(args[0])
        _begun[key] = weakref.ref(args[0], lambda _: _begun.pop(key, None))


def _on_finish(result: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    path, begun = local(args[0].path), _begun.pop(id(args[0]), None)
    has_begun = begun is not None and begun() is args[0]
    if path and (has_begun or checkpoints.has_run()) and not _is_told_by_a_framework(sys._getframe()):
        checkpoints.settle()  # the script may delete older ones as soon as this returns
        checkpoints.saved(checkpoint_of(path))


def _on_reader(result: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    path, is_coordinator = local(args[0].path), wrapping.argument(args, kwargs, 2, "is_coordinator")
    if path and is_coordinator and checkpoints.has_run() and not _is_told_by_a_framework(sys._getframe()):
        checkpoint = checkpoint_of(path, counts=False)
        checkpoints.loaded(checkpoint.name, checkpoint)


def checkpoint_of(path: str, *, counts: bool = True) -> Checkpoint:
    """The checkpoint in a directory: `ckpts/step-9` is the version `step-9` of `ckpts`, `step-9/model` that of `model`.

    Args:
        path: The absolute path of the directory.
        counts: Whether the checkpoint is saved now; where no name in the path has a step, the number of saves is it.
    """
    above, name = os.path.split(path)
    for held, collection in ((name, os.path.basename(above)), (os.path.basename(above), name)):
        step = _STEP.search(held)
        if step and collection:
            return Checkpoint(path, clean(collection), int(step[1]), aliases=(clean(held),))
    if counts:
        _saves[path] = _saves.get(path, 0) + 1
    return Checkpoint(path, clean(name), _saves.get(path, 0))


def _is_told_by_a_framework(frame: FrameType | None) -> bool:
    caller = caller_of(frame)
    return caller is not None and package_of(caller) in FRAMEWORKS


def caller_of(frame: FrameType | None) -> FrameType | None:
    """The nearest caller outside torch and the shim; None in a thread of torch's own."""
    while frame is not None and package_of(frame) in _BETWEEN:
        frame = frame.f_back
    return frame


def package_of(frame: FrameType) -> str:
    """The package whose code a frame runs."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
