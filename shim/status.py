"""Which runs are open here, and what became of checkpoints, for people: `python -m shim status [DIRECTORY]`."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from typing import Any

from . import columns
from .checkpoint import JOURNALS
from .companion import journal, registry


def open_runs(everything: bool) -> list[dict[str, Any]]:
    """What the companions of this user say of their runs, those of living scripts first.

    Args:
        everything: Whether to include the runs whose script has ended, while they are being finished.
    """
    return [one for one in registry.status() if one["alive"] or everything]


def said_of_runs(found: Sequence[dict[str, Any]]) -> str:
    """Some lines for each run: its address, its age, its process and its checkpoints."""
    return "\n".join(line for one in found for line in _lines(one)) or "no run is open here"


def _lines(one: dict[str, Any]) -> list[str]:
    since = columns.age(time.time() - one["started"])
    state = f"runs for {since}" if one["alive"] else f"its script has ended; begun {since} ago, being finished"
    # A companion of an older release has no rank to tell.
    rank = f", rank {one['rank']} of {one['world_size']}" if one.get("world_size", 1) > 1 else ""
    command = " ".join(shlex.join(one["command"]).split())  # a program given with -c may have several lines
    return [
        f"{one['run'] or '(not open yet)'}: {state}{rank}",
        *([f"  {one['url']}"] if one["url"] else []),
        columns.cut(f"  process {one['pid']}: {command}"),
        *([f"  files {one['directory']}"] if one["directory"] else []),
        *(f"  {line}" for line in _table(one["checkpoints"])),
    ]


def checkpoints(directory: str) -> list[dict[str, Any]] | None:
    """What the journal in a directory, or the one beside a checkpoint, says of each checkpoint that is still there.

    Returns:
        For each checkpoint: path, step, state ("saved" or "committed"), in the order of their steps; None where there
        is no journal.
    """
    for place in (os.path.abspath(directory), os.path.dirname(os.path.abspath(directory))):
        if any(os.path.isfile(os.path.join(place, name)) for name in JOURNALS):
            return sorted(journal.rows(place), key=lambda row: (row["step"], row["path"]))
    return None


def said_of_checkpoints(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each checkpoint."""
    return "\n".join(_table(rows)) or "none of the checkpoints in the journal is there any more"


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each row, with state, step and path; the path comes last and may be long."""
    wide = max((len(str(row["step"])) for row in rows), default=0)
    return [f"{row['state']:<9}  step {row['step']:>{wide}}  {row['path']}" for row in rows]
