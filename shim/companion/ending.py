"""The end of the run: W&B gets the exit code, within bounds, whatever its server does."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from .. import environment, log
from . import services, temporary

# Seconds that the end may wait for a server that takes nothing, where WANDB_FINISH_TIMEOUT says nothing else; without
# the shim wandb waits for ever.
FINISH_BOUND = 600.0
# Bytes that count as progress: heartbeats and retries come to less in that time.
PROGRESS = 1 << 20
# Seconds between two looks at the progress.
_LOOK = 0.5
# Seconds to wait where the script has gone without a word, once for its artifacts and once for the rest: together about
# the grace of a scheduler (Slurm, torchrun, Kubernetes: 30), after which the whole job is killed.
ALONE_BOUND = 15.0
# The most seconds that a companion lives after the end of its script, whatever it does.
LAST_BOUND = 900.0


def finish_timeout() -> float:
    """WANDB_FINISH_TIMEOUT of this job; see environment.finish_timeout."""
    return environment.finish_timeout(os.environ)


class Watchdog:
    """Ends wandb's service where the server takes no data any more: otherwise the end of the run would never be over.

    Args:
        directory: The run's directory, for the line that says so.
        alone: Tells whether the script is gone by now, so that nobody waits.

    Attributes:
        gave_up: Whether the service was ended; the end of the run then fails for a reason that has been told.
    """

    def __init__(self, directory: str, alone: Callable[[], bool]) -> None:
        self._directory = directory
        self._alone = alone
        self._over = threading.Event()
        self.gave_up = False

    def __enter__(self) -> Watchdog:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        since, written = time.monotonic(), services.written()
        while not self._over.wait(_LOOK):
            now = services.written()
            if now - written >= PROGRESS and not finish_timeout():
                since, written = time.monotonic(), now
            elif time.monotonic() - since > self._bound():
                log.warn(f"W&B takes no data any more: giving up; {sync_hint(self._directory)}")
                self.gave_up = True
                services.end()
                return

    def _bound(self) -> float:
        if finish_timeout():  # wandb 0.28.2 and newer give up by themselves: this steps in where they do not
            return finish_timeout() + 5
        return ALONE_BOUND if self._alone() else FINISH_BOUND


def sync_hint(directory: str) -> str:
    """How to upload an online run's directory later; from 0.28 on wandb passes it over without the option."""
    return f"upload it later with: wandb sync --include-online {directory}"


def tear_down(wandb: Any, code: int) -> str:
    """End wandb's service with all its runs; what the service prints on its stdout."""
    with contextlib.suppress(OSError):
        os.ftruncate(1, 0)
        os.lseek(1, 0, os.SEEK_SET)
    with contextlib.suppress(SystemExit):  # the service's exit code is no concern of the script's
        wandb.teardown(exit_code=code)
    with contextlib.suppress(OSError):
        return os.pread(1, 1 << 20, 0).decode("utf-8", "replace").replace("\0", "")
    return ""


def leave() -> None:
    """End this process, and wandb's service with it."""
    services.end()
    temporary.remove()
    time.sleep(0.02)  # for an answer that is on its way
    os._exit(0)
