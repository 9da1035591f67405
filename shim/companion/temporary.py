"""A directory for temporary files of this process, which ends by os._exit, so that wandb does not remove its own.

Runs are no temporary files: where wandb can write nowhere else it keeps them below this directory, in `wandb`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile

# What wandb calls the directory for runs (wandb/sdk/wandb_settings.py, 0.31.0, `wandb_dir`).
_RUNS = ("wandb", ".wandb")

_made = ""
_others = ""


def use() -> None:
    """Let this process's temporary files be made in a directory of its own, below that for temporary files."""
    global _made, _others
    with contextlib.suppress(OSError):  # the disk is full, or no directory can be written: wandb will find out itself
        _others = tempfile.gettempdir()
        _made = tempfile.tempdir = tempfile.mkdtemp(prefix="wandb-shim-")


def remove() -> None:
    """Remove this process's directory with all that is in it, but for runs."""
    if not _made:
        return
    with contextlib.suppress(OSError):
        for entry in os.scandir(_made):
            if entry.name in _RUNS:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
        os.rmdir(_made)  # fails where there are runs


def of_others() -> str:
    """The directory for the temporary files of other processes, and for what is to outlive this one."""
    return _others or tempfile.gettempdir()
