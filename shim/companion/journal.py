"""The journal beside the checkpoints: what is saved, and what is committed to W&B.

The next start of a job that was killed reads there which of its checkpoints never became artifacts.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, TypeVar

from .. import log
from ..checkpoint import JOURNALS, Checkpoint

# Somebody else may have put a link or a FIFO there: a link is not followed, and a FIFO is not waited for.
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# The most bytes that are read of a journal, from its end, and of a line; and the most checkpoints that are remembered.
_READ_MAX, _LINE_MAX = 64 << 20, 1 << 20
_CHECKPOINTS_MAX = 10_000

_Kept = TypeVar("_Kept")


def note(checkpoint: Checkpoint, state: str) -> None:
    """Append "saved" or "committed" to the journal; a directory that cannot be written has no journal."""
    # A new line first: a kill may have cut the line before short.
    line = "\n" + json.dumps({"state": state, "checkpoint": asdict(checkpoint)}, default=str) + "\n"
    try:
        with open(
            os.open(checkpoint.journal_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FLAGS, 0o666),
            "a",
            encoding="utf-8",
        ) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.write(line)
    except OSError as error:
        log.debug(f"no journal beside {checkpoint.path}: {error}")


def uncommitted(directory: str) -> list[Checkpoint]:
    """Checkpoints that the journal of `directory` has as saved and not as committed, and that are still there."""
    saved: dict[tuple[str, int], Checkpoint] = {}
    for state, checkpoint in _entries(directory):
        if state == "committed":
            saved.pop(checkpoint.key, None)
        else:
            remember(saved, checkpoint.key, checkpoint, _CHECKPOINTS_MAX)
    return [checkpoint for checkpoint in saved.values() if os.path.exists(checkpoint.path)]


def rows(directory: str) -> list[dict[str, Any]]:
    """Path, step and last state of each checkpoint in the journal that is still there."""
    last: dict[tuple[str, int], tuple[str, Checkpoint]] = {}
    for state, checkpoint in _entries(directory):
        remember(last, checkpoint.key, (state, checkpoint), _CHECKPOINTS_MAX)
    return [
        {"path": checkpoint.path, "step": checkpoint.step, "state": state}
        for state, checkpoint in last.values()
        if os.path.exists(checkpoint.path)
    ]


def remember(found: dict[tuple[str, int], _Kept], key: tuple[str, int], kept: _Kept, most: int) -> None:
    """Keep something of a checkpoint, by its key, in place of the oldest where there are more than `most`."""
    found[key] = kept
    if len(found) > most:
        del found[next(iter(found))]


def _entries(directory: str) -> Iterator[tuple[str, Checkpoint]]:
    """What the journals of `directory` say, line by line; lines that make no sense are passed over."""
    for journal in (os.path.join(directory, name) for name in JOURNALS):
        for line in _newest_lines(journal):
            try:
                row = json.loads(line)
                checkpoint = Checkpoint.from_dict(row["checkpoint"])
                place = _place(checkpoint)
                texts = (checkpoint.collection, checkpoint.step_name, *checkpoint.aliases)
                if not place or not all(isinstance(text, str) for text in texts):
                    continue
                # This start may see the directory at another place: in another container, or moved.
                path = os.path.normpath(os.path.join(directory, place))
                found = replace(checkpoint, path=path, journal=checkpoint.journal and journal)
                yield str(row["state"]), replace(found, step=int(checkpoint.step))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
                continue  # the last line of a process that was killed


def _place(checkpoint: Checkpoint) -> str:
    """The path of a checkpoint from the directory of its journal; "" where it leads out of that directory."""
    if checkpoint.journal:
        place = os.path.relpath(checkpoint.path, os.path.dirname(checkpoint.journal))
        return "" if place.split(os.sep)[0] == os.pardir else place
    name = os.path.basename(checkpoint.path)
    return "" if name in (os.curdir, os.pardir) else name


def _newest_lines(path: str) -> Iterator[bytes]:
    """The last lines of a journal, without those that are too long."""
    try:
        with open(os.open(path, os.O_RDONLY | _FLAGS), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return
            is_rest = status.st_size > _READ_MAX  # whether the next part is the rest of a line that began before
            file.seek(max(status.st_size - _READ_MAX, 0))
            while part := file.readline(_LINE_MAX):
                is_end = part.endswith(b"\n") or len(part) < _LINE_MAX
                if is_end and not is_rest:
                    yield part
                is_rest = not is_end
    except (OSError, ValueError):
        return
