"""Notice a patch without effect: its library saves checkpoints and does not call the wrapped function any more.

A library that moves to another function leaves the patch in place without effect, and nobody would notice that
checkpoints are no longer logged. So each patch tells when a directory comes into use and when its function is called.
Before the run ends, the newest complete checkpoint in such a directory is compared with the newest at its first use.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .. import log
from ..layouts import NEWEST

# Seconds that the message "called" may still be on its way when the checkpoint is there already.
_GRACE = 1.0


@dataclass
class _Patch:
    layout: str
    function: str
    called: bool = False
    replaced_by: str = ""
    before: dict[str, str] = field(default_factory=dict)


class Liveness:
    """Keeps the patches that are in use, by their library's name and version.

    Args:
        script_logs: Tells whether the script itself has logged anything below a directory.
    """

    def __init__(self, script_logs: Callable[[str], bool] = lambda directory: False) -> None:
        self._patches: dict[str, _Patch] = {}
        self._script_logs = script_logs
        self._changed = threading.Condition()

    def take(self, message: dict[str, Any]) -> None:
        """Take what a patch tells (patches/liveness.py): "watch", with a directory, "replaced" or "called"."""
        with self._changed:
            patch = self._patches.setdefault(message["library"], _Patch(message["layout"], message["function"]))
            if message["tell"] == "called":
                patch.called = True
            elif message["tell"] == "replaced":
                patch.replaced_by = message["by"]
            else:
                patch.before.setdefault(message["directory"], message["before"])
            self._changed.notify_all()

    def check(self) -> None:
        """Warn, once for each library, where a checkpoint was saved and the wrapped function was not called."""
        for library, patch in list(self._patches.items()):
            for directory, before in list(patch.before.items()):
                newest = "" if patch.called else NEWEST[patch.layout](directory)
                if newest not in ("", before) and not self._is_called(patch):
                    patch.called = True  # the warning is said, and is not to be said again
                    self._warn(library, patch, f"{newest} in {directory}", directory)

    def _is_called(self, patch: _Patch) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: patch.called, 0 if patch.replaced_by else _GRACE)

    def _warn(self, library: str, patch: _Patch, saved: str, directory: str) -> None:
        if not patch.replaced_by:
            log.warn(
                f"{library}: it saved {saved} without calling {patch.function}, so that its checkpoints are not in "
                "W&B; log them in the script, or ask for a wandb-shim that knows this version"
            )
        elif not self._script_logs(directory):
            log.warn(
                f"{library}: {patch.replaced_by} has taken the place of {patch.function} and logged no artifact of "
                f"{saved}; if its checkpoints are to be in W&B, take it out or let it log them"
            )
