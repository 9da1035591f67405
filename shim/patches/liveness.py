"""What a patch tells of itself, so that one whose function is no longer called is noticed (companion/liveness.py)."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from typing import Any

from .. import environment, log
from ..layouts import NEWEST
from ..script import attach, beside, checkpoints, end


class Liveness:
    """One library's patch, and whether it works.

    Args:
        library: Name of its distribution.
        package: Name of its package, which may know the version of a library that is not installed.
        function: The name of the wrapped function.
        layout: The layout of its directories of checkpoints; see layouts.py.
    """

    def __init__(self, library: str, package: str, function: str, layout: str) -> None:
        self._library = library
        self._package = package
        self._function = function
        self._layout = layout
        self._over = False
        self._wrapped: tuple[Any, str, Any] | None = None

    def stands(self, owner: Any, name: str) -> None:
        """Note where our wrapper stands, to look before the run ends whether it still stands there."""
        self._wrapped = owner, name, vars(owner)[name]

    def watch(self, directory: str) -> None:
        """Watch a directory in which checkpoints will be saved."""
        checkpoints.follow_artifacts()
        if self._wrapped is not None:
            owner, name, ours = self._wrapped
            beside.stand_around(owner, (name,), (ours,))
        for calls in (attach.before_finish, end.before):
            if self._look_again not in calls:
                calls.append(self._look_again)
        self._tell("watch", directory=directory, before=NEWEST[self._layout](directory))

    def called(self) -> None:
        """Note that the library has called the wrapped function."""
        if not self._over:
            self._over = True
            self._tell("called")

    def unknown(self, problem: str) -> None:
        """Warn, once, that the library has another shape; only in a process that has the job's run, or may have it."""
        if self._over:
            return
        self._over = True
        may_own = os.environ.get(environment.OWNED_BY, "").startswith(f"{os.getpid()}@")
        if may_own or checkpoints.has_run():
            log.warn(
                f"{self._name_and_version()}: {problem}; its checkpoints may be missing in W&B; log them in the script "
                "or ask for a wandb-shim that knows this version"
            )
            self._tell("called")  # the warning is said, and the companion is not to say another

    def _look_again(self) -> None:
        """Tell which function has taken the place of our wrapper, if any has."""
        if self._wrapped is None or self._over:
            return
        owner, name, ours = self._wrapped
        function = found = vars(owner).get(name)
        while function is not None and function is not ours:
            function = getattr(function, "__wrapped__", None)
        if function is None and found is not None:
            by = f"{getattr(found, '__module__', '?')}.{getattr(found, '__qualname__', found)}"
            self._tell("replaced", by=by)

    def _tell(self, what: str, **more: str) -> None:
        of_patch = {"library": self._name_and_version(), "function": self._function, "layout": self._layout}
        message = {"tell": what, **more, **of_patch}
        if not checkpoints.tell(message):
            checkpoints.tell_after_the_end(message)

    def _name_and_version(self) -> str:
        try:
            version = importlib.metadata.version(self._library)
        except importlib.metadata.PackageNotFoundError:
            version = getattr(sys.modules.get(self._package), "__version__", "of unknown version")
        return f"{self._library} {version}"
