"""Who else logs the checkpoints of this process: a patch of the script's own around ours, or the script itself.

The companion decides (companion/beside.py). It is told that a save is held, since somebody else has wrapped the
function that we have wrapped; to which directories the script's own artifacts refer; and that the save is over.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable
from typing import Any

from .. import log
from ..wrapt_source import load_wrapt
from . import checkpoints

_FILE = "file://"


def stand_around(place: Any, names: Iterable[str], ours: Iterable[Any]) -> None:
    """Make sure that our wrapper is the outermost of these functions.

    Args:
        place: The module or class that has the functions, or a class that inherits from it.
        names: Names of the functions.
        ours: The functions that are found there where nobody else has wrapped them.
    """
    wrapt = load_wrapt()
    known = [id(one) for one in ours]
    for name in names:
        owner = next((one for one in getattr(place, "__mro__", (place,)) if name in vars(one)), None)
        function = vars(owner)[name] if owner is not None else None
        outermost = isinstance(function, wrapt.FunctionWrapper) and function._self_wrapper is checkpoints.around
        if function is not None and id(function) not in known and not outermost:
            setattr(owner, name, wrapt.FunctionWrapper(function, checkpoints.around))


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
                checkpoints.tell({"tell": "logged", "path": directory, "is_model": result.type == "model"})
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
