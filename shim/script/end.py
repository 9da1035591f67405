"""The end of the script, told to its companion: by one atexit handler, the last in time. Nothing else is wrapped.

An end without it (a signal, os._exit, an exec) the companion sees by itself. Only as a container's first process does
the script wait there, too: with it the kernel ends every other process of the container.
"""

import atexit
import os
import sys

from .exit_state import SIGNAL_BASE, ExitState

# Seconds that the end waits for the companion to take what it was told, as long as it takes nothing.
FLUSH_BOUND = 10.0
# Seconds that the end of a container's first process may take once SIGTERM has come: `docker stop` waits 10.
ABRUPT_BOUND = 8.0
# Seconds. The companion's own bounds (companion/ending.py) are what counts: this one only ends a wait for nothing.
FOR_EVER = 86400.0

# Seconds that a process which is being killed takes to be gone, once its socket is.
_DYING_BOUND = 0.5

# Called before the end is told: what has to reach the run first.
before: "list[Callable[[], object]]" = []


class End:
    """Tells the companion how this process ends.

    Args:
        channel: To the companion.
        main_frame: The frame of `__main__`, see ExitState.
    """

    def __init__(self, channel: "Channel", main_frame: "FrameType | None") -> None:
        self._channel = channel
        self._exit_state = ExitState(main_frame)
        self._told = False

    def arm(self) -> None:
        """Register with the interpreter."""
        atexit.register(self._at_exit)
        os.register_at_fork(after_in_child=self._exit_state.release)
        if self._channel.pid == 1:
            self._stand_in_for_an_init()

    def _at_exit(self) -> None:
        try:
            code = self._exit_state.code()
            self._exit_state.release()
            if os.getpid() == self._channel.pid:
                self.tell(code, FOR_EVER)
        except (Exception, KeyboardInterrupt):
            pass  # Ctrl-C while it waits, or something is gone that it needs: the companion goes on alone

    def tell(self, code: int, bound: float) -> None:
        """Tell the exit code, once, and wait until the run is finished.

        Args:
            code: As a shell would see it.
            bound: Seconds.
        """
        if self._told:
            return
        self._told = True
        for call in before:
            try:
                call()
            except Exception:
                pass  # the process is ending; the run has what it has
        from . import start

        if start.console is not None:
            start.console.flush()
        sent = self._channel.flush(min(FLUSH_BOUND, bound))
        lost = self._channel.lost
        answer = self._channel.ask({"ask": "end", "code": code, "frames": sent, "lost": lost}, bound)
        if answer is None:
            self._say_what_is_missing()
        self._channel.close()
        attach = sys.modules.get(f"{__package__}.attach")
        if answer and answer.get("stdout") and attach is not None and sys.stdout is not None:
            sys.stdout.write(attach.last_words(answer["stdout"]))  # of wandb, which the script has asked for its run
            sys.stdout.flush()

    def _say_what_is_missing(self) -> None:
        import time

        from .. import log

        until = time.monotonic() + _DYING_BOUND
        companion = self._channel.companion
        while time.monotonic() < until:
            if self._channel.companion_is_stopped():
                log.warn(f"the run's own process, {companion}, is stopped: it finishes the run as soon as it goes on")
                return
            if self._channel.companion_was_killed():
                kept = "the run has what came until then, at W&B or below wandb/"
                log.warn(f"the run's own process, {companion}, was killed or could not start: {kept}")
                return
            time.sleep(0.01)

    def _stand_in_for_an_init(self) -> None:
        """As a container's first process: SIGTERM has no default action there, and every end is everybody's end."""
        import signal

        leave = os._exit

        def terminated(number: int, frame: object) -> None:
            self.tell(SIGNAL_BASE + number, ABRUPT_BOUND)
            leave(SIGNAL_BASE + number)

        def leaving(status: int) -> "NoReturn":
            if os.getpid() == self._channel.pid:
                self.tell(status & 0xFF if isinstance(status, int) else 1, ABRUPT_BOUND)
            leave(status)

        leaving.__name__ = leaving.__qualname__ = "_exit"
        os._exit = leaving
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, terminated)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

    from .channel import Channel
