"""Notice that a patch is dead: its library saves checkpoints and does not call the wrapped function any more.

A library that moves to another function leaves the patch in place and without effect; nobody would notice that
checkpoints are no longer logged. So each patch says when a directory comes into use and when its function is called,
and before the run ends, the newest checkpoint that is complete by the library's own account is compared.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable

from .. import artifacts, environment, log
from . import wandb_finish


class Liveness:
    """One library's patch, and whether it works.

    Args:
        library: Name of its distribution.
        package: Name of its package, which may know its version where it was not installed.
        function: What is wrapped.
        newest: Tells the newest complete checkpoint of a directory; "" where there is none.
    """

    def __init__(self, library: str, package: str, function: str, newest: Callable[[str], str]) -> None:
        self._library = library
        self._package = package
        self._function = function
        self._newest = newest
        self._before: dict[str, str] = {}
        self._over = False

    def watch(self, directory: str) -> None:
        """Checkpoints will be saved in `directory`."""
        self._before.setdefault(directory, self._newest(directory))
        if self._check not in wandb_finish.before_finish:
            wandb_finish.before_finish.append(self._check)

    def called(self) -> None:
        """The wrapped function is at work."""
        self._over = True

    def unknown(self, problem: str) -> None:
        """Warn that the library is not as it was; once, in the process of a job that has its run or may have it."""
        if self._over:
            return
        self._over = True
        may_own = os.environ.get(environment.OWNED_BY, "").startswith(f"{os.getpid()}@")
        if may_own or artifacts.current_run() is not None:
            log.warn(f"{self._name_and_version()}: {problem}; its checkpoints may be missing in W&B")

    def _name_and_version(self) -> str:
        try:
            version = importlib.metadata.version(self._library)
        except importlib.metadata.PackageNotFoundError:
            version = getattr(sys.modules.get(self._package), "__version__", "of unknown version")
        return f"{self._library} {version}"

    def _check(self) -> None:
        for directory, before in self._before.items():
            if self._newest(directory) not in ("", before):
                self.unknown(f"it saved {self._newest(directory)} in {directory} without calling {self._function}")
