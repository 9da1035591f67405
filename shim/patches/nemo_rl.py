"""NeMo-RL: each checkpoint becomes an artifact, once, on every release, and its own W&B logging is switched on.

Why: up to v0.7 the algorithms end a save with `CheckpointManager.finalize_checkpoint`; on main they call
`begin_finalization`, whose background thread goes through `_rename_checkpoint` and never through the former
(https://github.com/NVIDIA-NeMo/RL/pull/2828). `_rename_checkpoint` is the one place that all saves pass, where it
exists; the release's number does not tell (main calls itself 0.6.0).

The single-controller actor finishes its logger before its checkpointer: the run's end waits for saves that are still
being finalized, so that the last checkpoint is on the right run.

Remove when: NeMo-RL logs its checkpoints to W&B itself.
"""

from __future__ import annotations

import json
import os
import re
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import artifacts, environment, log
from ..wrapt_source import load_wrapt
from . import wandb_finish

MODULE = "nemo_rl.utils.checkpoint"
LOGGER_MODULE = "nemo_rl.utils.logger"

# Where every save passes, the newest shape first.
LAST_STEPS = ("_rename_checkpoint", "finalize_checkpoint")

_STEP = re.compile(r"step_(\d+)$")

_artifact_name = "rl"
_managers: weakref.WeakSet[Any] = weakref.WeakSet()


def patch_nemo_rl_checkpoint_logging(artifact_name: str = "rl") -> bool:
    """Log NeMo-RL's checkpoints as artifacts; harmless where the shim has already done it.

    Args:
        artifact_name: Collection that the checkpoints become versions of.

    Returns:
        Whether NeMo-RL is installed in a shape that is known.
    """
    import importlib

    global _artifact_name
    _artifact_name = artifact_name
    try:
        module = importlib.import_module(MODULE)
    except ImportError:
        return False
    return apply(module)


def apply(module: ModuleType) -> bool:
    """Patch `CheckpointManager`, or the logger's switch, whichever `module` holds; once."""
    wrapt = load_wrapt()
    if module.__name__ == LOGGER_MODULE:
        if not isinstance(module.Logger.__dict__["__init__"], wrapt.FunctionWrapper):
            module.Logger.__init__ = wrapt.FunctionWrapper(module.Logger.__dict__["__init__"], _switch_on)
        return True
    manager = getattr(module, "CheckpointManager", None)
    last_step = next((name for name in LAST_STEPS if name in vars(manager or object)), None)
    if manager is None or last_step is None:
        log.warn(
            f"{module.__name__} has no CheckpointManager with {' or '.join(LAST_STEPS)}: its checkpoints are not logged"
        )
        return False
    for name, wrapper in ((last_step, _on_save), ("__init__", _on_create)):
        function = vars(manager)[name]
        if not isinstance(function, wrapt.FunctionWrapper):
            setattr(manager, name, wrapt.FunctionWrapper(function, wrapper))
    if _finish_saves not in wandb_finish.before_finish:
        wandb_finish.before_finish.insert(0, _finish_saves)
    return True


def _on_create(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    original(*args, **kwargs)
    _managers.add(instance)


def _on_save(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = original(*args, **kwargs)
    temporary = Path(args[0] if args else kwargs["checkpoint_path"])
    try:
        run = artifacts.current_run()
        if run is not None:
            wandb_finish.apply(type(run))
            path = (temporary.parent / temporary.name.removeprefix("tmp_")).resolve()
            artifacts.committer.recover(str(path.parent), run)
            artifacts.committer.commit(_checkpoint(path, instance), run)
    except Exception as error:
        log.warn(f"{temporary} was not logged as an artifact: {type(error).__name__}: {error}")
    return result


def _checkpoint(path: Path, manager: Any) -> artifacts.Checkpoint:
    found = _STEP.search(path.name)
    aliases = [path.name]
    best = manager.get_best_checkpoint_path()
    if best is not None and Path(best).resolve() == path:
        aliases.append("best")
    return artifacts.Checkpoint(
        str(path), _artifact_name, int(found[1]) if found else 0, "step", tuple(aliases), _metrics(path)
    )


def _metrics(path: Path) -> dict[str, Any]:
    """What the algorithm wrote into training_info.json: "val:accuracy" and the like."""
    try:
        with open(path / "training_info.json", encoding="utf-8") as file:
            info = json.load(file)
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def _finish_saves() -> None:
    for manager in list(_managers):
        finish = getattr(manager, "finalize_pending", None)
        if finish is not None:
            finish()


def _switch_on(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`logger.wandb_enabled: false` builds no WandbLogger; the job's own project says otherwise."""
    settings: Any = args[0] if args else kwargs.get("cfg")
    project = os.environ.get(environment.PROJECT)
    wanted = isinstance(settings, dict) and not settings.get("wandb_enabled")
    if wanted and project and artifacts.current_run() is not None:
        settings["wandb_enabled"] = True
        settings["wandb"] = {**(settings.get("wandb") or {}), "project": project}
    return original(*args, **kwargs)
