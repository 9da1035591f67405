"""The end of the run: the exit code to W&B, within bounds, whatever its server does."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

from .. import environment, log
from . import services

# Seconds that the end may wait for a server that takes nothing, where WANDB_FINISH_TIMEOUT does not say; wandb
# alone waits for ever. Bytes that count as taking: more than heartbeats and retries come to in that time.
FINISH_BOUND = 600.0
PROGRESS = 1 << 20
# The same, and for all of the end, where the script is gone and nobody waits: a killed script's companion goes, too.
ALONE_BOUND = 600.0


def finish_timeout() -> float:
    """WANDB_FINISH_TIMEOUT in seconds; 0 where nothing bounds the end of a run, which is what 0 means to wandb."""
    try:
        seconds = float(os.environ.get(environment.FINISH_TIMEOUT, ""))
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0


class Watchdog:
    """Ends wandb's service where it takes no data any more: only so does the end of the run come to its end.

    Args:
        directory: Of the run, for the line that says so.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._over = threading.Event()

    def __enter__(self) -> Watchdog:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        # wandb gives up by itself (0.28.2 and newer) at its own bound: only step in when it does not.
        bound = finish_timeout() + 5 if finish_timeout() else FINISH_BOUND
        written = services.written()
        while not self._over.wait(bound):
            before, written = written, services.written()
            if finish_timeout() or written - before < PROGRESS:
                log.warn(f"W&B takes no data any more: giving up; {sync_hint(self._directory)}")
                services.end()
                return


def sync_hint(directory: str) -> str:
    """How to upload later what lies in a run's directory."""
    return f"upload it later with: wandb sync {directory}"


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
    time.sleep(0.02)  # an answer that is on its way
    os._exit(0)
