"""wandb's own service process, wandb-core, which is a child of the companion."""

from __future__ import annotations

import contextlib
import os
import signal


def end() -> None:
    """End the services of wandb that this process has started."""
    for pid in _processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def written() -> int:
    """Bytes that they have written to sockets and files (proc(5), `wchar`)."""
    total = 0
    for pid in _processes():
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/io", encoding="ascii") as file:
            total += int(dict(line.split(": ") for line in file)["wchar"])
    return total


def _processes() -> list[int]:
    """The children whose name begins with wandb-core (proc(5): the second field is the name, the fourth the parent)."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
        except (OSError, ValueError):
            continue
        if name.startswith("wandb-core") and rest.split()[1] == str(os.getpid()):
            found.append(int(entry))
    return found
