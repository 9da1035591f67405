"""fastai: what a learner's Recorder sees of each batch and epoch becomes rows, and the learner the configuration.

Every learner has a Recorder (learner.py), whose methods for events are watched. The rows are those of fastai's own
WandbCallback (callback/wandb.py): one for each batch, the last of an epoch with the epoch's metrics. Its pictures are
left out, and its samples a second, which it measures itself. The configuration is what the learner says of itself:
WandbCallback takes a batch from the data for it, which draws random numbers.

Remove when: never.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from ..script import content, end
from . import wrapping

MODULE = "fastai.learner"

_EVENTS = ("before_fit", "after_batch", "after_epoch")
_NO_METRICS = ("train_loss", "epoch", "time")


class _Rows:
    """The rows of all learners of the process, one after the other.

    Attributes:
        epoch: The number of epochs so far, the part of a running one included.
        row: The row of the last batch, which waits: the metrics of an epoch may still join it.
    """

    def __init__(self) -> None:
        self.epoch = 0.0
        self.row: dict[str, Any] = {}

    def flush(self) -> None:
        """Tell the row that waits."""
        row, self.row = self.row, {}
        if row:
            content.metrics(row)


_rows = _Rows()


def apply(module: ModuleType) -> None:
    """Watch the Recorder.

    Raises:
        AttributeError: This release has nothing of the shape that is known.
    """
    for event, then in zip(_EVENTS, (_before_fit, _after_batch, _after_epoch), strict=True):
        wrapping.required(module.Recorder, event, then, title="what fastai records")
    end.before.append(_rows.flush)


def _is_training(learner: Any) -> bool:
    """Whether the learner is training; neither a search for a learning rate nor a prediction is a training."""
    return (
        content.wanted(content.METRICS) and not hasattr(learner, "lr_finder") and not hasattr(learner, "gather_preds")
    )


def _before_fit(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    learner = args[0].learn
    _rows.flush()
    _rows.epoch = math.ceil(_rows.epoch)
    if hasattr(learner, "lr_finder") or not content.wanted(content.CONFIG):
        return
    names = ("loss_func", "opt_func", "lr", "wd", "wd_bn_bias", "train_bn", "moms", "n_epoch")
    values = {name: content.as_text(value) if callable(value) else value for name, value in _of(learner, names).items()}
    values["model"] = type(learner.model).__name__
    values["model parameters"] = sum(parameter.numel() for parameter in learner.model.parameters())
    values |= {"batch size": learner.dls.bs, "batch per epoch": len(learner.dls.train)}
    values["metrics"] = [metric.name for metric in learner.metrics]
    content.config(values, under="fastai")


def _of(learner: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(learner, name, None) for name in names}


def _after_batch(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    learner = args[0].learn
    if not learner.training or not len(learner.yb) or not _is_training(learner):
        return
    _rows.flush()
    _rows.epoch += 1 / learner.n_iter
    hypers = {f"{name}_{place}": value for place, of in enumerate(learner.opt.hypers) for name, value in of.items()}
    # Numbers are made now: the next batch may overwrite the tensors. The Recorder has fetched the loss already.
    seen = {"epoch": _rows.epoch, "train_loss": learner.smooth_loss, "raw_loss": learner.loss, **hypers}
    _rows.row = {name: content.as_number(value) for name, value in seen.items()}


def _after_epoch(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    recorder = args[0]
    if _rows.row:  # without a row this is no epoch of a training, but `Learner.validate`
        _rows.epoch = round(_rows.epoch)
        named = zip(recorder.metric_names, recorder.log, strict=False)
        _rows.row |= {"epoch": _rows.epoch, **{name: value for name, value in named if name not in _NO_METRICS}}
        _rows.flush()
