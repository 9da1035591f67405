"""A directory for temporary files of this process, which ends by os._exit, so that wandb does not remove its own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile

_made = ""
_others = ""


def use() -> None:
    """Let this process's temporary files be made in a directory of its own, below that for temporary files."""
    global _made, _others
    with contextlib.suppress(OSError):  # the disk is full, or no directory can be written: wandb will find out itself
        _others = tempfile.gettempdir()
        _made = tempfile.tempdir = tempfile.mkdtemp(prefix="wandb-shim-")


def remove() -> None:
    """Remove this process's directory, with all that is in it."""
    if _made:
        shutil.rmtree(_made, ignore_errors=True)


def of_others() -> str:
    """The directory for the temporary files of other processes, and for what is to outlive this one."""
    return _others or tempfile.gettempdir()
