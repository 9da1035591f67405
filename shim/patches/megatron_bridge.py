"""Megatron-Bridge: its checkpoints become artifacts, and its own W&B logging is switched on.

Why: see megatron_checkpoints.py; the signatures of the hooks have been the same from 0.1 to main. A recipe that leaves
`logger.wandb_project` empty gets the job's project, so that metrics and configuration reach the run.

Remove when: Megatron-Bridge logs its checkpoints in the background and takes WANDB_PROJECT.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from .. import environment, log
from ..script import checkpoints
from . import megatron_checkpoints
from .liveness import Liveness

MODULE = "megatron.bridge.training.utils.wandb_utils"
STATE_MODULE = "megatron.bridge.training.state"

SHAPES: megatron_checkpoints.Shapes = {
    "on_save_checkpoint_success": ("checkpoint_path", "save_dir", "iteration", "wandb_writer"),
    "on_load_checkpoint_success": ("checkpoint_path", "load_dir", "wandb_writer"),
}

_liveness = Liveness("megatron-bridge", "megatron.bridge", f"{MODULE}.on_save_checkpoint_success", "megatron")


def patch_wandb_checkpoint_logging() -> bool:
    """Log Megatron-Bridge's checkpoints in the background; harmless where the shim has already done it.

    Returns:
        Whether Megatron-Bridge is installed in a shape that is known.
    """
    import importlib

    try:
        known = [apply(importlib.import_module(name)) for name in (MODULE, STATE_MODULE)]
    except ImportError:
        return False
    return all(known)


def apply(module: ModuleType) -> bool:
    """Patch `wandb_utils` or `state`, whichever `module` is; once, and only in the shape that is known."""
    if module.__name__ == STATE_MODULE:
        return _switch_on(module)
    return megatron_checkpoints.wrap(module, SHAPES, _liveness)


def _switch_on(module: ModuleType) -> bool:
    """Give `GlobalState` the job's project, and a TensorBoard writer that writes nothing where the recipe wants none.

    `GlobalState` opens W&B only where a project is configured, and logs metrics only where TensorBoard has a directory.
    """
    state: Any = getattr(module, "GlobalState", object)
    wandb_logger, tensorboard_logger = (vars(state).get(name) for name in ("wandb_logger", "tensorboard_logger"))
    if not isinstance(wandb_logger, property) or not isinstance(tensorboard_logger, property):
        _liveness.unknown(f"{module.__name__}.GlobalState has no wandb_logger and tensorboard_logger")
        return False
    if hasattr(wandb_logger.fget, "wandb_shim"):
        return True

    def switched_on(self: Any) -> Any:
        first = getattr(self, "_wandb_logger", None) is None
        if first:
            _give_project(self)
        writer = wandb_logger.__get__(self)
        if first:
            megatron_checkpoints.begin(lambda: self.cfg.checkpoint.save, _liveness)
        return writer

    def some_writer(self: Any) -> Any:
        writer = tensorboard_logger.__get__(self)
        return megatron_checkpoints.NoWriter() if writer is None and checkpoints.has_run() else writer

    switched_on.wandb_shim = True  # type: ignore[attr-defined]
    state.wandb_logger = property(switched_on, doc=wandb_logger.__doc__)
    state.tensorboard_logger = property(some_writer, doc=tensorboard_logger.__doc__)
    return True


def _give_project(state: Any) -> None:
    try:
        settings = state.cfg.logger
        if settings.wandb_project or not checkpoints.has_run():
            return
        settings.wandb_project = os.environ.get(environment.PROJECT)
        settings.wandb_entity = settings.wandb_entity or os.environ.get(environment.ENTITY)
        settings.wandb_exp_name = settings.wandb_exp_name or os.environ.get(environment.NAME)
        if not (settings.wandb_save_dir or state.cfg.checkpoint.save):
            settings.wandb_save_dir = os.environ.get(environment.DIR, ".")
    except Exception as error:
        log.warn(
            "Megatron-Bridge's metrics and configuration are not in the run, logger.wandb_project puts them there: "
            f"{type(error).__name__}: {error}"
        )
