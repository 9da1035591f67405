"""The end of the run: the exit code to W&B, within bounds, whatever its server does."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from .. import environment, log
from . import services, temporary

# Seconds that the end may wait for a server that takes nothing, where WANDB_FINISH_TIMEOUT does not say; wandb
# alone waits for ever. Bytes that count as taking: more than heartbeats and retries come to in that time.
FINISH_BOUND = 600.0
PROGRESS = 1 << 20
# Seconds between two looks at that.
_LOOK = 0.5
# The same where the script is gone without a word, once for its artifacts and once for the rest: together about a
# scheduler's grace (Slurm, torchrun, Kubernetes: 30), after which all of a job is killed.
ALONE_BOUND = 15.0
# Seconds after the end of its script that a companion has at most, whatever it does.
LAST_BOUND = 900.0


def finish_timeout() -> float:
    """WANDB_FINISH_TIMEOUT of this job, see environment.finish_timeout."""
    return environment.finish_timeout(os.environ)


class Watchdog:
    """Ends wandb's service where it takes no data any more: only so does the end of the run come to its end.

    Args:
        directory: Of the run, for the line that says so.
        alone: Tells whether the script is gone by now, and nobody waits.

    Attributes:
        gave_up: Whether it has; then the end fails for a reason that was told.
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
        if finish_timeout():  # wandb gives up by itself (0.28.2 and newer): only step in when it does not
            return finish_timeout() + 5
        return ALONE_BOUND if self._alone() else FINISH_BOUND


def sync_hint(directory: str) -> str:
    """How to upload later what lies in an online run's directory: from 0.28 on wandb passes those over, if not told."""
    return f"upload it later with: wandb sync --include-online {directory}"


def tear_down(wandb: Any, code: int) -> str:
    """End wandb's service with all its runs; what it says on its stdout."""
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
    time.sleep(0.02)  # an answer that is on its way
    os._exit(0)
