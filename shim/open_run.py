"""The run of a process, hidden until its script asks for one."""

from __future__ import annotations

import contextlib
import os
import sys
from types import ModuleType
from typing import Any

from . import environment
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
        torn_down: Whether the script has called `wandb.teardown`, after which nothing reaches wandb's service.
        service: Where wandb's service is, as its children would find it in the environment.
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
        self.torn_down = False
        self.pid = os.getpid()
        self._before = wandb_asked.Before(wandb)
        self._changed: dict[str, Any] | None = None
        self._bound = {name: value for name, value in vars(wandb).items() if before.get(name, _MISSING) is not value}
        # Hidden from wandb itself, too: from Artifact.save, from W&B Weave, and from programs that the script starts.
        self.service = os.environ.pop(environment.SERVICE, "")
        with contextlib.suppress(AttributeError):  # of a later release
            run._wl.remove_active_run(run)
        for name in self._bound:
            if name in before:
                setattr(wandb, name, before[name])
            else:
                delattr(wandb, name)

    @property
    def finished(self) -> bool:
        """Whether the run has ended, by whomever; to a forked child it is as good as that."""
        return self.pid != os.getpid() or self.torn_down or bool(getattr(self.run, "_is_finished", False))

    def changed(self) -> dict[str, Any]:
        """What the script said between the opening and its first init by variables and `wandb.setup`, as arguments."""
        if self.torn_down:
            return {}  # wandb reads them anew
        if self._changed is None:
            return self._before.changed()
        now = self._before.changed()  # what has changed again since is wandb's to read, or not
        return {name: value for name, value in self._changed.items() if now.get(name) == value}

    def give_way(self) -> None:
        """End the run for another one that the script wants, without a word of wandb's."""
        self._show()
        self.run.finish()

    def tear_down(self) -> None:
        """Know that wandb's service takes nothing more."""
        self.torn_down = True
        self.run._is_finished = True

    def hand_over(self, *, bind: bool = True) -> Any:
        """Show the run to the script, as if its own `wandb.init` had opened it, and let wandb talk as it would."""
        if not self.handed_over:
            self._show()
            with contextlib.suppress(AttributeError):
                self.run._wl.add_active_run(self.run)
            self.run._settings.silent = wandb_asked.global_settings(self.wandb).silent
            if bind:
                for name, value in self._bound.items():
                    setattr(self.wandb, name, value)
        return self.run

    def _show(self) -> None:
        self.handed_over = True
        self._changed = self._before.changed()
        self._hooks.put_back()
        if self.service:
            os.environ[environment.SERVICE] = self.service

    def keep_on(self) -> None:
        """The script has called `wandb.teardown` before it asked for a run: forget what it said until then."""
        self._before.restore()

    def brought_a_key(self) -> bool:
        """Whether the run is offline for want of a key, and the script has brought one that the server takes."""
        return self.run.offline and self._before.has_another_key()

    def greet(self) -> None:
        """Print what `wandb.init` prints in the end."""
        with contextlib.suppress(Exception):  # no reason to fail
            self.run._header()


def wait_for_what_is_under_way() -> None:
    """Let checkpoints reach the run before wandb's service ends, as the end of a run does (patches/wandb_finish.py)."""
    finish = sys.modules.get(f"{__package__}.patches.wandb_finish")
    if finish is not None:
        finish.wait()
