"""A run id derived from the job belongs to one process at a time, and to none once a process has ended well with it.

A batch script may start one command line several times: side by side (each with another GPU), or one after another
(each with another variable). Each of these gets a run of its own; only a restart continues a run that was cut short.
This is known within one node, on which all commands of a batch script run.

A claim is an abstract socket on which the companion listens. However many processes ask for a name in the same instant,
the kernel gives it to one, and takes it back when that process is gone.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import socket
import time
from collections.abc import Mapping

from .. import environment
from ..script import frames
from ..script.channel import Channel

# A file that is left in the run's directory, from which wandb does not upload it.
ENDED = "wandb-shim-ended"
# Variables that a scheduler counts up when it starts the same job again.
_ATTEMPTS = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")
# Seconds that a restart waits until the process before it has finished the run that both continue.
_HAND_OVER_BOUND = 60.0

_NAMESPACE = "wandb-shim-claim/"


def take(run_id: str, environ: Mapping[str, str], directory: str) -> tuple[socket.socket | None, str]:
    """Take an id for this process.

    Args:
        run_id: The derived id.
        environ: The process's environment.
        directory: The directory in which wandb keeps the directories of runs.

    Returns:
        The claim, which is a socket to listen on; and why the id cannot be had, "" where this process has it.
    """
    place = [environ.get(name, "") for name in (environment.BASE_URL, environment.ENTITY, environment.PROJECT)]
    digest = hashlib.sha256(repr([*place, run_id]).encode()).hexdigest()[:16]
    claim = _bind(f"\0{_NAMESPACE}{os.getuid()}/{frames.process_namespace()}-{digest}")
    if claim is None:
        return None, "another process of this job runs the same command line"
    for file in glob.glob(os.path.join(glob.escape(directory), f"*run-*-{run_id}", ENDED)):
        with contextlib.suppress(OSError), open(file, encoding="utf-8") as text:
            if text.read() == _attempt(environ):
                claim.close()
                return None, "the same command line has ended well in this job"
    return claim, ""


def _bind(address: str) -> socket.socket | None:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end = time.monotonic() + _HAND_OVER_BOUND
    while True:
        try:
            claim.bind(address)
            claim.listen(16)
            return claim
        except OSError:
            answer = Channel(address).ask({"ask": "script lives"}, 5.0)
            if (answer is not None and answer.get("lives")) or time.monotonic() > end:
                claim.close()
                return None
            time.sleep(0.05)


def ended_well(directory: str) -> None:
    """Note in a run's directory that its process has ended with 0: only a scheduler's restart may continue the run."""
    with contextlib.suppress(OSError), open(os.path.join(directory, ENDED), "w", encoding="utf-8") as file:
        file.write(_attempt(os.environ))


def _attempt(environ: Mapping[str, str]) -> str:
    return " ".join(environ.get(name, "") for name in _ATTEMPTS)
