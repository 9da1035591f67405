"""Let what is under way reach the run before it ends, whoever ends it.

Why: Megatron-Bridge calls `wandb.finish()` right after its last save, and NeMo-RL's single-controller actor finishes
its logger before its checkpointer; an artifact on its way would miss the run, or open a stray second one. And where
nobody calls `finish`, wandb ends the run by a handler of its own at the interpreter's exit.

Remove when: never; it is what makes logging in the background possible.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import Any

from .. import artifacts, log
from ..wrapt_source import load_wrapt

# Called before a run ends, in this order; whatever else has to be waited for joins at the front.
before_finish: list[Callable[[], object]] = [artifacts.committer.drain]


def apply(run_class: Any) -> None:
    """Wrap the end of a run in `wandb.sdk.wandb_run.Run`, once; to be called while a run is open."""
    wrapt = load_wrapt()
    # `finish` and the end of a with block both go through `_finish`, in 0.19 to 0.31.
    name = "_finish" if "_finish" in vars(run_class) else "finish"
    if not isinstance(vars(run_class)[name], wrapt.FunctionWrapper):
        setattr(run_class, name, wrapt.FunctionWrapper(vars(run_class)[name], _finish))
    artifacts.committer.start()
    # The last one registered is called first: before wandb's own, which belongs to a run that is open by now.
    atexit.unregister(wait)
    atexit.register(wait)


def _finish(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    wait()
    return original(*args, **kwargs)


def wait() -> None:
    """Wait for what is under way, as before any end of a run."""
    for call in before_finish:
        _call(call)


def _call(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception as error:
        log.warn(f"what was under way may have missed the run's end: {type(error).__name__}: {error}")


def _forget() -> None:
    """Nothing that is under way is a forked child's own; nor has it the threads, one of which may hold the lock."""
    artifacts.committer.reset()
    before_finish[:] = [artifacts.committer.drain]


os.register_at_fork(after_in_child=_forget)
