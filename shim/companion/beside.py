"""Checkpoints that the script logs by itself, or by a patch of its own around ours: there ours steps back.

Why: Nemotron's training scripts wrap the function that we have wrapped and log an artifact of the same files, or the
script does so right after. Two versions a checkpoint confuse people; where both have one name they take the aliases
from each other. So a save that somebody stands around is held until that one is done (script/beside.py tells), and a
script that was seen to log a checkpoint after ours is given time until its next save.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

from .. import log

# Directories of the script's own artifacts that are remembered.
_REMEMBERED = 1000


class Beside:
    """What waits for the end of a save, and what the script has logged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, list[Callable[[], None]]] = {}
        # Directory that an artifact of the script refers to, and whether that is of type "model".
        self._theirs: deque[tuple[str, bool]] = deque(maxlen=_REMEMBERED)
        self._ours: deque[str] = deque(maxlen=_REMEMBERED)
        self._script_is_late = False

    def begin(self, path: str, *, hold: bool) -> None:
        """A checkpoint was saved at `path`.

        Args:
            path: Its directory.
            hold: Whether somebody stands around the save, so that "over" will be told.
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
        """Call it as soon as the save of `path` is over."""
        with self._lock:
            if path in self._held:
                self._held[path].append(call)
                return
        call()

    def release(self, path: str = "") -> None:
        """The save of `path` is over, or each is."""
        with self._lock:
            paths = [path] if path else list(self._held)
            calls = [call for one in paths for call in self._held.pop(one, ())]
        for call in calls:
            call()

    def script_has_logged(self, directory: str, *, is_model: bool) -> None:
        """The script has logged an artifact of its own.

        Args:
            directory: What its references have in common.
            is_model: Whether its type is "model".
        """
        with self._lock:
            self._theirs.append((directory, is_model))
            if any(_is_of(directory, is_model, real) for real in self._ours):
                self._script_is_late = True
                log.info(f"the script logs {directory} itself: its next checkpoints are left to it")

    def steps_back(self, path: str) -> bool:
        """Whether the script has logged this one itself; if not, it is ours from now on."""
        real = os.path.realpath(path)
        with self._lock:
            for one in self._theirs:
                if _is_of(*one, real):
                    self._theirs.remove(one)  # the same step, saved again, is logged again
                    return True
            self._ours.append(real)
            return False

    def has_logged_in(self, directory: str) -> bool:
        """Whether the script has logged anything below `directory`."""
        below = os.path.realpath(directory) + os.sep
        with self._lock:
            return any(theirs.startswith(below) for theirs, _ in self._theirs)


def _is_of(directory: str, is_model: bool, checkpoint: str) -> bool:
    """Whether an artifact that refers to `directory` is one of this checkpoint."""
    return directory == checkpoint or (is_model and directory.startswith(checkpoint + os.sep))
