"""A name for the checkpoints of a job where the library has none: the same name at each start of the job.

Also: the one form of a path or directory that a library was given.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Container

# Names of directories that say nothing of what is trained: versions, trials, dates, runs of MLflow; and customary ones.
_NAMELESS = re.compile(r"(version|trial)?[\d\W_]*(T?[\d\W_]+)?|[0-9a-f]{32}", re.IGNORECASE)
_BY_CUSTOM = frozenset(
    {
        *("checkpoints", "checkpoint", "ckpts", "ckpt", "lightning_logs", "logs", "log", "runs", "multirun", "mlruns"),
        *("outputs", "output", "results", "tmp"),
    }
)


def collection_of(path: str, nameless: Container[str] = ()) -> str:
    """The name of the next directory above, short of the working directory, that says something; else the program's.

    Args:
        path: The absolute path of a checkpoint.
        nameless: More names that say nothing: those of directories that are made anew at each start.
    """
    here, directory = os.getcwd(), os.path.dirname(path)
    while directory not in (here, os.path.dirname(directory)):
        name = os.path.basename(directory)
        if name.lower() not in _BY_CUSTOM and name not in nameless and not _NAMELESS.fullmatch(name):
            return name
        directory = os.path.dirname(directory)
    program = os.path.abspath(sys.argv[0]) if sys.argv else ""
    if os.path.basename(program) == "__main__.py":
        program = os.path.dirname(program)
    return os.path.splitext(os.path.basename(program))[0] or "checkpoints"


def local(path: object) -> str:
    """The absolute path of a file or directory in this machine's file systems; "" for anything else."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    return os.path.abspath(text) if text and "://" not in text else ""


def absolute(directory: str | os.PathLike[str]) -> str:
    """Where something is written: the absolute path; what lies elsewhere by its address."""
    text = os.fspath(directory)
    return text if "://" in text else os.path.abspath(text)
