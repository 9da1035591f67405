"""What wandb puts into the interpreter when it opens a run."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import Any


class WandbHooks:
    """What wandb puts into the interpreter when it opens a run: taken out of a script that never asked for it.

    `sys.exit` and `sys.excepthook` (wandb/sdk/lib/exit_hooks.py): the guard knows the exit code without them. And
    its atexit handlers, which end in a traceback in a forked child that exits.

    Attributes:
        in_place: Whether all is as wandb has left it.
    """

    def __init__(self) -> None:
        self._before = sys.exit, sys.excepthook
        self._theirs = self._before
        self._handlers: list[Callable[..., object]] = []
        self._register = atexit.register
        self.in_place = True
        atexit.register = self._noting_register  # type: ignore[assignment]

    def take_out(self) -> None:
        """To be called once the run is open."""
        atexit.register = self._register
        self._theirs = sys.exit, sys.excepthook
        sys.exit, sys.excepthook = self._before
        self.in_place = False
        os.register_at_fork(after_in_child=lambda: None if self.in_place else self.forget())

    def put_back(self) -> None:
        """The script has asked for the run: all is as if it had opened it."""
        self.in_place = True
        if sys.excepthook is self._before[1]:
            sys.excepthook = self._theirs[1]
        if sys.exit is self._before[0]:
            sys.exit = self._theirs[0]

    def _noting_register(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> object:
        self._handlers.append(function)
        return self._register(function, *args, **kwargs)

    def forget(self) -> None:
        """Take out wandb's atexit handlers, too."""
        for handler in self._handlers:
            atexit.unregister(handler)
