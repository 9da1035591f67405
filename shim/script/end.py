"""Tell the companion that the script ends: by one atexit handler, which runs after all others. Nothing else is wrapped.

Where the handler does not run (a signal, os._exit, an exec), the companion sees the end by itself. Only where the
script is a container's first process does it wait at such an end, too: the kernel then ends all processes of the
container.
"""

import atexit
import os
import sys

from .exit_state import SIGNAL_BASE, ExitState

# Seconds that the end waits for a companion that takes nothing of what it is told.
FLUSH_BOUND = 10.0
# Seconds that the end of a container's first process may take once SIGTERM has come: `docker stop` waits 10.
ABRUPT_BOUND = 8.0
# Seconds. The companion's own bounds (companion/ending.py) count; this one only ends a wait that has become senseless.
FOR_EVER = 86400.0

# Seconds that a killed process may take to be gone once its socket is gone.
_DYING_BOUND = 0.5

# Functions to call before the end is told: they bring to the run what has to reach it first.
before: "list[Callable[[], object]]" = []


class End:
    """Tells the companion how this process ends.

    Args:
        channel: To the companion.
        main_frame: The frame of `__main__`; see ExitState.
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
            pass  # Ctrl-C during the wait, or something needed here is gone already: the companion goes on alone

    def tell(self, code: int, bound: float) -> None:
        """Tell the exit code, once, and wait until the run is finished.

        Args:
            code: The exit code that a shell would see.
            bound: Seconds.
        """
        if self._told:
            return
        self._told = True
        for call in before:
            try:
                call()
            except Exception:
                pass  # the process ends all the same, and the run has what has reached it
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
            sys.stdout.write(attach.last_words(answer["stdout"]))  # wandb's, for a script that has asked for its run
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
        """See to SIGTERM and `os._exit` in a container's first process.

        There SIGTERM has no default action, and the end of this process is the end of all others.
        """
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
