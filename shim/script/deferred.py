"""WANDB_SHIM_INIT=defer: what the job names as its inputs belongs to the run that the script itself opens."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import environment
from . import checkpoints


def apply(wandb: ModuleType) -> None:
    """Wrap `wandb.init`; once."""
    if not hasattr(wandb.init, "_is_of_wandb_shim"):
        wandb.init = _marking(wandb.init)  # type: ignore[attr-defined]


def _marking(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def init(*args: Any, **kwargs: Any) -> Any:
        run = original(*args, **kwargs)
        if not getattr(run, "disabled", False):
            for name in environment.Contract(os.environ).inputs:
                checkpoints.tell({"tell": "input", "name": name})
        return run

    init.__module__ = "wandb"
    init._is_of_wandb_shim = True  # type: ignore[attr-defined]
    return init
