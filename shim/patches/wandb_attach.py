"""A child of multiprocessing or a worker of Ray that asks for a run gets the job's, where nobody has asked for it yet.

Why: with `torch.multiprocessing.spawn` rank 0 is a child, Ray Train's rank 0 a worker, and its own `wandb.init` made a
second run beside the empty one of the process that started it. The rule: whoever asks first, the owner's script or one
such child on the owner's machine, gets the job's run; children that ask later get what wandb gives them. Programs
started otherwise (subprocess) are programs of their own, and keep their own runs.

wandb's service takes several processes into one run (wandb/sdk/wandb_init.py, `_attach`); a child that ends, or calls
`finish`, only lets go of it. The exit code is the owner's to tell.

Remove when: never.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from .. import environment, log

# Below the run's directory, made by whoever asks first; what lies there is not uploaded.
CLAIM = "wandb-shim-claimed"
# How Ray finds the runtime environment of a submitted job (ray/_private/ray_constants.py).
RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# Seconds that a child's end waits for the service to have taken what it logged.
FLUSH_BOUND = 10.0

# The run of this process, if it is a child that has got the job's.
_attached: tuple[int, Any] | None = None


def apply(module: Any) -> None:
    """Watch `wandb.init` in a process that may be such a child."""
    from . import wandb_init

    if environment.ATTACH in os.environ:
        wandb_init.apply(module)


def offer(run: Any, service: str) -> None:
    """Tell the children that this process will have of its run, which is open with `service`."""
    directory = os.path.dirname(run.dir)
    text = json.dumps(
        {
            "owner": os.getpid(),
            "machine": os.uname().nodename,
            "run": run._attach_id,
            "claim": os.path.join(directory, CLAIM),
            "service": service,
        }
    )
    os.environ[environment.ATTACH] = text
    _tell_workers_of_ray(text)


def _tell_workers_of_ray(text: str) -> None:
    """The driver of a submitted job takes its workers' variables from here; those of its own cluster inherit them."""
    try:
        config = json.loads(os.environ[RAY_JOB])
        environ = config["runtime_env"]["env_vars"]
    except (KeyError, TypeError, ValueError):
        return
    environ[environment.ATTACH] = text
    os.environ[RAY_JOB] = json.dumps(config)


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
    offered: dict[str, Any] = {}
    with contextlib.suppress(ValueError):  # not written by `offer`
        offered = json.loads(os.environ.get(environment.ATTACH, "{}"))
    if offered.get("machine") != os.uname().nodename or not _is_child_of(offered["owner"]):
        return None
    if not claim(offered["claim"]):
        return None
    inherited = environment.SERVICE in os.environ
    os.environ.setdefault(environment.SERVICE, offered["service"])
    try:
        run = wandb._attach(offered["run"])
    except Exception as error:
        log.info(f"this child could not join the job's run, it gets one of its own: {type(error).__name__}: {error}")
        if not inherited:
            del os.environ[environment.SERVICE]  # wandb would look for that service, and fail
        return None
    _attached = os.getpid(), run
    for name in ("finish", "_finish"):  # what `with` calls, from 0.31 the second
        if hasattr(run, name):
            setattr(run, name, _letting_go(wandb, run))
    _at_end(lambda: _flush(run))
    return run


def is_worker_of_ray() -> bool:
    """Whether Ray has started this process for tasks or an actor (ray/_private/services.py)."""
    return any(word.endswith("/ray/_private/workers/default_worker.py") for word in sys.orig_argv)


def _is_child_of(owner: int) -> bool:
    """Whether the owner has started this process by multiprocessing, also through a fork server, or by way of Ray."""
    module = sys.modules.get("multiprocessing.process")
    parent = module.parent_process() if module is not None else None
    return is_worker_of_ray() or (parent is not None and parent.pid == owner)


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
