"""What the script prints, read from the pipe and given to wandb, many lines at a time.

wandb takes the console by replacing `write` of this process's streams, and makes a message to its service of each
write. Nothing else comes of what is written to these streams.
"""

from __future__ import annotations

import codecs
import marshal
import os
import select
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from .. import log
from ..script import frames

# The most bytes of one write of ours to a stream.
_WRITE_MAX = 60000
_READ_MAX = 1 << 20


class Console:
    """Reads the pipe in a thread of its own, from now on.

    Args:
        descriptor: The pipe's reading end.
        take: Called with each message of the script that is not console output.
        printed: Called with each piece of console output and the kind of its stream.

    Raises:
        OSError: There is no /proc here.
    """

    def __init__(
        self, descriptor: int, take: Callable[[dict[str, Any]], None], printed: Callable[[int, bytes], None]
    ) -> None:
        self._descriptor = descriptor
        # A writing end of our own: so the pipe never ends, and a program that the script's process executes can open
        # it.
        self._writer = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._take = take
        self._printed = printed
        self._rest = b""
        self._frames = 0
        self._parts: list[tuple[int, bytes]] = []
        self._begun: dict[bytes, bytes] = {}
        self._decoders = {kind: codecs.getincrementaldecoder("utf-8")("replace") for kind in (0, 1)}
        self._changed = threading.Condition()
        self._emitting = threading.Lock()
        self._open = False
        self._over = False

    def hello(self) -> dict[str, Any]:
        """Read what the script says of itself, which comes first."""
        data = b""
        while True:
            kind, low, high = os.read(self._descriptor, 3)  # one write makes a frame, so all of it is there
            self._frames += 1
            if kind == frames.HELLO_END:
                said: dict[str, Any] = marshal.loads(data)
                return said
            data += os.read(self._descriptor, low | high << 8)

    def start(self) -> None:
        """Read on, in the background."""
        threading.Thread(target=self._run, name="console", daemon=True).start()

    def open(self) -> None:
        """Give wandb, which takes the streams from now on, all that was printed until now, and then the rest."""
        self._open = True
        self._emit()

    def close(self) -> None:
        """Give wandb no more: what is printed from now on belongs to no run."""
        self._emit()
        self._over = True

    def wait_for(self, count: int, seconds: float, lost: int = 0) -> None:
        """Wait until a number of frames have been read, and give wandb all of them.

        Args:
            count: The number of frames since the start.
            seconds: The longest wait.
            lost: The number of frames that the script had to drop; a line in the run's console says so.
        """
        self.wait_for_frames(count, seconds)
        if lost:
            text = f"wandb-shim: about {lost} pieces of output are missing here: the run could not take them in time\n"
            with self._changed:
                self._parts.append((frames.STDERR, text.encode()))
        self._emit()

    def wait_for_frames(self, count: int, seconds: float) -> None:
        """Wait until a number of frames have been read, and the messages among them taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames >= count, seconds)

    def take_the_rest(self) -> None:
        """Read what a script that is gone has left in the pipe; it has not said how much that is."""
        with self._changed:
            self._changed.wait_for(lambda: not select.select([self._descriptor], [], [], 0)[0], 5)
        self._emit()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        while True:
            poll.poll()
            found = list(self._read())
            for kind, text in found:
                if kind in (frames.MESSAGE, frames.PART, frames.LAST_PART):
                    self._hear(kind, text)
                elif kind in (frames.STDOUT, frames.STDERR):
                    self._printed(kind, text)
            with self._changed:
                if not self._over:
                    self._parts += [part for part in found if part[0] in (frames.STDOUT, frames.STDERR)]
                self._frames += len(found)
                self._changed.notify_all()
            if self._open:
                self._emit()

    def _hear(self, kind: int, text: bytes) -> None:
        """Take a message, or a part of one."""
        if kind == frames.MESSAGE:
            return self._tell(text)
        label, part = text[: frames.LABEL], text[frames.LABEL :]
        whole = self._begun.pop(label, b"") + part
        if kind == frames.LAST_PART:
            return self._tell(whole)
        self._begun[label] = whole
        return None

    def _tell(self, text: bytes) -> None:
        try:
            self._take(marshal.loads(text))
        except Exception as error:  # of a message that makes no sense only that message is lost
            log.debug(f"a message of the script was not understood: {type(error).__name__}: {error}")

    def _read(self) -> Iterable[tuple[int, bytes]]:
        data, at = self._rest + os.read(self._descriptor, _READ_MAX), 0
        while at + 3 <= len(data):
            end = at + 3 + (data[at + 1] | data[at + 2] << 8)
            if end > len(data):
                break
            yield data[at], data[at + 3 : end]
            at = end
        self._rest = data[at:]

    def _emit(self) -> None:
        """Give wandb what has come; pieces of one stream that follow each other go together."""
        with self._emitting:
            with self._changed:
                parts, self._parts = self._parts, []
            at = 0
            while at < len(parts):
                kind, end, size = parts[at][0], at, 0
                while end < len(parts) and parts[end][0] == kind and size < _WRITE_MAX:
                    size += len(parts[end][1])
                    end += 1
                text = self._decoders[kind].decode(b"".join(part for _, part in parts[at:end]))
                (sys.stderr if kind == frames.STDERR else sys.stdout).write(text)
                at = end
