"""What the shim says: single lines on stderr, never stdout, and no `logging` (a script may configure that)."""

from __future__ import annotations

import os
import sys

_LEVELS = {"debug": 0, "info": 1, "warn": 2}

# Where lines go: in the companion its copy of the script's stderr; -1 in the script's process, which has that stream.
descriptor = -1

# The lines that were said already: none is said twice.
_said: "set[str]" = set()


def debug(message: str) -> None:
    """Say a message where WANDB_SHIM_LOG is debug."""
    _say("debug", message)


def info(message: str) -> None:
    """Say a message where WANDB_SHIM_LOG is info or debug."""
    _say("info", message)


def warn(message: str) -> None:
    """Say a message in any case."""
    _say("warn", message)


def notice(message: str) -> None:
    """Say a message like those of wandb itself at the start of a run: WANDB_SILENT and WANDB_QUIET silence it, too."""
    if not {os.environ.get(name, "").lower() for name in ("WANDB_SILENT", "WANDB_QUIET")} & {"true", "1"}:
        _say("warn", message)


def _say(level: str, message: str) -> None:
    wanted = os.environ.get("WANDB_SHIM_LOG", "").strip().lower()
    if _LEVELS[level] < _LEVELS.get(wanted, _LEVELS["warn"]):
        return
    line = " ".join(f"wandb-shim: {message}".split()) + "\n"
    if line in _said:
        return
    _said.add(line)
    try:
        os.write(descriptor if descriptor >= 0 else _stderr(), line.encode(errors="backslashreplace"))
    except (OSError, ValueError):
        pass  # stderr is closed: there is nobody to tell


def _stderr() -> int:
    """The descriptor of the interpreter's own stderr.

    What a script has put in place of `sys.stderr` may capture our line or fail, and the console would take our line for
    one of the script's.

    Raises:
        ValueError: The stream is closed.
    """
    stream = sys.__stderr__
    if stream is None:
        raise ValueError("no stderr")
    stream.flush()
    return stream.fileno()
