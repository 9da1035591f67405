"""The journal beside the checkpoints: what is saved, and what is committed to W&B.

The next start of a job that was killed reads there which of its checkpoints never became artifacts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from .. import log
from ..checkpoint import Checkpoint

# Beside the checkpoints, in their common directory; the name must not look like a checkpoint of anybody's.
JOURNAL = ".wandb-shim-checkpoints.jsonl"


def note(checkpoint: Checkpoint, state: str) -> None:
    """Append "saved" or "committed" to the journal; a directory that cannot be written has none."""
    # The line before may have been cut short by a kill: begin a new one.
    line = "\n" + json.dumps({"state": state, "checkpoint": asdict(checkpoint)}, default=str) + "\n"
    path = os.path.join(os.path.dirname(checkpoint.path), JOURNAL)
    try:
        # No link and no FIFO that somebody else may have put there: the one leads elsewhere, the other waits.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(path, flags, 0o666), "a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        log.debug(f"no journal beside {checkpoint.path}: {error}")


def uncommitted(directory: str) -> list[Checkpoint]:
    """Checkpoints that the journal of `directory` knows as saved but not as committed, and that are still there."""
    saved: dict[tuple[str, int], Checkpoint] = {}
    for state, checkpoint in _entries(directory):
        if state == "committed":
            saved.pop(checkpoint.key, None)
        else:
            saved[checkpoint.key] = checkpoint
    return [checkpoint for checkpoint in saved.values() if os.path.exists(checkpoint.path)]


def rows(directory: str) -> list[dict[str, Any]]:
    """The last that the journal says of each checkpoint that is still there: path, step, state."""
    last = {checkpoint.key: (state, checkpoint) for state, checkpoint in _entries(directory)}
    return [
        {"path": checkpoint.path, "step": checkpoint.step, "state": state}
        for state, checkpoint in last.values()
        if os.path.exists(checkpoint.path)
    ]


def _entries(directory: str) -> Iterator[tuple[str, Checkpoint]]:
    """What the journal says, line by line; a line that makes no sense costs that line only."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(os.path.join(directory, JOURNAL), flags), encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
    except (OSError, ValueError):
        return
    for line in lines:
        try:
            row = json.loads(line)
            checkpoint = Checkpoint.from_dict(row["checkpoint"])
            # The next start may see the directory at another place: in another container, or moved.
            path = os.path.join(directory, os.path.basename(checkpoint.path))
            yield str(row["state"]), replace(checkpoint, path=path, step=int(checkpoint.step))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # the last line of a process that was killed
