"""Ultralytics: what its trainer has measured in an epoch is a row of the run, and its arguments the configuration.

By default its settings switch its own W&B callbacks off. `BaseTrainer.run_callbacks` (engine/trainer.py), which is
called at each event, is watched, and no callback is added to a trainer's lists. The rows are those of
utils/callbacks/wb.py, without the pictures and curves, and without the count of operations, for which that file runs
the model. On several GPUs child processes train, of which nothing is told.

Remove when: never.
"""

from __future__ import annotations

import weakref
from types import ModuleType
from typing import Any

from ..script import content
from . import wrapping

MODULE = "ultralytics.engine.trainer"

# For each trainer, the epoch that it has trained last; after the last epoch it validates the best model once more.
_trained: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def apply(module: ModuleType) -> None:
    """Watch a trainer's events.

    Raises:
        AttributeError: This release has nothing of the shape that is known.
    """
    wrapping.required(module.BaseTrainer, "run_callbacks", _on, title="what Ultralytics measures")


def _on(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    handler = _HANDLERS.get(wrapping.argument(args, kwargs, 1, "event"))
    if handler is not None:
        handler(args[0])


def _begin(trainer: Any) -> None:
    content.tells("ultralytics")
    content.config(vars(trainer.args), under="ultralytics")
    for prefix in ("train", "lr", "metrics", "val"):
        content.define(f"{prefix}/*", step_metric="epoch")


def _end_training(trainer: Any) -> None:
    _trained[trainer] = trainer.epoch


def _end_epoch(trainer: Any) -> None:
    if content.wanted(content.METRICS):
        row = {**trainer.metrics, "epoch": trainer.epoch + 1}
        if _trained.get(trainer) == trainer.epoch:
            row |= {**trainer.label_loss_items(trainer.tloss, prefix="train"), **trainer.lr}
        content.metrics(row)


def _end(trainer: Any) -> None:
    content.metrics({"epoch": trainer.epoch + 1})


_HANDLERS = {
    "on_pretrain_routine_end": _begin,
    "on_train_epoch_end": _end_training,
    "on_fit_epoch_end": _end_epoch,
    "on_train_end": _end,
}
