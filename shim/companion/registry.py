"""Which companions there are: by their sockets in the kernel's table. No file is opened that another user has made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ..script import frames
from ..script.above import scripts
from ..script.channel import Channel

# Seconds that a companion may take to say how it is.
_BOUND = 5.0


@dataclass(frozen=True)
class Companion:
    """A companion that listens here.

    Attributes:
        address: Of its socket.
        pid: The process id of its script.
    """

    address: str
    pid: int

    def ask(self, message: dict[str, Any], bound: float = _BOUND) -> dict[str, Any] | None:
        """Ask it; None where it does not answer, or belongs to somebody else."""
        return Channel(self.address).ask(message, bound)


def companions() -> list[Companion]:
    """Those of this process's user, of root, and of this process's namespace."""
    mine = {str(os.getuid()), "0"}
    return [
        Companion(address, pid)
        for pid, address in sorted(scripts().items())
        if address.removeprefix("\0" + frames.NAMESPACE).partition("/")[0] in mine
    ]


def status() -> list[dict[str, Any]]:
    """What each of them says of its run; those of a living script first."""
    answers = [companion.ask({"ask": "status"}) for companion in companions()]
    return sorted((answer for answer in answers if answer), key=lambda answer: (not answer["alive"], answer["started"]))
