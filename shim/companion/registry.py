"""The companions that there are, by their sockets in the kernel's table; no file of another user is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ..script import frames
from ..script.above import scripts
from ..script.channel import Channel

# Seconds that a companion may take to answer.
_BOUND = 5.0


@dataclass(frozen=True)
class Companion:
    """A companion that listens here.

    Attributes:
        address: The address of its socket.
        pid: The process id of its script.
    """

    address: str
    pid: int

    def ask(self, message: dict[str, Any], bound: float = _BOUND) -> dict[str, Any] | None:
        """Ask the companion; None where it does not answer, or belongs to another user."""
        return Channel(self.address).ask(message, bound)


def companions() -> list[Companion]:
    """The companions in this process's namespace that are this user's or root's."""
    mine = {str(os.getuid()), "0"}
    return [
        Companion(address, pid)
        for pid, address in sorted(scripts().items())
        if address.removeprefix("\0" + frames.NAMESPACE).partition("/")[0] in mine
    ]


def status() -> list[dict[str, Any]]:
    """What each companion says of its run; runs of living scripts come first."""
    answers = [companion.ask({"ask": "status"}) for companion in companions()]
    return sorted((answer for answer in answers if answer), key=lambda answer: (not answer["alive"], answer["started"]))
