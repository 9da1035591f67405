"""CatBoost: once a training is over, its evaluations become rows of the run, and its parameters the configuration.

The training is C++ and keeps its own history. A callback would make it call Python in each iteration, and is refused on
a GPU. So `_CatBoostBase._train` (core.py), in which each `fit` ends, is watched, and `get_evals_result` is asked after
it. The rows are those of wandb/integration/catboost/catboost.py with the model's metric_period. The parameters and the
best score are those of `log_summary` there; its plot of the features' importance is left out.

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import wrapping

MODULE = "catboost.core"


def apply(module: ModuleType) -> None:
    """Watch a training's end.

    Raises:
        AttributeError: This release has nothing of the shape that is known.
    """
    wrapping.required(module._CatBoostBase, "_train", _trained, title="what CatBoost evaluates")


def _trained(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    model, *given = args
    parameters = model._object._get_plain_params()
    content.config(parameters, under="catboost")
    if not content.wanted(content.METRICS):
        return
    # The iterations of W&B's callback: the first, then one in each period, and the last.
    said = given[2] if len(given) > 2 else kwargs["params"]
    period = max(int(said.get("metric_period") or 1), 1)
    logs = {
        f"{data}-{metric}": log
        for data, metrics in model.get_evals_result().items()
        for metric, log in metrics.items()
        if log
    }
    for place in range(max(map(len, logs.values()), default=0)):
        iteration = min(place * period + 1, parameters["iterations"])
        row = {name: log[min(place, len(log) - 1)] for name, log in logs.items()}
        content.metrics({**row, f"iteration@metric-period-{period}": iteration})
    content.summary({"best_iteration": model.get_best_iteration(), "best_score": model.get_best_score()})
