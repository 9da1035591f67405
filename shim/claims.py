"""A run id that was derived from the job belongs to one process at a time, and to none once that one has ended well.

A batch script may start one command line several times: side by side (with another GPU each), or one after another
(with another variable each). Those are runs of their own, where a restart continues what was cut short. Known on one
node, which is where a batch script's commands run.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
from collections.abc import Mapping

from . import environment, state

# Left in the run's directory; what lies there is not uploaded.
ENDED = "wandb-shim-ended"
# Counted up where the scheduler starts the same again.
_ATTEMPTS = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")

# The open file whose lock says that the id is taken, and its path.
_lock: tuple[int, str] | None = None


def take(run_id: str, environ: Mapping[str, str], directory: str) -> str:
    """Take an id for this process.

    Args:
        run_id: A derived one.
        environ: The process's environment.
        directory: Where wandb keeps the directories of runs.

    Returns:
        Why it cannot be had; empty where it is this process's now.
    """
    global _lock
    place = [environ.get(name, "") for name in (environment.BASE_URL, environment.ENTITY, environment.PROJECT)]
    path = state.path_for(f"{hashlib.sha256(repr([*place, run_id]).encode()).hexdigest()[:16]}.lock")
    if _lock is not None and _lock[1] == path:  # this process's already
        return ""
    with contextlib.suppress(OSError):  # no place for it: nobody can say that it is taken
        state.make_place()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a forked child does not hold it
        except (BlockingIOError, PermissionError):  # which of them, the system chooses (fcntl(2))
            os.close(descriptor)
            return "another process of this job runs the same command line"
        _lock = descriptor, path
    for file in glob.glob(os.path.join(glob.escape(directory), f"*run-*-{run_id}", ENDED)):
        with contextlib.suppress(OSError), open(file, encoding="utf-8") as text:
            if text.read() == _attempt(environ):
                release()
                return "the same command line has ended well in this job"
    return ""


def ended(directory: str, code: int) -> None:
    """The process is about to end, its run is over.

    Args:
        directory: The run's.
        code: The exit code.
    """
    if _lock is None:
        return
    if code == 0:
        with contextlib.suppress(OSError), open(os.path.join(directory, ENDED), "w", encoding="utf-8") as file:
            file.write(_attempt(os.environ))
    release()


def release() -> None:
    """Let go of the id."""
    global _lock
    if _lock is not None:
        descriptor, path = _lock
        _lock = None
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(descriptor)
        state.leave_place()


def _attempt(environ: Mapping[str, str]) -> str:
    return " ".join(environ.get(name, "") for name in _ATTEMPTS)
