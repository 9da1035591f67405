"""What a patch of a training library says of checkpoints: one message each, and no wait.

They belong to the job's run, which the companion holds. A process without a channel of its own has one as well: a
child that has got the job's run by its companion's address, a script that has opened its run itself by a companion
that joins that one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .. import log
from ..checkpoint import Checkpoint
from . import attach, channel

# Seconds that a save waits at most until the one before it has been looked at; local work, done long ago unless
# saves follow each other at once. And how long ago is long ago.
_SETTLE_BOUND = 10.0
_LONG_AGO = 60.0

_last_save = 0.0
# By thread: the checkpoints of a save that somebody else stands around; None outside of one.
_around = threading.local()


def has_run() -> bool:
    """Whether checkpoints of this process have a run to belong to."""
    return _way() is not None


def tell(message: dict[str, Any]) -> bool:
    """Tell the companion; whether it has one to tell. Never raises."""
    try:
        way = _way()
        return way is not None and way.tell({**message, "run": attach.id_of_own_run()})
    except Exception as error:  # the library's own call must not fail on our account
        log.debug(f"{message['tell']} was not told: {type(error).__name__}: {error}")
        return False


def recover(directory: str) -> None:
    """Checkpoints are saved in `directory`: what a killed job has left there is to be logged now."""
    tell({"tell": "place", "directory": directory})


def settle() -> None:
    """To be called where older checkpoints may be deleted next: wait until their files have been looked at."""
    way = _way()
    if way is not None and _last_save and time.monotonic() - _last_save < _LONG_AGO:
        way.ask({"ask": "settle", "frames": way.sent}, _SETTLE_BOUND)


def saved(checkpoint: Checkpoint, place_noted_in: str = "") -> None:
    """A checkpoint is complete: it becomes an artifact of the run.

    Args:
        checkpoint: What was saved.
        place_noted_in: A file that is to say in which project, as "entity/project"; none where it is empty.
    """
    global _last_save
    held = getattr(_around, "held", None)
    message = {"tell": "saved", "checkpoint": checkpoint.to_dict(), "place": place_noted_in}
    if tell({**message, "hold": held is not None}):
        if held is not None:
            held.append(checkpoint.path)
        _last_save = time.monotonic()
    else:
        log.warn(f"{checkpoint.path} is not in W&B, the run's companion is gone; log it by hand: wandb artifact put")


def around(original: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Stand around a save and whoever else does: what was saved is held until this returns (companion/beside.py)."""
    if getattr(_around, "held", None) is not None:
        return original(*args, **kwargs)
    held: list[str] = []
    _around.held = held
    try:
        return original(*args, **kwargs)
    finally:
        _around.held = None
        for path in held:
            tell({"tell": "over", "path": path})


def loaded(name: str, checkpoint: Checkpoint) -> None:
    """A checkpoint was read: it is an input of the run.

    Args:
        name: Of its artifact, "entity/project/name:alias" or less.
        checkpoint: What is logged where W&B does not know that artifact.
    """
    tell({"tell": "loaded", "name": name, "checkpoint": checkpoint.to_dict()})


def _way() -> channel.Channel | None:
    found = channel.current()
    if found is not None and not attach.has_left():
        return found
    return attach.way_of_this_process()
