"""Who else logs the checkpoints of this process: a patch of the script's own around ours, or the script itself.

The companion decides (companion/beside.py). It is told that a save is held, since somebody else has wrapped the
function that we have wrapped; to which directories the script's own artifacts refer; and that the save is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..wrapt_source import load_wrapt
from . import checkpoints


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
