"""A directory for temporary files of this process, which ends without the end at which wandb removes its own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile

_made = ""
_others = ""


def use() -> None:
    """Have what this process puts into the directory for temporary files put into one of its own, below that."""
    global _made, _others
    with contextlib.suppress(OSError):  # a full disk, no directory that can be written: wandb finds out itself
        _others = tempfile.gettempdir()
        _made = tempfile.tempdir = tempfile.mkdtemp(prefix="wandb-shim-")


def remove() -> None:
    """Remove it, with all that is in it."""
    if _made:
        shutil.rmtree(_made, ignore_errors=True)


def of_others() -> str:
    """Where other processes put theirs, and what outlives this one."""
    return _others or tempfile.gettempdir()
