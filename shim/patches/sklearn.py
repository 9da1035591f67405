"""scikit-learn: class and parameters of what the script fits are its configuration, the scores it asks for metrics.

Hundreds of classes have a `fit` of their own. Each `fit` of scikit-learn calls `BaseEstimator._validate_params` once at
its beginning (base.py, `_fit_context`, from 1.3 on), which looks at the parameters and keeps nothing. This method is
watched, and so are the two `score` that most estimators inherit, and the `score` of a search. Nothing is told of what
another fit, a search, a cross-validation, a pipeline or a worker of joblib fits and scores: there, scikit-learn's own
frames lie between the script's call and what is watched. An estimator itself is never changed, wrapped or kept.

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

# The most classes that are told; how many fits of a class are told at once; and the seconds between later ones.
_CLASSES_MAX = 36
_AT_ONCE = 100
_PAUSE = 1.0
# Functions of scikit-learn that may lie between the script's call and what is watched, of the same object or of a
# pipeline's last step: `fit_transform` of TransformerMixin, `wrapped` of set_output, and a `fit` that calls
# partial_fit. An estimator that fits others shows by one more frame: the `wrapper` around its own `fit`.
_LEADS_TO_FIT = frozenset(["wrapped", "fit", "fit_transform", "fit_predict"])
_LEADS_TO_SCORE = frozenset(["score"])
# How many frames lie between a function that is told a result and the caller of what is watched: `quietly`, `watched`;
# for a fit also `wrapper` of _fit_context.
_CALLER = 3
_CALLER_OF_FIT = 4
_INSTALLED = frozenset(["site-packages", "dist-packages"])
_FITTED, _SCORE = "what scikit-learn fits", "what scikit-learn scores"


class _Class:
    """What has been told of the fits of one class.

    Attributes:
        fits: The number of fits so far.
        at: The time of the last fit that was told.
        waiting: The estimator of the last fit, where that has not been told yet.
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
        AttributeError: This release has nothing of the shape that is known.
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
    """A parameter as a plain value. An estimator, an array and the like give the name of their class, and no more."""
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
    """The object whose method the script has called in its main thread; None where the call is not the script's own.

    Args:
        frame: The frame of the caller of the watched method.
        leads: Names of scikit-learn's functions that may lie in between.
        estimator: The object whose method is watched.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    is_led = True
    while frame is not None:
        module = frame.f_globals.get("__name__") or ""
        if module.startswith(("sklearn.", "joblib.")):
            if not is_led or frame.f_code.co_name not in leads:
                return None
            if frame.f_code.co_name == "score":  # that of a pipeline, or of a class that inherits `score`
                estimator = frame.f_locals["self"]
        elif is_led and module != wrapping.__name__:
            is_led = False
            if not _is_of_the_script(frame, module):
                return None
        frame = frame.f_back
    return estimator


def _is_of_the_script(frame: FrameType, module: str) -> bool:
    """Whether the code of a frame is the program's own, and not that of a library which fits something."""
    if module == "__main__" or not _INSTALLED.intersection(frame.f_code.co_filename.split("/")):
        return True
    spec = getattr(sys.modules["__main__"], "__spec__", None)  # python -m package.program
    return spec is not None and spec.name.partition(".")[0] == module.partition(".")[0]
