"""The metrics that a script only prints are in its run, where WANDB_SHIM_METRICS asks for it.

The lines are searched in this process's main thread, which has nothing else to do while a run is open. Only there can a
signal's handler end a search by `re` that would go on for years (`(a+)+$`): such a search looks for signals, but holds
the interpreter's lock all the time. An expression that has used up its time is not looked for again.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from .. import expressions, log
from ..environment import METRICS as VARIABLE
from ..script.content import METRICS
from .lines import STEPS, Lines, Row, step_of

# The most bytes of a line that is searched; a longer line is not for people.
LINE_MAX = 4096
# Seconds of this process's computing time that one search of one line may take.
SEARCH_BOUND = 0.1
# The most rows in a second; where there are more, the newest counts.
RATE = 10
# The most bytes that wait to be searched; what comes after that is left out.
_WAITING_MAX = 4 << 20
# Seconds between two looks at whether everything is over, or a row that waits may pass.
_LOOK = 0.1
# Seconds that the end waits until everything is searched.
_END_BOUND = 10.0
_END_OF_LINE = re.compile(rb"[\r\n]+")


# Finds the metrics in a line of one stream (frames.STDOUT, frames.STDERR).
Search = Callable[[int, str], Row]


class OverdueError(Exception):
    """A search has used up its time."""


class Printed:
    """Takes what the script prints, and passes on the rows of metrics in it.

    Args:
        value: The value of WANDB_SHIM_METRICS.
        give: Called with each message for the run's content.
    """

    def __init__(self, value: str, give: Callable[[dict[str, Any]], None]) -> None:
        self._give = give
        self._search = search_of(value)
        self._rate = Rate()
        self._rests = {0: b"", 1: b""}
        self._waiting: deque[tuple[int, bytes, float]] = deque()
        self._waiting_bytes = 0
        self._drawn: set[str] = set()
        self._changed = threading.Condition()
        self._busy = self._over = False

    def take(self, kind: int, text: bytes) -> None:
        """Take a piece of what was printed to one stream, and return at once.

        Args:
            kind: frames.STDOUT or frames.STDERR.
            text: The piece, of any length.
        """
        if self._search is None or self._over:
            return
        with self._changed:
            if self._waiting_bytes < _WAITING_MAX:
                self._waiting.append((kind, text, time.time()))
                self._waiting_bytes += len(text)
                self._changed.notify_all()

    def work(self, done: threading.Event) -> None:
        """Search in the main thread until `finish` is called; return at once where nothing is to be searched for."""
        if self._search is None:
            return
        signal.signal(signal.SIGVTALRM, _on_overdue)
        while not done.is_set():
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._over, _LOOK)
                if not self._waiting and self._over:
                    return
                pieces, self._waiting, self._waiting_bytes = [*self._waiting], deque(), 0
                self._busy = True
            try:
                self._work_on(pieces)
            except Exception as error:  # the next pieces are to be searched, too
                log.debug(f"{VARIABLE}: {type(error).__name__}: {error}")

    def finish(self) -> None:
        """Wait within a bound until all that the script has printed is searched; called when it is over."""
        for kind in self._rests:
            self.take(kind, b"\n")
        with self._changed:
            self._over = True
            self._changed.notify_all()
            if self._search is not None:
                self._changed.wait_for(lambda: not self._waiting and not self._busy, _END_BOUND)
        for row, at in self._rate.rest():
            self._log(row, at)

    def _work_on(self, pieces: list[tuple[int, bytes, float]]) -> None:
        assert self._search is not None
        for kind, text, at in pieces:
            *lines, rest = _END_OF_LINE.split(self._rests[kind] + text)
            self._rests[kind] = rest[: LINE_MAX + 1]  # the beginning of a line that is too long is too long as well
            for line in lines:
                row = self._search(kind, line.decode("utf-8", "replace")) if 0 < len(line) <= LINE_MAX else {}
                if row:
                    self._rate.take(row, at)
        for row, at in self._rate.due(time.monotonic()):
            self._log(row, at)

    def _log(self, row: Row, at: float) -> None:
        step = step_of(row)
        for name in row:
            if step and name not in (*STEPS, *self._drawn):
                self._drawn.add(name)
                self._give({"tell": "content", "what": METRICS, "define": {"name": name, "step_metric": step}})
        self._give({"tell": "content", "what": METRICS, "values": row, "step": None, "time": at})


class Rate:
    """Lets no more than RATE rows a second pass. As many may wait; one more replaces the newest of those."""

    def __init__(self) -> None:
        self._passed: deque[float] = deque(maxlen=RATE)
        self._waiting: deque[tuple[Row, float]] = deque()

    def take(self, row: Row, at: float) -> None:
        """Take a row.

        Args:
            row: The row.
            at: When it was printed, in seconds since the epoch.
        """
        if len(self._waiting) >= RATE:
            self._waiting.pop()
        self._waiting.append((row, at))

    def due(self, now: float) -> Iterator[tuple[Row, float]]:
        """The rows that may pass now."""
        while self._waiting and (len(self._passed) < RATE or now - self._passed[0] >= 1):
            self._passed.append(now)
            yield self._waiting.popleft()

    def rest(self) -> Iterator[tuple[Row, float]]:
        """The rows that still wait, at the end."""
        while self._waiting:
            yield self._waiting.popleft()


def search_of(value: str) -> Search | None:
    """The search that the variable asks for; None where it asks for none, or makes no sense."""
    try:
        said = expressions.read(value)
    except ValueError as error:
        log.warn(f"{VARIABLE} {error}: the metrics that are printed stay out of the run")
        return None
    if said == expressions.OFF:
        return None
    if isinstance(said, str):
        return Searches({expressions.AUTO: _auto()}).row
    searches = {}
    for name, expression in said.items():
        problem = expressions.problem_of(expression)
        if problem:
            log.warn(f"{VARIABLE}: {name!r} {problem}; it is left out")
        else:
            searches[name] = _named(name, re.compile(expression))
    return Searches(searches).row if searches else None


def _auto() -> Search:
    streams = (Lines(), Lines())
    return lambda kind, line: streams[kind].row(line)


def _named(name: str, expression: re.Pattern[str]) -> Search:
    """The search for a named expression."""

    def search(kind: int, line: str) -> Row:
        match = expression.search(line)
        try:
            return {name: float(match[1].replace(",", ""))} if match else {}
        except (ValueError, AttributeError):  # the group has matched no number, or nothing
            return {}

    return search


class Searches:
    """All searches of a line. A `step` that is alone on its line counts for the lines after it, too.

    Args:
        searches: By name, the functions that find metrics in a line.
    """

    def __init__(self, searches: dict[str, Search]) -> None:
        self._searches = searches
        self._step: Row = {}

    def row(self, kind: int, line: str) -> Row:
        """The metrics of a line of one stream."""
        found: Row = {}
        for name, search in list(self._searches.items()):
            try:
                found |= _bounded(search, kind, line)
            except OverdueError:
                del self._searches[name]
                said = f"takes too long on a line of {len(line)} characters, and is not looked for any more"
                log.warn(f"{VARIABLE}: {name!r} {said}")
        self._step = {"step": found["step"]} if found.keys() == {"step"} else self._step
        return {**({} if step_of(found) else self._step), **found} if found.keys() - {"step"} else {}


def _bounded(search: Search, kind: int, line: str) -> Row:
    """Call `search`, and give it up after SEARCH_BOUND.

    Raises:
        OverdueError: The search was given up.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, SEARCH_BOUND)
    try:
        return search(kind, line)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _on_overdue(number: int, frame: object) -> None:
    raise OverdueError
