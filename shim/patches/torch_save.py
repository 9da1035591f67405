"""Files that the program's own code saves by torch.save are artifacts, where WANDB_SHIM_CHECKPOINTS=torch asks for it.

torch.save and torch.load themselves are left alone, since their warnings name the caller by its distance. Instead it is
watched how torch closes a file (torch/serialization.py, torch 2.13: `_open_zipfile_writer_file.__exit__`, and
`_open_file.__exit__` for torch.load and the old format). A file counts where it has a checkpoint's name, the program's
own code and not a library saves it, and it lies outside caches and temporary directories. A file gets at most one
version a minute.

Remove when: never.
"""

from __future__ import annotations

import os
import re
import sys
import time
from types import ModuleType
from typing import Any

from ..checkpoint import Checkpoint, clean
from ..script import checkpoints
from . import torch_checkpoint, wrapping

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
# Seconds between two versions of one file.
INTERVAL = 60.0
# Beginnings of the names of files that are only a part of a checkpoint, or no checkpoint.
_PARTS = ("optim", "opt_", "sched", "rng", "random_state", "scaler", "training_args", "cache", "dataset")
_SAVED, _LOADED = "what torch.save has saved", "what torch.load has loaded"
_STEP = re.compile(r"^(.*?)[-_.=]?(?:step|epoch|iter|ep)?[-_.=]?(\d+)$", re.IGNORECASE)
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")

# For each path, when it was last told, and how often.
_told: dict[str, tuple[float, int]] = {}


def apply(module: ModuleType) -> None:
    """Watch the two classes of torch.serialization by which files are written and read."""
    for name, then, title in (
        ("_open_zipfile_writer_file", _on_written, _SAVED),
        ("_open_file", _on_closed, _LOADED),
    ):
        wrapping.required(getattr(module, name), "__exit__", then, title=title)


def _on_written(result: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if args[1] is None:
        _saved(args[0].name)


def _on_closed(result: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    file = args[0].file_like
    if args[1] is None and "w" in file.mode:
        _saved(file.name)
    elif args[1] is None and _is_checkpoint(file.name):
        checkpoint = _checkpoint_of(os.path.abspath(file.name), 0)
        checkpoints.loaded(checkpoint.name, checkpoint)


def _saved(name: Any) -> None:
    if not _is_checkpoint(name):
        return
    path = os.path.abspath(name)
    last, count = _told.get(path, (-INTERVAL, 0))
    if time.monotonic() - last >= INTERVAL:
        _told[path] = time.monotonic(), count + 1
        checkpoints.settle()  # the script may delete older ones as soon as this returns
        checkpoints.saved(_checkpoint_of(path, count + 1))


def _checkpoint_of(path: str, count: int) -> Checkpoint:
    """The checkpoint in a file.

    `model_step100.pt` is the version `model_step100` of `model`; `100.pt` is the version `100` of what its directory
    names; the versions of `last.pt` are counted.
    """
    stem = os.path.splitext(os.path.basename(path))[0]
    step = _STEP.match(stem)
    if step is None:
        return Checkpoint(path, clean(stem), count)
    collection = step[1].strip("-_.=") or os.path.basename(os.path.dirname(path))
    return Checkpoint(path, clean(collection), int(step[2]), aliases=(clean(stem),))


def _is_checkpoint(name: Any) -> bool:
    """Whether this file counts as a checkpoint, and the program's own code has saved or loaded it just now."""
    if not isinstance(name, str) or not name.lower().endswith(SUFFIXES) or not checkpoints.has_run():
        return False
    path = os.path.abspath(name)
    parts = path.split(os.sep)
    if parts[-1].lower().startswith(_PARTS) or any(part.startswith(".") or part == "cache" for part in parts):
        return False
    temporary = os.path.join(os.path.abspath(os.environ.get("TMPDIR") or "/tmp"), "")
    if path.startswith(temporary) and not os.getcwd().startswith(temporary):
        return False
    caller = torch_checkpoint.caller_of(sys._getframe())
    return caller is not None and not any(part in caller.f_code.co_filename for part in _INSTALLED)
