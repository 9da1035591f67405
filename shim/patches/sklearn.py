"""scikit-learn: class and parameters of what the script fits are its configuration, a score that it asks for a metric.

Hundreds of classes have a `fit` of their own. All of scikit-learn's pass `BaseEstimator._validate_params` once at its
beginning (base.py, `_fit_context`, from 1.3 on), which looks at the parameters and keeps nothing; that one is watched,
and so are the two `score` that most estimators inherit, and that of a search. What another fit, a search, a
cross-validation, a pipeline or a worker of joblib fits and scores is none of the script's own: there are frames of
scikit-learn below the script's. An estimator itself is never changed, wrapped or kept.

Remove when: never.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Mapping
from types import FrameType, ModuleType
from typing import Any

from ..script import content, end
from . import wrapping

MODULES = ("sklearn.base", "sklearn.model_selection._search")

# How many classes are told; of each the first fits at once, and later ones no more often than once in so many seconds.
_CLASSES_MAX = 36
_AT_ONCE = 100
_PAUSE = 1.0
# Functions of scikit-learn between the script's call and what is watched, of the same object or of a pipeline's last
# step: `fit_transform` is TransformerMixin's, `wrapped` that of set_output, and some have a `fit` that is partial_fit.
# The `fit` of what fits others has a `wrapper` of its own.
_LEADS_TO_FIT = frozenset(["wrapped", "fit", "fit_transform", "fit_predict"])
_LEADS_TO_SCORE = frozenset(["score"])
# From what is called with a result up to who has called the watched function: `quietly`, `watched`; and for a fit,
# `wrapper` of _fit_context.
_CALLER = 3
_CALLER_OF_FIT = 4
_INSTALLED = frozenset(["site-packages", "dist-packages"])
_FITTED, _SCORE = "what scikit-learn fits", "what scikit-learn scores"


class _Class:
    """What was told of the fits of one class.

    Attributes:
        fits: How many there were.
        at: When the last was told.
        waiting: The last one, where it was not told yet.
    """

    __slots__ = ("at", "fits", "waiting")

    def __init__(self) -> None:
        self.fits = 0
        self.at = 0.0
        self.waiting: weakref.ref[Any] | None = None


_classes: dict[str, _Class] = {}


def apply(module: ModuleType) -> None:
    """Watch the fits and the scores.

    Raises:
        AttributeError: This release has none of the shape that is known.
    """
    if module.__name__ != MODULES[0]:
        wrapping.required(module.BaseSearchCV, "score", _scored, title=_SCORE)
        return
    wrapping.required(module.BaseEstimator, "_validate_params", _fitting, title=_FITTED)
    for mixin in (module.ClassifierMixin, module.RegressorMixin):
        wrapping.required(mixin, "score", _scored, title=_SCORE)
    end.before.append(_tell_last)


def _fitting(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    estimator = args[0]
    frame = sys._getframe(_CALLER_OF_FIT)
    if not content.wanted(content.CONFIG) or _asked_by(frame, _LEADS_TO_FIT, estimator) is None:
        return
    name = type(estimator).__name__
    if name not in _classes and len(_classes) >= _CLASSES_MAX:
        return
    of_class = _classes.setdefault(name, _Class())
    of_class.fits += 1
    now = time.monotonic()
    if of_class.fits <= _AT_ONCE or now - of_class.at >= _PAUSE:
        of_class.at, of_class.waiting = now, None
        _tell(name, estimator)
    else:
        of_class.waiting = weakref.ref(estimator)


def _tell(name: str, estimator: Any) -> None:
    parameters = estimator.get_params()
    content.config({name: {key: _plain(parameters[key]) for key in sorted(parameters)}}, under="sklearn")


def _tell_last() -> None:
    for name, of_class in _classes.items():
        estimator = of_class.waiting() if of_class.waiting is not None else None
        if estimator is not None:
            _tell(name, estimator)


def _plain(value: Any) -> Any:
    """A parameter; of an estimator, an array and the like the name of the class: none is looked into."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(held) for key, held in value.items()}
    number = content.as_number(value)
    if number is not None:
        return number
    return content.as_text(value) if hasattr(value, "__qualname__") else type(value).__qualname__


def _scored(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if content.wanted(content.METRICS):
        outermost = _asked_by(sys._getframe(_CALLER), _LEADS_TO_SCORE, args[0])
        if outermost is not None:
            content.metrics({f"score/{type(outermost).__name__}": result})


def _asked_by(frame: FrameType | None, leads: frozenset[str], estimator: Any) -> Any:
    """The object whose method the script has called in its main thread; None where another object has done it.

    Args:
        frame: Of the caller of what was called last.
        leads: Functions of scikit-learn that only lead there.
        estimator: Whose method was called last.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    is_led = True
    while frame is not None:
        module = frame.f_globals.get("__name__") or ""
        if module.startswith(("sklearn.", "joblib.")):
            if not is_led or frame.f_code.co_name not in leads:
                return None
            if frame.f_code.co_name == "score":  # of a pipeline, or of what inherits it
                estimator = frame.f_locals["self"]
        elif is_led and module != wrapping.__name__:
            is_led = False
            if not _is_of_the_script(frame, module):
                return None
        frame = frame.f_back
    return estimator


def _is_of_the_script(frame: FrameType, module: str) -> bool:
    """Whether code is the program's own; a library that happens to fit something is not."""
    if module == "__main__" or not _INSTALLED.intersection(frame.f_code.co_filename.split("/")):
        return True
    spec = getattr(sys.modules["__main__"], "__spec__", None)  # python -m package.program
    return spec is not None and spec.name.partition(".")[0] == module.partition(".")[0]
