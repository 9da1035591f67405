"""XGBoost: what it evaluates in a round is a row of the run, like one of W&B's own callback; and the learner's setup.

`xgboost.train`, the scikit-learn API and `xgboost.cv` put all callbacks of a training into one container (training.py,
`train`), whose `after_iteration` evaluates and keeps the history (callback.py). That method is watched, and no callback
is added. Rows, best score and the metrics' summaries are those of wandb/integration/xgboost/xgboost.py. There the
configuration is the learner's `save_config()` before the training. Here it is asked for after the first round, when the
library has set itself up: before, the question would make the library say its warnings earlier. Rounds without an
evaluation are no rows here, and there is no plot of the features' importance.

Remove when: never.
"""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

from ..script import content
from . import wrapping

MODULE = "xgboost.callback"

_MINIMIZE = frozenset(["rmse", "rmsle", "mae", "mape", "mphe", "logloss", "error", "error@t", "merror"])
_MAXIMIZE = frozenset(["auc", "aucpr", "ndcg", "map", "ndcg@n", "map@n"])
# Parts of the learner's setup that are no parameters; the first is a list of 624 numbers.
_STATE = frozenset(["rng_state", "num_trees"])


def apply(module: ModuleType) -> None:
    """Watch the container of a training's callbacks.

    Raises:
        AttributeError: This release has nothing of the shape that is known.
    """
    for name, then in (("after_iteration", _after_iteration), ("after_training", _after_training)):
        wrapping.required(module.CallbackContainer, name, then, title="what XGBoost evaluates")


def _after_iteration(_: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    container, model, epoch = args[:3]
    if not content.wanted(content.METRICS) and not content.wanted(content.CONFIG):
        return
    rounds = 0
    row: dict[str, Any] = {}
    for data, metrics in container.history.items():
        for metric, log in metrics.items():
            rounds = len(log)
            # `xgboost.cv` gives mean and deviation, which get the names of the columns of its table.
            values = zip(("-mean", "-std"), log[-1], strict=True) if container.is_cv else [("", log[-1])]
            row |= {f"{data}-{metric}{kind}": value for kind, value in values}
    if rounds == 1 or (not row and epoch == 0):
        _begin(container, model)
    if row:
        content.metrics({**row, "epoch": epoch})


def _begin(container: Any, model: Any) -> None:
    learner = model.cvfolds[0].bst if container.is_cv else model
    content.config(_without_state(json.loads(learner.save_config())), under="xgboost")
    for data, metrics in container.history.items():
        for metric in metrics:
            content.define_best(f"{data}-{metric}", metric, lowest=_MINIMIZE, highest=_MAXIMIZE)


def _without_state(setup: Any) -> Any:
    if isinstance(setup, dict):
        return {name: _without_state(held) for name, held in setup.items() if name not in _STATE}
    return setup


def _after_training(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not args[0].is_cv and content.wanted(content.METRICS) and (score := model.attr("best_score")) is not None:
        content.metrics({"best_score": float(score), "best_iteration": int(model.attr("best_iteration"))})
