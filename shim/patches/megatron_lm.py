"""Megatron-LM: its checkpoints become artifacts, and its own W&B logging is switched on.

Why: see megatron_checkpoints.py; the signatures of the hooks have been the same from core_v0.12.0 to main. The hooks do
not get the writer as an argument, as those of Megatron-Bridge do: it is a global variable. A job without
`--wandb-project` gets the project of the environment, so that metrics and arguments reach the run.

Remove when: Megatron-LM logs its checkpoints in the background and takes WANDB_PROJECT.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import environment, log
from ..script import checkpoints
from ..wrapt_source import load_wrapt
from . import megatron_checkpoints
from .liveness import Liveness

MODULE = "megatron.training.wandb_utils"
GLOBALS_MODULE = "megatron.training.global_vars"

SHAPES: megatron_checkpoints.Shapes = {
    "on_save_checkpoint_success": ("checkpoint_path", "tracker_filename", "save_dir", "iteration"),
    "on_load_checkpoint_success": ("checkpoint_path", "load_dir"),
}

_liveness = Liveness("megatron-core", "megatron.core", f"{MODULE}.on_save_checkpoint_success", "megatron")


def apply(module: ModuleType) -> bool:
    """Patch `wandb_utils` or `global_vars`, whichever `module` is; once, and only in the shape that is known."""
    if module.__name__ == GLOBALS_MODULE:
        return _switch_on(module)
    return megatron_checkpoints.wrap(module, SHAPES, _liveness)


def _switch_on(module: ModuleType) -> bool:
    wrapt = load_wrapt()
    function = getattr(module, "_set_wandb_writer", None)
    if function is None or not hasattr(module, "_GLOBAL_TENSORBOARD_WRITER"):
        _liveness.unknown(f"{module.__name__} has no _set_wandb_writer and _GLOBAL_TENSORBOARD_WRITER")
        return False
    if not isinstance(function, wrapt.FunctionWrapper):
        module._set_wandb_writer = wrapt.FunctionWrapper(function, _set_writers)  # type: ignore[attr-defined]
    return True


def _set_writers(original: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    settings: Any = args[0] if args else kwargs["args"]
    _give_project(settings)
    result = original(*args, **kwargs)
    megatron_checkpoints.begin(lambda: settings.save, _liveness)
    variables = original.__globals__
    if variables["_GLOBAL_TENSORBOARD_WRITER"] is None and checkpoints.has_run():
        variables["_GLOBAL_TENSORBOARD_WRITER"] = megatron_checkpoints.NoWriter()
    return result


def _give_project(settings: Any) -> None:
    try:
        if getattr(settings, "wandb_project", "") or not checkpoints.has_run():
            return
        settings.wandb_project = os.environ.get(environment.PROJECT)
        for name, variable in (("wandb_entity", environment.ENTITY), ("wandb_exp_name", environment.NAME)):
            # None where there is no value, and not "": to Megatron an empty name is an error.
            setattr(settings, name, getattr(settings, name, None) or os.environ.get(variable))
        if not (getattr(settings, "wandb_save_dir", "") or settings.save):
            settings.wandb_save_dir = os.environ.get(environment.DIR, ".")
    except Exception as error:
        log.warn(
            "Megatron-LM's metrics and arguments are not in the run, --wandb-project puts them there: "
            f"{type(error).__name__}: {error}"
        )
