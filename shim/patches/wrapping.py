"""Watch what a function of another library is given and what it returns, in plain Python.

The patches of checkpoints replace functions, and need the wrappers of wrapt. Here a function stays what it is: it is
called with what it was given, and what it raises goes to the script. A failure of ours is one line.
"""

from __future__ import annotations

import functools
from _thread import _local
from collections.abc import Callable
from typing import Any

from ..script import content

# Called with the result, and with what the original was called with.
Watcher = Callable[[Any, tuple[Any, ...], dict[str, Any]], object]
# Called before, with the same but for the result.
Forerunner = Callable[[tuple[Any, ...], dict[str, Any]], object]


class Depth(_local):
    """How many calls of the watched functions that share this object are under way in a thread.

    Attributes:
        calls: That number.
    """

    calls = 0


def after(
    owner: Any, name: str, then: Watcher, *, title: str, outermost: Depth | None = None, first: Forerunner | None = None
) -> bool:
    """Have `then(result, args, kwargs)` called after each call of `owner.name` that has not raised.

    Args:
        owner: A class or a module.
        name: Of a function in it that is no class method; of a method `args` begin with its object.
        then: What is called.
        title: What is lost where it fails, for the one line that says so.
        outermost: If given, `then` is left out for a call that is made within another call of a function that was
            given the same object.
        first: What is called before the function, if anything.

    Returns:
        Whether there is such a function; it is wrapped once.
    """
    found = vars(owner).get(name)
    original = found.__func__ if isinstance(found, staticmethod) else found
    if not callable(original):
        return False
    if hasattr(original, "_is_of_wandb_shim"):
        return True
    depth = outermost or Depth()

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if first is not None:
            quietly(first, args, kwargs, title=title)
        depth.calls += 1
        try:
            result = original(*args, **kwargs)
        finally:
            depth.calls -= 1
        if outermost is None or not depth.calls:
            quietly(then, result, args, kwargs, title=title)
        return result

    watched._is_of_wandb_shim = True  # type: ignore[attr-defined]
    setattr(owner, name, staticmethod(watched) if isinstance(found, staticmethod) else watched)
    return True


def nothing(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Do nothing: for a function that is watched only before its call."""


def required(
    owner: Any, name: str, then: Watcher, *, title: str, outermost: Depth | None = None, first: Forerunner | None = None
) -> None:
    """Do what `after` does, for a function that must be there.

    Raises:
        AttributeError: The function is not there: the release has another shape.
    """
    if not after(owner, name, then, title=title, outermost=outermost, first=first):
        raise AttributeError(f"there is no {owner.__name__}.{name}")


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], at: int, name: str) -> Any:
    """The argument that a function was given at a place or by a name; None where it was given neither."""
    return args[at] if len(args) > at else kwargs.get(name)


def quietly(call: Callable[..., object], *args: Any, title: str) -> None:
    """Call a hook; one that fails says so in one line, and is not called again."""
    if content.has_failed(title):
        return
    try:
        call(*args)
    except Exception as error:  # the script's own call must not fail because of us
        content.failed(title, error)
