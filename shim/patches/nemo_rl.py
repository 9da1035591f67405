"""NeMo-RL: each checkpoint becomes an artifact, once, on every release, and its own W&B logging is switched on.

Why: up to v0.7 the algorithms end a save with `CheckpointManager.finalize_checkpoint`; on main they call
`begin_finalization`, whose background thread goes through `_rename_checkpoint` and never through the former
(https://github.com/NVIDIA-NeMo/RL/pull/2828). `_rename_checkpoint` is the one place that all saves pass, where it
exists; the release's number does not tell (main calls itself 0.6.0).

Remove when: NeMo-RL logs its checkpoints to W&B itself.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from .. import environment, log
from ..checkpoint import Checkpoint
from ..script import attach, beside, checkpoints
from ..wrapt_source import load_wrapt
from .liveness import Liveness

MODULE = "nemo_rl.utils.checkpoint"
LOGGER_MODULE = "nemo_rl.utils.logger"

# Where every save passes, the newest shape first.
LAST_STEPS = ("_rename_checkpoint", "finalize_checkpoint")

_STEP = re.compile(r"step_(\d+)")

# Seconds that a script's own end of the run waits for saves that are being finalized, while their files grow, and where
# they do not; WANDB_FINISH_TIMEOUT lowers both.
SAVE_BOUND = 60.0
PATIENCE = 5.0

_artifact_name = "rl"
# Of each manager, the directory of the save that has begun last.
_managers: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
# What stands in the manager's class under LAST_STEPS where nobody but us has changed it.
_last_steps: list[Any] = []


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
    """Patch `CheckpointManager`, or the logger's switch, whichever `module` holds; once, if the shape is known."""
    if module.__name__ == LOGGER_MODULE:
        return _wrap(getattr(module, "Logger", None), f"{module.__name__}.Logger", {"__init__": _switch_on})
    manager = getattr(module, "CheckpointManager", None)
    last_step = next((name for name in LAST_STEPS if name in vars(manager or object)), " or ".join(LAST_STEPS))
    wrappers = {last_step: _on_save, "init_tmp_checkpoint": _on_begin, "load_training_info": _on_load}
    known = _wrap(manager, f"{module.__name__}.CheckpointManager", wrappers)
    if known:
        _last_steps[:] = [vars(manager).get(name) for name in LAST_STEPS]
        _liveness.stands(manager, last_step)
    return known


def _wrap(owner: Any, title: str, wrappers: dict[str, Callable[..., Any]]) -> bool:
    wrapt = load_wrapt()
    missing = [name for name in wrappers if name not in vars(owner or object)]
    if owner is None or missing:
        _liveness.unknown(f"there is no {title} with {' and '.join(missing or wrappers)}")
        return False
    for name, wrapper in wrappers.items():
        function = vars(owner)[name]
        if not isinstance(function, wrapt.FunctionWrapper):
            setattr(owner, name, wrapt.FunctionWrapper(function, wrapper))
    return True


def _on_begin(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A save begins: its directory is in use."""
    result = original(*args, **kwargs)
    try:
        if checkpoints.has_run():
            beside.stand_around(type(instance), LAST_STEPS, _last_steps)
            _liveness.watch(os.path.abspath(instance.checkpoint_dir))
            _managers[instance] = os.path.abspath(result)
            if _wait_for_saves not in attach.before_finish:
                attach.before_finish.insert(0, _wait_for_saves)  # only then is the newest checkpoint there
    except Exception as error:
        log.warn(f"{MODULE}: this save may be missing in W&B, look there: {type(error).__name__}: {error}")
    return result


def _on_save(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    checkpoints.settle()  # up to v0.7 the original deletes older ones, on main its caller does
    _liveness.called()  # before the checkpoint is there: the process may be ended in between
    result = original(*args, **kwargs)
    temporary = Path(args[0] if args else kwargs["checkpoint_path"])
    try:
        if checkpoints.has_run():
            path = Path(os.path.abspath(temporary.parent), temporary.name.removeprefix("tmp_"))
            checkpoints.saved(_checkpoint(path, instance))
    except Exception as error:
        log.warn(f"{temporary} is saved and no artifact of the run; log it by hand: {type(error).__name__}: {error}")
    return result


def _on_load(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Called when an algorithm is set up; with None where there is nothing to resume from."""
    result = original(*args, **kwargs)
    given = args[0] if args else kwargs.get("checkpoint_path")
    try:
        if checkpoints.has_run():
            checkpoints.recover(os.path.abspath(instance.checkpoint_dir))
            if given is not None:
                read = _checkpoint(Path(os.path.abspath(given)), None)
                checkpoints.loaded(read.name, read)
    except Exception as error:
        log.warn(
            f"{given} is loaded and no input of the run; name it in WANDB_SHIM_INPUTS: {type(error).__name__}: {error}"
        )
    return result


def _checkpoint(path: Path, manager: Any | None) -> Checkpoint:
    """The one at `path`; with the aliases of a new one where the manager that saved it is given."""
    found = _STEP.fullmatch(path.name)
    metrics = _metrics(path)
    aliases = [path.name]
    if manager is not None:
        aliases += ["latest", "best"] if _is_best(path, metrics, manager) else ["latest"]
    return Checkpoint(str(path), _artifact_name, int(found[1]) if found else 0, "step", tuple(aliases), metrics)


def _is_best(path: Path, metrics: dict[str, Any], manager: Any) -> bool:
    """Whether no other checkpoint is better.

    As `CheckpointManager.get_best_checkpoint_path` finds it, the newer of two equal ones included. That one warns
    about checkpoints without the metric, which is a matter between the script and itself.
    """
    others = (_metrics(other) for other in path.parent.glob("step_*") if other != path)
    known = [value for value in (infos.get(manager.metric_name) for infos in others) if _is_number(value)]
    value = metrics.get(manager.metric_name)
    if not _is_number(value):
        return False
    return bool(all(value >= other if manager.higher_is_better else value <= other for other in known))


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not math.isnan(value)


def _metrics(path: Path) -> dict[str, Any]:
    """What the algorithm wrote into training_info.json: "val:accuracy" and the like."""
    try:
        with open(path / "training_info.json", encoding="utf-8") as file:
            info = json.load(file)
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


_liveness = Liveness("nemo-rl", "nemo_rl", f"{MODULE}.CheckpointManager.{' or '.join(LAST_STEPS)}", "nemo-rl")


def _wait_for_saves() -> None:
    """The single-controller actor finishes its logger before its checkpointer, whose last save belongs to that run.

    The thread is joined, no more: what went wrong in it is for the manager to say to its caller (`shutdown`). Nobody
    waits in a script that has failed or is over: without the shim the save would end with the process.
    """
    error = sys.exc_info()[1]
    failed = error is not None and not (isinstance(error, SystemExit) and not error.code)
    if failed or not threading.main_thread().is_alive():
        return
    end = time.monotonic() + min(SAVE_BOUND, environment.finish_timeout(os.environ) or SAVE_BOUND)
    for manager, directory in list(_managers.items()):
        thread = getattr(manager, "_finalize_thread", None)
        if isinstance(thread, threading.Thread) and thread is not threading.current_thread():
            _wait_for(thread, directory, end)


def _wait_for(thread: threading.Thread, directory: str, end: float) -> None:
    """Wait as long as the files of a save grow."""
    size, since = _size_of(directory), time.monotonic()
    while thread.is_alive():
        left = min(end, since + PATIENCE) - time.monotonic()
        if left <= 0:
            return
        thread.join(min(left, 1.0))
        now = _size_of(directory)
        if now != size:
            size, since = now, time.monotonic()


def _size_of(directory: str) -> int:
    size = 0
    for place, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):  # renamed in between
                size += os.stat(os.path.join(place, name)).st_size
    return size


def _switch_on(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`logger.wandb_enabled: false` builds no WandbLogger; the job's own project says otherwise."""
    settings: Any = args[0] if args else kwargs.get("cfg")
    project = os.environ.get(environment.PROJECT)
    wanted = isinstance(settings, dict) and not settings.get("wandb_enabled")
    if wanted and project and checkpoints.has_run():
        settings["wandb_enabled"] = True
        settings["wandb"] = {**(settings.get("wandb") or {}), "project": project}
    return original(*args, **kwargs)
