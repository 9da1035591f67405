"""Faults that tests switch on while the server runs: wrong statuses, slowness, silence, cut connections."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["status", "slow", "hang", "reset", "drop", "sip"]


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    kind     status: answer `status` (429 with Retry-After: 1); slow: `seconds` before each answer;
             hang: accept, never answer; reset: cut the connection (RST); drop: close it without an answer;
             sip: `seconds` after each piece of the request's body that is read (a piece has about 64 KiB)
    status   for kind "status" (500)
    match    regular expression on the operation name or the path (for "sip" the path); default: every request
    times    how often it bites (None: without end)
    after    how many matching requests are answered well before it bites (0)
    seconds  for the kinds "slow" and "sip" (0.0)
    """

    kind: Kind
    status: int = 500
    match: str = ""
    times: int | None = None
    after: int = 0
    seconds: float = 0.0


@dataclass
class Faults:
    """The faults that are on, and how many requests each has seen."""

    _active: list[tuple[Fault, list[int]]] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Switch a fault on, next to those that are."""
        re.compile(fault.match)  # a bad expression fails in the test, not in the server
        self._active.append((fault, [0]))

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def next(self, operation: str, path: str) -> Fault | None:
        """The fault that this request meets, if any; counts the request."""
        hit: Fault | None = None
        for fault, seen in self._active:
            if fault.kind == "sip" or not any(re.search(fault.match, name) for name in (operation, path)):
                continue
            seen[0] += 1
            bites = seen[0] - fault.after
            if hit is None and bites > 0 and (fault.times is None or bites <= fault.times):
                hit = fault
        return hit

    def pause(self, path: str) -> float:
        """Seconds after each piece of the body of a request to that path."""
        return sum(fault.seconds for fault, _ in self._active if fault.kind == "sip" and re.search(fault.match, path))
