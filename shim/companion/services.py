"""wandb's own service process, wandb-core, which is a child of the companion."""

from __future__ import annotations

import contextlib
import os
import signal

from ..own_children import own_children


def end() -> None:
    """End the services of wandb that this process has started."""
    with contextlib.suppress(OSError):  # without memory the kernel's tables cannot be read
        for pid in _processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def written() -> int:
    """Bytes that these services have written to sockets and files (proc(5), `wchar`)."""
    total = 0
    for pid in _processes():
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/io", encoding="ascii") as file:
            total += int(dict(line.split(": ") for line in file)["wchar"])
    return total


def _processes() -> list[int]:
    return [child.pid for child in own_children() if child.name.startswith("wandb-core")]
