"""What a patch of a training library says of checkpoints: one message each, and no wait.

Checkpoints belong to the job's run, which the companion holds. A process without a channel of its own has a companion
as well: a child that has got the job's run knows that companion's address, and a script that has opened its run itself
gets a companion that joins its run.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from .. import log
from ..checkpoint import Checkpoint
from . import attach, channel

# Seconds that a save waits at most until the companion has looked at the files of the save before. That is local work,
# and done by then, unless saves follow each other at once.
_SETTLE_BOUND = 10.0
# Seconds after a save from which on nothing is waited for.
_LONG_AGO = 60.0

_FILE = "file://"

_last_save = 0.0
# For each thread, the paths saved so far in a save that somebody else has wrapped, too; None outside of such a save.
_around = threading.local()


def has_run() -> bool:
    """Whether checkpoints of this process have a run to belong to."""
    return _way() is not None


def tell(message: dict[str, Any]) -> bool:
    """Tell the companion; whether there is one to tell. Never raises."""
    try:
        way = _way()
        return way is not None and way.tell({**message, "run": attach.id_of_own_run()})
    except Exception as error:  # the library's own call must not fail because of ours
        log.debug(f"{message['tell']} was not told: {type(error).__name__}: {error}")
        return False


def tell_after_the_end(message: dict[str, Any]) -> bool:
    """Tell the companion, which outlives a run that the script has finished; whether it is there. Never raises."""
    try:
        way = channel.current()
        return way is not None and not has_run() and way.tell(message)
    except Exception as error:
        log.debug(f"{message['tell']} was not told: {type(error).__name__}: {error}")
        return False


def recover(directory: str) -> None:
    """Have what a killed job has left in `directory` logged now; called where checkpoints are saved there."""
    tell({"tell": "place", "directory": directory})


def settle() -> None:
    """Wait until the files of saved checkpoints have been looked at; called where the library may delete some next."""
    way = _way()
    if way is not None and _last_save and time.monotonic() - _last_save < _LONG_AGO:
        way.ask({"ask": "settle", "frames": way.sent}, _SETTLE_BOUND)


def saved(checkpoint: Checkpoint, place_noted_in: str = "") -> None:
    """Make a complete checkpoint an artifact of the run, or leave it to the job's next start where the run is over.

    Args:
        checkpoint: What was saved.
        place_noted_in: A file into which the companion writes the run's "entity/project"; "" for none.
    """
    global _last_save
    follow_artifacts()
    held = getattr(_around, "held", None)
    message = {"tell": "saved", "checkpoint": checkpoint.to_dict(), "place": place_noted_in}
    if tell({**message, "hold": held is not None}):
        if held is not None:
            held.append(checkpoint.path)
        _last_save = time.monotonic()
    elif tell_after_the_end({"tell": "late", "checkpoint": checkpoint.to_dict()}):
        log.warn(f"{checkpoint.path} was complete after the run's end; the next start of this job logs it")
    else:
        log.warn(f"{checkpoint.path} is not in W&B, the run's companion is gone; log it by hand: wandb artifact put")


def around(original: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Wrap a save that somebody else has wrapped, too: what it saves is held until it returns (companion/beside.py)."""
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


def follow_artifacts() -> None:
    """Tell from now on to which directories the script's own artifacts refer; a second call changes nothing."""
    kind = getattr(getattr(sys.modules.get("wandb"), "sdk", None), "wandb_run", None)
    run = getattr(kind, "Run", None)
    original = getattr(run, "_log_artifact", None)
    if original is None or hasattr(original, "_is_of_wandb_shim"):
        return

    @functools.wraps(original)
    def log_artifact(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        try:
            directory = _directory_of(result)
            if directory:
                tell({"tell": "logged", "path": directory, "is_model": result.type == "model"})
        except Exception as error:  # no concern of the script's
            log.debug(f"an artifact of the script was not understood: {type(error).__name__}: {error}")
        return result

    log_artifact._is_of_wandb_shim = True  # type: ignore[attr-defined]
    run._log_artifact = log_artifact  # type: ignore[union-attr]


def _directory_of(artifact: Any) -> str:
    """The common directory of the local files to which an artifact refers; "" where it refers to none."""
    references = (getattr(entry, "ref", None) for entry in artifact.manifest.entries.values())
    files = [one.removeprefix(_FILE) for one in references if isinstance(one, str) and one.startswith(_FILE)]
    return os.path.realpath(os.path.commonpath(files)) if files else ""


def loaded(name: str, checkpoint: Checkpoint) -> None:
    """Make a checkpoint that was read an input of the run.

    Args:
        name: Its artifact's name, "entity/project/name:alias" or less.
        checkpoint: The checkpoint, which is logged where W&B does not know that artifact.
    """
    tell({"tell": "loaded", "name": name, "checkpoint": checkpoint.to_dict()})


def _way() -> channel.Channel | None:
    found = channel.current()
    if found is not None and not attach.has_left():
        return found
    return attach.way_of_this_process()
