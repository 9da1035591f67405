"""A child of the script, or a worker of Ray, that asks for a run gets the job's, where nobody has asked for it yet.

Why: with `torch.multiprocessing.spawn` rank 0 is a child, and with Ray Train it is a worker. Its own `wandb.init` would
make a second run beside the empty one of the process that started it. The rule: the first to ask, the owner's script or
one such child on the owner's machine, gets the job's run; children that ask later get what wandb gives them. Programs
that are started in another way (subprocess) are programs of their own, and keep their own runs.

A child that ends, or calls `finish`, only lets go of the run. The owner alone tells the exit code.

Remove when: never.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from .. import environment, log
from . import attached, channel

# Seconds to wait for the companion while it opens the run; the companion has bounds of its own.
_BOUND = 120.0

# In a child that has got the job's run: the child's process id, the run, and the way to the run's companion.
_taken: tuple[int, Any, channel.Channel] | None = None


def way() -> channel.Channel | None:
    """The way to the companion whose run this child has got; None where it has got none."""
    return _taken[2] if _taken is not None and _taken[0] == os.getpid() else None


def take(wandb: Any) -> Any | None:
    """The job's run, where this process is the child that gets it; None otherwise."""
    global _taken
    if _taken is not None and _taken[0] == os.getpid():
        return None if _taken[1]._is_finished else _taken[1]
    machine, _, rest = os.environ.get(environment.ATTACH, "").partition(":")
    name = rest.partition(":")[2]
    if machine != os.uname().nodename or not _is_child_of(_owner_in(name)):
        return None
    companion = channel.Channel("\0" + name)
    answer = companion.ask({"ask": "attach"}, _BOUND)
    if not answer or not answer.get("run") or answer["version"] != wandb.__version__:
        return None
    inherited = os.environ.get(environment.SERVICE)
    try:
        run = attached.attach(wandb, answer)
    except Exception as error:
        log.info(f"this child could not join the job's run, it gets one of its own: {type(error).__name__}: {error}")
        if inherited is not None:
            os.environ[environment.SERVICE] = inherited
        return None
    _taken = os.getpid(), run, companion
    for name in ("finish", "_finish"):  # a `with` statement calls the first, from 0.31 on the second
        if hasattr(run, name):
            setattr(run, name, _letting_go(wandb, run))
    _at_end(lambda: attached.flush(run))
    return run


def is_worker_of_ray() -> bool:
    """Whether Ray has started this process for tasks or an actor (ray/_private/services.py)."""
    return any(word.endswith("/ray/_private/workers/default_worker.py") for word in sys.orig_argv)


def _owner_in(name: str) -> int:
    """The script's process id in the name of its companion's socket (frames.NAMESPACE)."""
    words = name.split("/")
    return int(words[2]) if len(words) == 4 and words[2].isdecimal() else 0


def _is_child_of(owner: int) -> bool:
    """Whether the owner has started this process by a fork, by multiprocessing (also a fork server) or through Ray."""
    module = sys.modules.get("multiprocessing.process")
    parent = module.parent_process() if module is not None else None
    forked = channel.forked_from() == owner
    return is_worker_of_ray() or forked or (parent is not None and parent.pid == owner)


def _letting_go(wandb: Any, run: Any) -> Callable[..., None]:
    def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
        """Let go of the job's run, which goes on."""
        attached.flush(run)
        run._is_finished = True
        if wandb.run is run:
            wandb.sdk.lib.module.unset_globals()

    return finish


def _at_end(function: Callable[[], None]) -> None:
    """Call a function at the end of a child of multiprocessing: that ends by os._exit, but runs its own finalizers."""
    from multiprocessing import util

    util.Finalize(None, function, exitpriority=100)
