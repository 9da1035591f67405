"""LightGBM: what it evaluates in an iteration is a row of the run, like one of W&B's own callback; and the parameters.

`lightgbm.train`, in which the scikit-learn API ends, and `lightgbm.cv` keep their evaluations in variables of their own
and show them to callbacks alone (engine.py). No callback is added: it would change the numbers that order the script's
own callbacks. What these functions call last in an iteration is watched, `Booster.eval_valid` and `_agg_cv_result`, and
the rest is read from their frames; where a script calls `eval_valid` itself, nothing is told. The rows and the metrics'
summaries are those of wandb/integration/lightgbm/__init__.py; iterations without an evaluation are no rows here.

Remove when: never.
"""

from __future__ import annotations

import sys
from types import FrameType, ModuleType
from typing import Any

from ..script import content
from . import wrapping

MODULE = "lightgbm.engine"

_MINIMIZE = frozenset(["l1", "l2", "rmse", "mape", "huber", "fair", "poisson", "gamma", "binary_logloss"])
_MAXIMIZE = frozenset(["map", "auc", "average_precision"])
_TITLE = "what LightGBM evaluates"
# How many frames lie between a function that is told a result and the caller of what is watched: `quietly`, `watched`.
_CALLER = 3


def apply(module: ModuleType) -> None:
    """Watch the functions that end an iteration.

    Raises:
        AttributeError: This release has nothing of the shape that is known.
    """
    train, cv = (getattr(module, name, None) for name in ("train", "cv"))
    codes = [getattr(function, "__code__", None) for function in (train, cv)]
    known = {"i", "params", "evaluation_result_list"}
    if codes[0] is None or codes[1] is None or not known <= {*codes[0].co_varnames} or "i" not in codes[1].co_varnames:
        raise AttributeError("train and cv are not as they were")

    def trained(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        frame = sys._getframe(_CALLER)
        if frame.f_code is codes[0]:
            seen = frame.f_locals
            _tell(seen, seen["init_iteration"], [*seen["evaluation_result_list"], *result])

    def validated(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        frame: FrameType = sys._getframe(_CALLER)
        if frame.f_code is codes[1]:
            _tell(frame.f_locals, 0, result)

    wrapping.required(module.Booster, "eval_valid", trained, title=_TITLE)
    wrapping.required(module, "_agg_cv_result", validated, title=_TITLE)


def _tell(seen: Any, first: int, results: list[Any]) -> None:
    named = [value for item in results for value in _values(item)]
    row = {f"{data}_{metric}": value for data, metric, value in named}
    iteration = seen["i"]
    if iteration == first:
        content.config(seen["params"], under="lightgbm")
        for data, metric, _ in named:
            content.define_best(f"{data}_{metric}", metric, lowest=_MINIMIZE, highest=_MAXIMIZE)
    if row:
        content.metrics({**row, "iteration": iteration})


def _values(item: Any) -> list[tuple[str, str, float]]:
    """The data's name, the metric's name and the value of one result; for `cv` one each for mean and deviation."""
    data, metric, value = item[:3]
    if len(item) < 5:
        return [(data, metric, value)]
    if " " in metric:  # up to 4.6 a result of `cv` is ("cv_agg", "valid l2", …)
        data, _, metric = metric.partition(" ")
    return [(data, f"{metric}-mean", value), (data, f"{metric}-stdv", item[4])]
