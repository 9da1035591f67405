"""The children of this process, by the kernel's tables (proc(5)), those included that the process has adopted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple


class Child(NamedTuple):
    """A child.

    Attributes:
        pid: Its process id.
        name: The kernel's name for it: the first 15 bytes of its program's name.
        state: One letter; "Z" where the child has ended and is not reaped as yet.
    """

    pid: int
    name: str
    state: str


def own_children() -> Iterator[Child]:
    """Each child that there is now."""
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{int(entry)}/stat", encoding="utf-8") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
            state, parent = rest.split()[:2]
            if int(parent) == os.getpid():
                yield Child(int(entry), name, state)
