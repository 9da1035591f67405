"""A handler of SIGTERM that nobody sees: who looks finds the default, and the process still dies by the signal."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class SilentSigterm:
    """A handler of SIGTERM that nobody sees.

    Libraries install theirs only where they find the default (Lightning's signal connector), so `signal.getsignal`
    and `signal.signal` go on naming the default where it is really ours. Forked children get the default itself.

    Args:
        pid: The process.
        wakeup: A descriptor that gets the signal's number, for the thread that ends the process.
        patience: Seconds for which the main thread is held meanwhile.
    """

    _handler: Callable[[int, FrameType | None], None] | None = None
    _getsignal = staticmethod(signal.getsignal)

    def __init__(self, pid: int, wakeup: int, patience: float) -> None:
        self._pid = pid
        self._wakeup = wakeup
        self._patience = patience
        self._masks = threading.local()

    def take(self) -> None:
        """Install the handler, and hide it."""
        real = signal.signal
        SilentSigterm._handler = self._handle
        real(signal.SIGTERM, self._handle)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        signal.signal = self._hiding_signal(real)
        signal.getsignal = self._hiding_getsignal()
        # A child that gets SIGTERM before it has dropped our handler would write into our pipe.
        os.register_at_fork(
            before=self._block,
            after_in_parent=self._unblock,
            after_in_child=functools.partial(self._drop, real),
        )

    @classmethod
    def is_ours(cls) -> bool:
        """Whether the script has left our handler in place."""
        return cls._handler is not None and cls._getsignal(signal.SIGTERM) == cls._handler

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Hold the main thread where it is; the guard's thread, woken by the pipe, ends the process."""
        os.write(self._wakeup, bytes([number]))  # again, should the script have taken the wakeup descriptor
        threading.Event().wait(self._patience)

    def _hiding_signal(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def signal_(signalnum: int, handler: Any) -> Any:
            if signalnum == signal.SIGTERM and handler == signal.SIG_DFL and os.getpid() == self._pid:
                handler = self._handle
            return _hidden(real(signalnum, handler))

        return signal_

    def _hiding_getsignal(self) -> Callable[..., Any]:
        @functools.wraps(self._getsignal)
        def getsignal(signalnum: int) -> Any:
            return _hidden(self._getsignal(signalnum))

        return getsignal

    def _block(self) -> None:
        self._masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)

    def _drop(self, real: Callable[..., Any]) -> None:
        if self.is_ours():
            real(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        self._unblock()


def _hidden(handler: Any) -> Any:
    return signal.SIG_DFL if handler is not None and handler == SilentSigterm._handler else handler
