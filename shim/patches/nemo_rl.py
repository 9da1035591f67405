"""NeMo-RL: each checkpoint becomes an artifact, once, on every release, and its own W&B logging is switched on.

Why: up to v0.7 the algorithms end a save with `CheckpointManager.finalize_checkpoint`. On main they call
`begin_finalization`, whose background thread calls `_rename_checkpoint` and never `finalize_checkpoint`
(https://github.com/NVIDIA-NeMo/RL/pull/2828). Where there is a `_rename_checkpoint`, all saves call it; the release's
number does not tell whether there is (main calls itself 0.6.0).

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

# The last function that every save calls, the newest shape first.
LAST_STEPS = ("_rename_checkpoint", "finalize_checkpoint")

_STEP = re.compile(r"step_(\d+)")

# Where the script itself ends the run, seconds to wait for saves that are being finalized: in all, and while their
# files do not grow. WANDB_FINISH_TIMEOUT lowers the first.
SAVE_BOUND = 60.0
PATIENCE = 5.0

_artifact_name = "rl"
# For each manager, the directory of the save that has begun last.
_managers: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
# The functions in the manager's class under the names of LAST_STEPS, as they are where nobody but us has changed them.
_last_steps: list[Any] = []


def patch_nemo_rl_checkpoint_logging(artifact_name: str = "rl") -> bool:
    """Log NeMo-RL's checkpoints as artifacts; harmless where the shim has already done it.

    Args:
        artifact_name: The collection whose versions the checkpoints become.

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
    """Watch the directory of a save that begins."""
    result = original(*args, **kwargs)
    try:
        if checkpoints.has_run():
            beside.stand_around(type(instance), LAST_STEPS, _last_steps)
            _liveness.watch(os.path.abspath(instance.checkpoint_dir))
            _managers[instance] = os.path.abspath(result)
            if _wait_for_saves not in attach.before_finish:
                attach.before_finish.insert(0, _wait_for_saves)  # first of all: it brings the newest checkpoint
    except Exception as error:
        log.warn(f"{MODULE}: this save may be missing in W&B, look there: {type(error).__name__}: {error}")
    return result


def _on_save(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    checkpoints.settle()  # older checkpoints are deleted next: up to v0.7 by the original, on main by its caller
    _liveness.called()  # before the checkpoint is there, since the process may be ended in between
    result = original(*args, **kwargs)
    temporary = Path(args[0] if args else kwargs["checkpoint_path"])
    try:
        # One that began while the run was open belongs to it, even where the script has finished the run by now.
        if checkpoints.has_run() or _managers.get(instance) == os.path.abspath(temporary):
            path = Path(os.path.abspath(temporary.parent), temporary.name.removeprefix("tmp_"))
            checkpoints.saved(_checkpoint(path, instance))
    except Exception as error:
        log.warn(f"{temporary} is saved and no artifact of the run; log it by hand: {type(error).__name__}: {error}")
    return result


def _on_load(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Tell what was loaded where an algorithm is set up; the path is None where there is nothing to resume from."""
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
    """The checkpoint at `path`, with the aliases of a new one where the manager that has saved it is given."""
    found = _STEP.fullmatch(path.name)
    metrics = _metrics(path)
    aliases = [path.name]
    if manager is not None:
        aliases += ["latest", "best"] if _is_best(path, metrics, manager) else ["latest"]
    return Checkpoint(str(path), _artifact_name, int(found[1]) if found else 0, "step", tuple(aliases), metrics)


def _is_best(path: Path, metrics: dict[str, Any], manager: Any) -> bool:
    """Whether no other checkpoint is better; of two equal ones the newer is the best.

    `CheckpointManager.get_best_checkpoint_path` finds the same, but it also warns of checkpoints without the metric,
    and whether to call it is the script's own decision.
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
    """What the algorithm has written into training_info.json: "val:accuracy" and the like."""
    try:
        with open(path / "training_info.json", encoding="utf-8") as file:
            info = json.load(file)
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


_liveness = Liveness("nemo-rl", "nemo_rl", f"{MODULE}.CheckpointManager.{' or '.join(LAST_STEPS)}", "nemo-rl")


def _wait_for_saves() -> None:
    """Wait for saves under way before the run is finished.

    The single-controller actor finishes its logger before its checkpointer, whose last save belongs to that run. The
    save's thread is joined and no more: if it has failed, the manager tells its caller (`shutdown`). Nothing is waited
    for in a script that has failed or is over: without the shim the save would end with the process.
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
    """Wait for a save's thread as long as the files of the save grow."""
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
            with contextlib.suppress(OSError):  # the file has been renamed since
                size += os.stat(os.path.join(place, name)).st_size
    return size


def _switch_on(original: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Give the Logger a WandbLogger with the job's project, even where the recipe has `logger.wandb_enabled: false`."""
    settings: Any = args[0] if args else kwargs.get("cfg")
    project = os.environ.get(environment.PROJECT)
    wanted = isinstance(settings, dict) and not settings.get("wandb_enabled")
    if wanted and project and checkpoints.has_run():
        settings["wandb_enabled"] = True
        settings["wandb"] = {**(settings.get("wandb") or {}), "project": project}
    return original(*args, **kwargs)
