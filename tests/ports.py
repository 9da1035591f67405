"""Ports for servers that cannot be told to take a free one and say which."""

from __future__ import annotations

import random
import socket

# Below where the kernel takes the ports of outgoing connections from (ip_local_port_range), above Ray's workers.
_FIRST, _LAST = 20000, 32000


def free_ports(number: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(_FIRST, _LAST), k=1000):
        if len(found) < number and not listens(port):
            found.append(port)
    return found


def listens(port: int) -> bool:
    """Whether someone listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
