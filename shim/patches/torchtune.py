"""torchtune: what a recipe gives its logger is in the run, whichever logger the recipe has: metrics and configuration.

Why: only a `WandBLogger` tells W&B, and a recipe has one only where its configuration names it. The rows, and the
metric that they are drawn over, are those of `WandBLogger`, which asks for the run itself and is left alone.

What is relied on (torchtune 0.6.1, torchtune/training/metric_logging.py): the loggers of that module, each with
`log(name, data, step)`, `log_dict(payload, step)` and `log_config(config)`, called on the first rank alone.
`TensorBoardLogger.log_dict` calls its `log`, which writes to `log_dir`.

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import omegaconf, wrapping
from .naming import absolute

MODULE = "torchtune.training.metric_logging"

_STEP = "global_step"
_TITLE = "what torchtune logs"
_LEFT_ALONE = ("MetricLoggerInterface", "WandBLogger")

# Whether it was said what rows are drawn over.
_defined = False


def apply(module: ModuleType) -> None:
    """Watch the loggers.

    Raises:
        AttributeError: This release has nothing of the shape that is known.
    """
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and "log_dict" in vars(kind)]
    kinds = [kind for kind in kinds if kind.__name__ not in _LEFT_ALONE]
    if not kinds:
        raise AttributeError("there is no logger")
    for kind in kinds:
        depth = wrapping.Depth()
        wrapping.required(kind, "log", _on_log, title=_TITLE, outermost=depth)
        wrapping.required(kind, "log_dict", _on_log_dict, title=_TITLE, outermost=depth)
        wrapping.required(kind, "log_config", _on_config, title="the configuration of torchtune")
    if hasattr(module, "TensorBoardLogger"):
        wrapping.required(module.TensorBoardLogger, "__init__", _on_tensorboard, title=_TITLE)


def _on_tensorboard(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    content.tells_in(absolute(args[0].log_dir))


def _on_log(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    name, data, step = (wrapping.argument(args, kwargs, at, key) for at, key in enumerate(("name", "data", "step"), 1))
    _tell({name: data}, step)


def _on_log_dict(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    _tell(wrapping.argument(args, kwargs, 1, "payload"), wrapping.argument(args, kwargs, 2, "step"))


def _tell(row: Any, step: Any) -> None:
    global _defined
    if not content.wanted(content.METRICS):
        return
    if not _defined:
        _defined = True
        content.define(_STEP)
        content.define("*", step_metric=_STEP, step_sync=True)
    content.metrics({**row, _STEP: step})


def _on_config(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if content.wanted(content.CONFIG):
        content.config(omegaconf.resolved(wrapping.argument(args, kwargs, 1, "config")), under="torchtune")
