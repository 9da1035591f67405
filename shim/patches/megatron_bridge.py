"""Megatron-Bridge: checkpoints become artifacts without holding up training, and its own W&B logging is switched on.

Why: its `on_save_checkpoint_success` walks the checkpoint's files and talks to the server inside a window in which all
ranks wait at a barrier (megatron/bridge/training/checkpointing.py, 0.3.1, lines 809-852); in asynchronous saves up to
v0.6 its `iteration` is that of a later step (https://github.com/NVIDIA-NeMo/Megatron-Bridge/pull/5738), and
`pretrain()` of 0.3 saves the last step twice. Here the step comes from the path, the work is done in the background,
and the same checkpoint is logged once. The signature has been the same from 0.1 to main.

A recipe that leaves `logger.wandb_project` empty gets the job's: metrics and configuration reach the run.

Remove when: Megatron-Bridge logs its checkpoints in the background and takes WANDB_PROJECT.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import artifacts, environment, log
from ..wrapt_source import load_wrapt
from . import wandb_finish

MODULE = "megatron.bridge.training.utils.wandb_utils"
STATE_MODULE = "megatron.bridge.training.state"

# What this patch was written against; another shape is left alone.
SHAPES = {
    "on_save_checkpoint_success": ("checkpoint_path", "save_dir", "iteration", "wandb_writer"),
    "on_load_checkpoint_success": ("checkpoint_path", "load_dir", "wandb_writer"),
}

# Where Megatron notes entity and project of the last artifact, for the next job that loads from there.
TRACKER = "latest_wandb_artifact_path.txt"

_STEP = re.compile(r"iter_(\d+)$")


def patch_wandb_checkpoint_logging() -> bool:
    """Log Megatron-Bridge's checkpoints in the background; harmless where the shim has already done it.

    Returns:
        Whether Megatron-Bridge is installed.
    """
    import importlib

    try:
        for name in (MODULE, STATE_MODULE):
            apply(importlib.import_module(name))
    except ImportError:
        return False
    return True


def apply(module: ModuleType) -> None:
    """Patch `wandb_utils` or `state`, whichever `module` is; once, and only in the shape that is known."""
    wrapt = load_wrapt()
    if module.__name__ == STATE_MODULE:
        _switch_on(module)
        return
    for name, parameters in SHAPES.items():
        function = getattr(module, name, None)
        if isinstance(function, wrapt.FunctionWrapper):
            continue
        if function is None or function.__code__.co_varnames[: function.__code__.co_argcount] != parameters:
            log.warn(f"{module.__name__}.{name} is not as known ({', '.join(parameters)}): left as it is")
            continue
        setattr(module, name, wrapt.FunctionWrapper(function, _REPLACEMENTS[name]))


def _on_save(original: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = dict(zip(SHAPES["on_save_checkpoint_success"], args, strict=False), **kwargs)
    run = _run_of(given["wandb_writer"])
    if run is None:
        return original(*args, **kwargs)
    try:
        path = Path(given["checkpoint_path"]).resolve()
        if path.exists():  # a local, non-persistent checkpoint of 0.3.0 is not on disk
            save_dir = Path(given["save_dir"])
            artifacts.committer.recover(str(path.parent), run)
            artifacts.committer.commit(_checkpoint(path, save_dir, given["iteration"]), run)
            (save_dir / TRACKER).write_text(f"{run.entity}/{run.project}", encoding="utf-8")
    except Exception as error:
        log.warn(f"{given['checkpoint_path']} was not logged as an artifact: {type(error).__name__}: {error}")
    return None


def _on_load(original: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = dict(zip(SHAPES["on_load_checkpoint_success"], args, strict=False), **kwargs)
    run = _run_of(given["wandb_writer"])
    if run is None:
        return original(*args, **kwargs)
    try:
        path, load_dir = Path(given["checkpoint_path"]).resolve(), Path(given["load_dir"])
        artifacts.committer.recover(str(path.parent), run)
        artifacts.committer.use(_checkpoint(path, load_dir, 0), _project_of(load_dir), run)
    except Exception as error:
        log.warn(f"{given['checkpoint_path']} was not marked as input: {type(error).__name__}: {error}")
    return None


_REPLACEMENTS = {"on_save_checkpoint_success": _on_save, "on_load_checkpoint_success": _on_load}


def _run_of(writer: Any) -> Any | None:
    """Megatron's writer is the wandb module; without one, the open run is the job's."""
    run = getattr(writer, "run", None) or artifacts.current_run()
    if run is not None:
        wandb_finish.apply(type(run))
    return run


def _checkpoint(path: Path, directory: Path, iteration: int) -> artifacts.Checkpoint:
    """Named as Megatron names it, so that its own lookups find it."""
    found = _STEP.search(path.name)
    step = int(found[1]) if found else iteration
    return artifacts.Checkpoint(str(path), directory.resolve().stem, step, "iteration", (path.stem,))


def _project_of(directory: Path) -> str:
    try:
        return (directory / TRACKER).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _switch_on(module: ModuleType) -> None:
    """`GlobalState` opens W&B where a project is configured, and logs metrics where TensorBoard has a directory.

    Give it the job's project; and for TensorBoard, where the recipe wants none, a writer that writes nothing
    (megatron/bridge/training/utils/train_utils.py, 0.3.1, line 478: `if writer and …` guards W&B's metrics too).
    """
    state = module.GlobalState
    wandb_logger, tensorboard_logger = state.wandb_logger, state.tensorboard_logger
    if hasattr(wandb_logger.fget, "wandb_shim"):
        return

    def switched_on(self: Any) -> Any:
        settings = self.cfg.logger
        if self._wandb_logger is None and not settings.wandb_project and artifacts.current_run() is not None:
            settings.wandb_project = os.environ.get(environment.PROJECT)
            settings.wandb_entity = settings.wandb_entity or os.environ.get(environment.ENTITY)
            settings.wandb_exp_name = settings.wandb_exp_name or os.environ.get(environment.NAME)
            if not (settings.wandb_save_dir or self.cfg.checkpoint.save):
                settings.wandb_save_dir = os.environ.get(environment.DIR, ".")
        return wandb_logger.fget(self)

    def some_writer(self: Any) -> Any:
        writer = tensorboard_logger.fget(self)
        return _NoWriter() if writer is None and artifacts.current_run() is not None else writer

    switched_on.wandb_shim = True  # type: ignore[attr-defined]
    state.wandb_logger = property(switched_on, doc=wandb_logger.__doc__)
    state.tensorboard_logger = property(some_writer, doc=tensorboard_logger.__doc__)


class _NoWriter:
    """A SummaryWriter that takes everything and keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None
