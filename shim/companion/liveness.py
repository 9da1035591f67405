"""Notice that a patch is dead: its library saves checkpoints and does not call the wrapped function any more.

A library that moves to another function leaves the patch in place and without effect; nobody would notice that
checkpoints are no longer logged. So each patch tells when a directory comes into use and when its function is called,
and before the run ends, the newest checkpoint that is complete by the library's own account is compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .. import log
from ..layouts import NEWEST


@dataclass
class _Patch:
    layout: str
    function: str
    called: bool = False
    before: dict[str, str] = field(default_factory=dict)


class Liveness:
    """The patches that are in use, by their library's name and version."""

    def __init__(self) -> None:
        self._patches: dict[str, _Patch] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Take what a patch tells (patches/liveness.py): "watch", with a directory, or "called"."""
        patch = self._patches.setdefault(message["library"], _Patch(message["layout"], message["function"]))
        if message["tell"] == "called":
            patch.called = True
        else:
            patch.before.setdefault(message["directory"], message["before"])

    def check(self) -> None:
        """Warn, once a library, where a checkpoint was saved and no function called."""
        for library, patch in self._patches.items():
            for directory, before in patch.before.items():
                newest = NEWEST[patch.layout](directory)
                if not patch.called and newest not in ("", before):
                    patch.called = True
                    log.warn(
                        f"{library}: it saved {newest} in {directory} without calling {patch.function}; "
                        "its checkpoints may be missing in W&B"
                    )
