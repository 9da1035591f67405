"""Ray's own W&B logger and `setup_wandb` log to the job's run, where nobody has asked for it yet.

Why: both run in a worker and open a run under the id of Ray's trial, beside the empty run of the driver
(ray/air/integrations/wandb.py, `_WandbLoggingActor.run`, `_setup_wandb`). A worker is a child like any other
(script/children.py), except that Ray and not the script has chosen the id. Of several trials the first gets the job's
run, and each of the others has a run of its own, as without the shim.

Remove when: Ray takes a run that is open.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import environment
from ..script import children
from ..wrapt_source import load_wrapt

# The arguments that Ray itself, not the script, gives to the run.
_OF_RAY = ("id", "resume", "reinit")


def apply(module: ModuleType) -> None:
    """Wrap the functions that ask for a run, in a worker that may get the job's run."""
    if environment.ATTACH in os.environ and children.is_worker_of_ray():
        wrapt = load_wrapt()
        wrapt.wrap_function_wrapper(module, "_WandbLoggingActor.run", _run)
        wrapt.wrap_function_wrapper(module, "_setup_wandb", _setup_wandb)


def _run(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # The name of a trial's directory has the trial's id in it; any other id is the script's own.
    of_trial = str(instance.kwargs.get("id")) in os.path.basename(instance._logdir)
    if of_trial and _takes(instance.kwargs):
        for name in _OF_RAY:
            instance.kwargs.pop(name, None)
    return original(*args, **kwargs)


def _setup_wandb(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if "id" not in kwargs and _takes(kwargs):
        kwargs = {**kwargs, **dict.fromkeys(_OF_RAY)}
    return original(*args, **kwargs)


def _takes(kwargs: dict[str, Any]) -> bool:
    return kwargs.get("mode") != "disabled" and children.take(sys.modules["wandb"]) is not None
