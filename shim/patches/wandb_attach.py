"""A child of multiprocessing that asks for a run gets the job's, where nobody has asked for that one yet.

Why: with `torch.multiprocessing.spawn` rank 0 is a child, and its own `wandb.init` made a second run beside the empty
one of the process that started it. The rule: whoever asks first, the owner's script or one child of multiprocessing
below it, gets the job's run; children that ask later get what wandb gives them. Programs started otherwise
(subprocess) are programs of their own, and keep their own runs.

wandb's service takes several processes into one run (wandb/sdk/wandb_init.py, `_attach`); a child that ends, or calls
`finish`, only lets go of it. The exit code is the owner's to tell.

Remove when: never.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

from .. import environment, log

# Below the run's directory, made by whoever asks first; what lies there is not uploaded.
CLAIM = "wandb-shim-claimed"
# Seconds that a child's end waits for the service to have taken what it logged.
FLUSH_BOUND = 10.0

# The run of this process, if it is a child that has got the job's.
_attached: tuple[int, Any] | None = None


def apply(module: Any) -> None:
    """Watch `wandb.init` in a process that may be such a child."""
    from . import wandb_init

    if environment.ATTACH in os.environ:
        wandb_init.apply(module)


def offer(run: Any) -> None:
    """Tell the children that this process will have of its run; to be called in the owner."""
    directory = os.path.dirname(run.dir)
    os.environ[environment.ATTACH] = f"{os.getpid()}:{run._attach_id}:{os.path.join(directory, CLAIM)}"


def claim(path: str) -> bool:
    """Whether this process is the first to ask for the run whose claim this is."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:
        return False
    return True


def claim_own(run: Any) -> None:
    """The owner's script has asked for its run: no child gets it any more."""
    claim(os.path.join(os.path.dirname(run.dir), CLAIM))


def take(wandb: Any) -> Any | None:
    """The job's run, if this process is the child that gets it."""
    global _attached
    if _attached is not None and _attached[0] == os.getpid():
        return None if _attached[1]._is_finished else _attached[1]
    owner, _, rest = os.environ.get(environment.ATTACH, "").partition(":")
    attach_id, _, path = rest.partition(":")
    if not path or _multiprocessing_parent() != owner or not claim(path):
        return None
    try:
        run = wandb._attach(attach_id)
    except Exception as error:
        log.info(f"this child could not join the job's run, it gets one of its own: {type(error).__name__}: {error}")
        return None
    _attached = os.getpid(), run
    for name in ("finish", "_finish"):  # what `with` calls, from 0.31 the second
        if hasattr(run, name):
            setattr(run, name, _letting_go(wandb, run))
    _at_end(lambda: _flush(run))
    return run


def _multiprocessing_parent() -> str | None:
    """The process id of the one that started this one with multiprocessing, also through a fork server."""
    module = sys.modules.get("multiprocessing.process")
    parent = module.parent_process() if module is not None else None
    return str(parent.pid) if parent is not None else None


def _letting_go(wandb: Any, run: Any) -> Callable[..., None]:
    def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
        """Let go of the job's run, which goes on."""
        _flush(run)
        run._is_finished = True
        if wandb.run is run:
            wandb.sdk.lib.module.unset_globals()

    return finish


def _flush(run: Any) -> None:
    """Wait until the service has answered a question, and so has taken all that was sent before it."""
    with contextlib.suppress(Exception):
        interface = getattr(run, "_interface", None) or run._backend.interface
        interface.deliver_get_summary().wait_or(timeout=FLUSH_BOUND)


def _at_end(function: Callable[[], None]) -> None:
    """A child of multiprocessing ends by os._exit, without atexit, but runs its own finalizers."""
    from multiprocessing import util

    util.Finalize(None, function, exitpriority=100)
