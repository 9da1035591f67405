"""Ray's own W&B logger and `setup_wandb` log to the job's run, where nobody has asked for that one yet.

Why: both run in a worker and open a run under the id of Ray's trial, beside the empty one of the driver
(ray/air/integrations/wandb.py, `_WandbLoggingActor.run`, `_setup_wandb`). A worker is a child like any other
(script/children.py); only the id is Ray's, not the script's. With several trials the first one gets the job's run, and
the others have one each, as ever.

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

# What Ray says of the run on its own account.
_OF_RAY = ("id", "resume", "reinit")


def apply(module: ModuleType) -> None:
    """Wrap what asks for a run, in a worker that may get the job's."""
    if environment.ATTACH in os.environ and children.is_worker_of_ray():
        wrapt = load_wrapt()
        wrapt.wrap_function_wrapper(module, "_WandbLoggingActor.run", _run)
        wrapt.wrap_function_wrapper(module, "_setup_wandb", _setup_wandb)


def _run(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # The directory of a trial carries its id; another one is the script's own.
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
