"""The run of a process, hidden until its script asks for one."""

from __future__ import annotations

import contextlib
import os
from types import ModuleType
from typing import Any

from .patches import wandb_asked
from .wandb_hooks import WandbHooks

# `vars(wandb)` that a hidden run binds come back under these names when it is handed over.
_MISSING = object()


class OpenRun:
    """The run of this process, from its opening to its end.

    Attributes:
        run: The `wandb.Run`.
        handed_over: Whether the script has asked for it.
        resumable: The run that the script's resume="auto" would go on with, if any.
        pid: The process whose run this is; a forked child has none.
    """

    def __init__(
        self,
        wandb: ModuleType,
        run: Any,
        before: dict[str, Any],
        hooks: WandbHooks,
        *,
        resumable: str | None = None,
    ) -> None:
        self.wandb = wandb
        self.run = run
        self._hooks = hooks
        self.handed_over = False
        self.resumable = resumable
        self.pid = os.getpid()
        self._before = wandb_asked.Before(wandb)
        self._changed: dict[str, Any] | None = None
        self._bound = {name: value for name, value in vars(wandb).items() if before.get(name, _MISSING) is not value}
        for name in self._bound:
            if name in before:
                setattr(wandb, name, before[name])
            else:
                delattr(wandb, name)

    @property
    def finished(self) -> bool:
        """Whether the run has ended, by whomever; to a forked child it is as good as that."""
        return self.pid != os.getpid() or bool(getattr(self.run, "_is_finished", False))

    def changed(self) -> dict[str, Any]:
        """What the script said between the opening and its first init by variables and `wandb.setup`, as arguments."""
        if self._changed is None:
            return self._before.changed()
        now = self._before.changed()  # what has changed again since is wandb's to read, or not
        return {name: value for name, value in self._changed.items() if now.get(name) == value}

    def hand_over(self, *, bind: bool = True) -> Any:
        """Show the run to the script, as if its own `wandb.init` had opened it, and let wandb talk as it would."""
        if not self.handed_over:
            self.handed_over = True
            self._changed = self._before.changed()
            self._hooks.put_back()
            self.run._settings.silent = wandb_asked.global_settings(self.wandb).silent
            if bind:
                for name, value in self._bound.items():
                    setattr(self.wandb, name, value)
            with contextlib.suppress(Exception):  # what it prints at its start is no reason to fail
                self.run._header()
        return self.run
