"""What `python -m shim status` shows: each process that owns a run says so in a small file of its user's.

A process's own variables are no help there: /proc shows those it was started with. The file holds no key, and goes
with the run; one that a killed process left behind is known by its process being gone, and goes when its user's runs
open a day later.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from . import log
from .checkpoint import JOURNAL

# Not below TMPDIR, which another login to the same container need not have.
PLACE = "/tmp"
_PREFIX = "wandb-shim-status-"
# Seconds that a killed process's run is remembered.
MEMORY = 86400.0


@dataclass
class State:
    """An open run and the process that owns it.

    Attributes:
        pid: The process.
        started: Its start in clock ticks since boot (proc(5), field 22 of `stat`): a pid may be another's by now.
        run: "entity/project/id".
        url: Its page; empty offline.
        directory: Where wandb keeps its files.
        checkpoints: Directories that hold a journal of checkpoints.
    """

    pid: int
    started: int
    run: str
    url: str
    directory: str
    checkpoints: list[str] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether that process is still there."""
        return _start_of(self.pid) == self.started

    def report(self) -> dict[str, Any]:
        """Everything, with the process's command line and its checkpoints, fit for JSON."""
        checkpoints = [row for directory in self.checkpoints for row in _checkpoints_in(directory)]
        return {**asdict(self), "alive": self.alive, "command": _command_of(self.pid), "checkpoints": checkpoints}


_mine: State | None = None


def publish(run: Any) -> None:
    """Say that this process owns `run`; where that cannot be written, nobody is told."""
    global _mine
    pid = os.getpid()
    path = f"{run.entity}/{run.project}/{run.id}" if run.entity else f"{run.project}/{run.id}"
    url = "" if run.offline else run.url or ""  # wandb warns where there is none
    _mine = State(pid, _start_of(pid) or 0, path, url, os.path.dirname(run.dir))
    with contextlib.suppress(OSError):  # there is no such directory; `_write` says so
        _forget_the_dead()
    _write(_mine)


def has_checkpoints(directory: str) -> None:
    """Add a directory with a journal to what is said about this process's run."""
    if _mine is not None and _mine.pid == os.getpid() and directory not in _mine.checkpoints:
        _mine.checkpoints.append(os.path.abspath(directory))
        _write(_mine)


def withdraw() -> None:
    """Take it back: the run has ended."""
    global _mine
    if _mine is not None and _mine.pid == os.getpid():
        with contextlib.suppress(OSError):
            os.unlink(_file_of(_mine.pid))
        leave_place()
        _mine = None


def states() -> Iterator[State]:
    """What processes have said, those that are gone among them; of all users whose files can be read."""
    for name in sorted(os.listdir(PLACE)):
        directory = os.path.join(PLACE, name)
        if not name.startswith(_PREFIX) or os.path.islink(directory):
            continue
        with contextlib.suppress(OSError):
            for file in sorted(os.listdir(directory)):
                # OSError: it has ended meanwhile. The others: it is no file of ours.
                with contextlib.suppress(OSError, ValueError, TypeError), open(os.path.join(directory, file)) as text:
                    yield State(**json.load(text))


def _forget_the_dead() -> None:
    """What killed processes of this user left behind is news for a day."""
    for state in states():
        path = _file_of(state.pid)
        with contextlib.suppress(OSError):
            if not state.alive and time.time() - os.stat(path).st_mtime > MEMORY:
                os.unlink(path)


def _place() -> str:
    return os.path.join(PLACE, f"{_PREFIX}{os.getuid()}")


def path_for(name: str) -> str:
    """Where this user's file of that name lies."""
    return os.path.join(_place(), name)


def make_place() -> None:
    """Make this user's directory.

    Raises:
        OSError: It cannot be made, or belongs to somebody else.
    """
    directory = _place()
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    if os.path.islink(directory) or os.stat(directory).st_uid != os.getuid():
        raise PermissionError(f"{directory} belongs to somebody else")


def leave_place() -> None:
    """Take this user's directory away, where nothing is left in it."""
    with contextlib.suppress(OSError):
        os.rmdir(_place())


def _file_of(pid: int) -> str:
    return path_for(f"{pid}.json")


def _write(state: State) -> None:
    path = _file_of(state.pid)
    try:
        make_place()
        # Another name first: nobody reads half a file.
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(state), file)
        os.replace(f"{path}.new", path)
    except OSError as error:
        log.debug(f"`shim status` will not know of this run: {error}")


def _start_of(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _command_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return " ".join(file.read().split("\0")).strip()
    except OSError:
        return ""


def _checkpoints_in(directory: str) -> list[dict[str, Any]]:
    """The last that the journal says of each checkpoint that is still there: path, step, state."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    with contextlib.suppress(OSError), open(os.path.join(directory, JOURNAL), encoding="utf-8") as file:
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line of a process that was killed
                row = json.loads(line)
                path, step = row["checkpoint"]["path"], row["checkpoint"]["step"]
                found[path, step] = {"path": path, "step": step, "state": row["state"]}
    return [row for row in found.values() if os.path.exists(row["path"])]
