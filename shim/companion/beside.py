"""Checkpoints that the script logs by itself, or by a patch of its own around ours: the shim does not log these.

Why: Nemotron's training scripts wrap the function that we have wrapped and log an artifact of the same files, or the
script logs one right after. Two versions of each checkpoint confuse people; where both have one name, they take the
aliases from each other. So a save that somebody else has wrapped, too, is held until that wrapper has returned
(script/beside.py tells). And once a script has logged a checkpoint after ours, each save is held until the next one.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

from .. import log

# What is remembered at the most: directories of the script's own artifacts, of which a script may log many between
# two saves, and checkpoints that are ours.
_THEIRS_MAX, _OURS_MAX = 1000, 100


class Beside:
    """What waits for the end of a save, and what the script has logged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, list[Callable[[], None]]] = {}
        # Directory that an artifact of the script refers to, and whether that is of type "model".
        self._theirs: deque[tuple[str, bool]] = deque(maxlen=_THEIRS_MAX)
        self._ours: deque[str] = deque(maxlen=_OURS_MAX)
        self._script_is_late = False

    def begin(self, path: str, *, hold: bool) -> None:
        """Note that a checkpoint was saved.

        Args:
            path: The checkpoint's directory.
            hold: Whether somebody else has wrapped the save, too, so that "over" will be told.
        """
        if self._script_is_late:
            self.release()
        with self._lock:
            if hold or self._script_is_late:
                self._held.setdefault(path, [])
            real = os.path.realpath(path)
            while real in self._ours:
                self._ours.remove(real)

    def once_over(self, path: str, call: Callable[[], None]) -> None:
        """Call a function as soon as the save of `path` is over."""
        with self._lock:
            if path in self._held:
                self._held[path].append(call)
                return
        call()

    def release(self, path: str = "") -> None:
        """Go on with what waits for the end of the save of `path`, or of all saves."""
        with self._lock:
            paths = [path] if path else list(self._held)
            calls = [call for one in paths for call in self._held.pop(one, ())]
        for call in calls:
            call()

    def script_has_logged(self, directory: str, *, is_model: bool) -> None:
        """Note that the script has logged an artifact of its own.

        Args:
            directory: The directory that all its references lie in.
            is_model: Whether its type is "model".
        """
        with self._lock:
            self._theirs.append((directory, is_model))
            if any(_is_of(directory, is_model, real) for real in self._ours):
                self._script_is_late = True
                log.info(f"the script logs {directory} itself: its next checkpoints are left to it")

    def steps_back(self, path: str) -> bool:
        """Whether the script has logged the checkpoint at `path` itself; if not, we log it, and that is noted."""
        real = os.path.realpath(path)
        with self._lock:
            for one in self._theirs:
                if _is_of(*one, real):
                    self._theirs.remove(one)  # where the same step is saved again, somebody logs it again
                    return True
            self._ours.append(real)
            return False

    def has_logged_in(self, directory: str) -> bool:
        """Whether the script has logged anything below `directory`."""
        below = os.path.realpath(directory) + os.sep
        with self._lock:
            return any(theirs.startswith(below) for theirs, _ in self._theirs)


def _is_of(directory: str, is_model: bool, checkpoint: str) -> bool:
    """Whether an artifact that refers to `directory` is an artifact of this checkpoint."""
    return directory == checkpoint or (is_model and directory.startswith(checkpoint + os.sep))
