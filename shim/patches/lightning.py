"""Lightning: configuration, metrics and checkpoints, whatever logger the script has, or none.

Why: only a `WandbLogger` tells W&B anything, and the script has to make it. What that logger would be given is taken
where the Trainer gives it to all loggers; no callback or logger of ours is in the script's lists.

What is relied on (lightning and pytorch_lightning 2.6.6, one code under two names):
- trainer/connectors/logger_connector/logger_connector.py, `_LoggerConnector.log_metrics`: called every
  `log_every_n_steps`, also without a logger, with figures that are not yet numbers; and how it chooses the step;
- loggers/wandb.py, `WandbLogger`: its rows and its definitions;
- trainer/trainer.py, `Trainer._run`: calls `_log_hyperparams(self)`, a global of that module, once in each stage;
- trainer/trainer.py, `_teardown`: calls `_LoggerConnector.teardown`, which takes all figures from the GPU;
- trainer/setup.py: with `fast_dev_run` nothing is logged; tuner/*.py: nothing is logged of what a tuner tries out.

In a script without a logger nothing waits for the GPU where figures are logged, and so nothing of ours may. The figures
are copied while the GPU works on, and told when they have come, at the latest in the teardown.

Remove when: never.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ..script import content
from . import lightning_checkpoints, wrapping

MODULES = ("lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer")

_STEP = "trainer/global_step"
_TITLE = "what Lightning logs"
_AND_PARAMETERS = "what Lightning has for hyperparameters"
# The framework's own names for a logger that does nothing, and for W&B's.
_DUMMY, _WANDB = "DummyLogger", "WandbLogger"

# Rows whose figures are on their way from the GPU, each with the event after which they are there, and with its time.
_coming: deque[tuple[dict[str, Any], Any, float]] = deque()
# Whether it has been told over which metric the others are drawn.
_defined = False


def apply(module: ModuleType) -> bool:
    """Watch the Trainer and its parts; once, and only in a shape that is known."""
    known = lightning_checkpoints.apply(module)
    connector = getattr(module, "_LoggerConnector", object)
    watched = (
        wrapping.after(connector, "log_metrics", _on_log, title=_TITLE),
        wrapping.after(connector, "teardown", _on_teardown, title=_TITLE),
        wrapping.after(module, "_log_hyperparams", _on_parameters, title=_AND_PARAMETERS, first=_begins),
    )
    if not all(watched):
        raise AttributeError("_LoggerConnector or _log_hyperparams is not as it was; metrics are not in the run")
    return known


def _on_log(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    trainer, given = args[0].trainer, wrapping.argument(args, kwargs, 1, "metrics")
    if not given or not content.wanted(content.METRICS) or not _is_logged(trainer):
        return
    row, step = dict(given), wrapping.argument(args, kwargs, 2, "step")
    if step is None:
        step = row.pop("step", None)
        if step is None:
            row.setdefault("epoch", trainer.current_epoch)
            step = trainer.fit_loop.epoch_loop._batches_that_stepped
    row[_STEP] = step
    on_gpu = {} if trainer.loggers else {name: value for name, value in row.items() if getattr(value, "is_cuda", False)}
    if on_gpu:
        _copy(row, on_gpu)
    elif _coming:
        _coming.append((row, None, time.time()))
    else:
        _tell(row)
    _tell_what_has_come()


def _tell(row: dict[str, Any], at: float = 0.0) -> None:
    global _defined
    if not _defined:
        _defined = True
        content.define(_STEP)
        content.define("*", step_metric=_STEP, step_sync=True)
    tensor = sys.modules["torch"].Tensor
    numbers = {
        name: value.item() if isinstance(value, tensor) and value.numel() == 1 else value for name, value in row.items()
    }
    content.metrics({**numbers, _STEP: int(numbers[_STEP])}, at=at)


def _copy(row: dict[str, Any], on_gpu: Mapping[str, Any]) -> None:
    """Have figures copied as soon as the GPU has computed them, without a wait for the copies."""
    cuda = sys.modules["torch"].cuda
    for name, value in on_gpu.items():
        row[name] = value.detach().to("cpu", non_blocking=True) if value.numel() == 1 else None
    with cuda.device(next(iter(on_gpu.values())).device):
        event = cuda.Event()
        event.record()
    _coming.append((row, event, time.time()))


def _tell_what_has_come(wait: bool = False) -> None:
    """Tell the rows that have come, in the order in which they were logged."""
    while _coming:
        row, event, at = _coming[0]
        if event is not None:
            if wait:
                event.synchronize()
            elif not event.query():
                return
        _coming.popleft()
        _tell(row, at)


def _on_teardown(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    _tell_what_has_come(wait=True)


def _begins(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Say that Lightning's metrics are told here, before a TensorBoardLogger is given the first of them."""
    if _is_logged(wrapping.argument(args, kwargs, 0, "trainer")):
        content.tells("lightning")


def _on_parameters(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Tell the hyperparameters as `_log_hyperparams` puts them together, but without its copies of the values."""
    trainer = wrapping.argument(args, kwargs, 0, "trainer")
    if not content.wanted(content.CONFIG) or not _is_logged(trainer):
        return
    found: dict[str, Any] = {}
    for owner in (trainer.lightning_module, trainer.datamodule):
        if getattr(owner, "_log_hyperparams", False):
            found.update(getattr(owner, "_hparams_initial", {}))
    found.pop("_class_path", None)  # LightningCLI adds it
    if found:
        content.config(found, under="lightning")


def _is_logged(trainer: Any) -> bool:
    """Whether a logger would log what this Trainer has, and no logger brings it to W&B by itself."""
    if not trainer.is_global_zero or trainer.fast_dev_run or lightning_checkpoints.is_tuning():
        return False
    if not trainer.loggers:
        return True
    names = {base.__name__ for logger in trainer.loggers for base in type(logger).__mro__}
    return not names & {_DUMMY, _WANDB}
