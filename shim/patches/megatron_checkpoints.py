"""The hooks that Megatron-Bridge and Megatron-LM call after each save and load, without the wait.

Why: the hooks of both walk the checkpoint's files and talk to the server while all ranks wait at a barrier
(megatron/bridge/training/checkpointing.py, 0.3.1, lines 809-852; megatron/training/checkpointing.py, core_v0.19.0,
`wandb_finalize_fn`). In asynchronous saves of Megatron-Bridge up to v0.6 the `iteration` is that of a later step
(https://github.com/NVIDIA-NeMo/Megatron-Bridge/pull/5738), and `pretrain()` of Megatron-Bridge 0.3 saves the last step
twice. Here the step comes from the path, the companion does the work, and the same checkpoint is logged once.

Remove when: both log their checkpoints in the background.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import log
from ..checkpoint import Checkpoint
from ..script import checkpoints
from ..wrapt_source import load_wrapt
from .liveness import Liveness

# The hooks, each with the parameters for which this was written; a hook with other parameters is left alone.
Shapes = Mapping[str, tuple[str, ...]]

# The file in which Megatron notes entity and project of the last artifact, for the next job that loads from there.
TRACKER = "latest_wandb_artifact_path.txt"

_STEP = re.compile(r"iter_(\d+)$")


def wrap(module: ModuleType, shapes: Shapes, liveness: Liveness) -> bool:
    """Wrap both hooks of `module`, once; whether the shape of the module is known."""
    wrapt = load_wrapt()
    missing = []
    for name, parameters in shapes.items():
        function = getattr(module, name, None)
        if isinstance(function, wrapt.FunctionWrapper):
            continue
        if function is None or function.__code__.co_varnames[: function.__code__.co_argcount] != parameters:
            missing.append(f"no {name}({', '.join(parameters)})")
            continue
        replacement = partial(_called, parameters=parameters, liveness=liveness)
        setattr(module, name, wrapt.FunctionWrapper(function, replacement))
        if "save_dir" in parameters:
            liveness.stands(module, name)
    if missing:
        liveness.unknown(f"{module.__name__} has {' and '.join(missing)}, and is left as it is")
    return not missing


def begin(directory: Callable[[], str | None], liveness: Liveness) -> None:
    """Watch the directory in which checkpoints will be saved, and log what a killed job has left there. Never raises.

    Args:
        directory: Gives that directory; None where nothing will be saved.
        liveness: The library's.
    """
    try:
        if checkpoints.has_run() and (given := directory()):
            liveness.watch(os.path.abspath(given))
            checkpoints.recover(os.path.abspath(given))
    except Exception as error:
        log.warn(
            "checkpoints that a killed job has left uncommitted are not logged, the next start tries again: "
            f"{type(error).__name__}: {error}"
        )


class NoWriter:
    """A TensorBoard writer that takes everything and keeps nothing.

    Megatron logs a metric to W&B only where it has a writer for TensorBoard, too (`if writer and …` in
    megatron/bridge/training/utils/train_utils.py, 0.3.1, line 478, and megatron/training/training.py).
    """

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


def _called(
    original: Callable[..., Any],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    parameters: tuple[str, ...],
    liveness: Liveness,
) -> Any:
    """In place of either hook: leave its work to the companion; call the hook itself where this process has no run."""
    given = {**dict(zip(parameters, args, strict=False)), **kwargs}
    saved = "save_dir" in parameters
    if saved:
        liveness.called()
    if not checkpoints.has_run():
        return original(*args, **kwargs)
    try:
        path = _directory_of(given["checkpoint_path"])
        if saved:
            _saved(path, given["save_dir"], given["iteration"])
        else:
            _loaded(path, given["load_dir"])
    except Exception as error:
        problem = "saved and no artifact of the run; log it by hand" if saved else "loaded and no input of the run"
        log.warn(f"{given['checkpoint_path']} is {problem}: {type(error).__name__}: {error}")
    return None


def _saved(path: str, save_dir: str, iteration: int) -> None:
    if os.path.exists(path):  # a local, non-persistent checkpoint of 0.3.0 is not on disk
        checkpoints.settle()  # `most_recent_k` deletes older ones as soon as this returns
        tracker = os.path.abspath(os.path.join(save_dir, TRACKER))
        checkpoints.saved(_checkpoint(path, save_dir, iteration), place_noted_in=tracker)


def _loaded(path: str, load_dir: str) -> None:
    checkpoints.recover(os.path.dirname(path))
    checkpoint = _checkpoint(path, load_dir, 0)
    project = _read(os.path.join(load_dir, TRACKER))
    checkpoints.loaded(f"{project}/{checkpoint.name}" if project else checkpoint.name, checkpoint)


def _directory_of(path: str) -> str:
    """The checkpoint's directory, also where Megatron-LM names a rank's file in it (`--ckpt-format torch`)."""
    absolute = Path(os.path.abspath(path))  # links stay: their names are those of the checkpoints
    return str(next((place for place in (absolute, *absolute.parents) if _STEP.fullmatch(place.name)), absolute))


def _checkpoint(path: str, directory: str, iteration: int) -> Checkpoint:
    """The checkpoint at `path`, with the names that Megatron gives an artifact, so that its own lookups find it."""
    found = _STEP.search(path)
    step = int(found[1]) if found else iteration
    return Checkpoint(path, Path(os.path.abspath(directory)).stem, step, "iteration", (Path(path).stem,))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
