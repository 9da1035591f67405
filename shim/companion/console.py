"""What the script prints, read from the pipe and given to wandb, many lines at a time.

wandb takes the console by replacing `write` of this process's streams, where each write is one message to its
service. These streams lead nowhere else.
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

# Bytes that one write of ours to a stream has at most.
_WRITE_MAX = 60000
_READ_MAX = 1 << 20


class Console:
    """Reads the pipe in a thread of its own, from now on.

    Args:
        descriptor: The pipe's reading end.
        take: Called with each message of the script that is no console.
        printed: Called with each piece of the console, and the stream that it is of.

    Raises:
        OSError: there is no /proc here.
    """

    def __init__(
        self, descriptor: int, take: Callable[[dict[str, Any]], None], printed: Callable[[int, bytes], None]
    ) -> None:
        self._descriptor = descriptor
        # A writer of our own: the pipe has no end, and a program that the script's process executes finds it again.
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
        """Read what the script says of itself first."""
        data = b""
        while True:
            kind, low, high = os.read(self._descriptor, 3)  # a frame is written as one, so nothing of it is missing
            self._frames += 1
            if kind == frames.HELLO_END:
                said: dict[str, Any] = marshal.loads(data)
                return said
            data += os.read(self._descriptor, low | high << 8)

    def start(self) -> None:
        """Read on, in the background."""
        threading.Thread(target=self._run, name="console", daemon=True).start()

    def open(self) -> None:
        """Wandb takes the streams from now on: what was printed until now comes first."""
        self._open = True
        self._emit()

    def close(self) -> None:
        """What is printed from now on belongs to no run."""
        self._emit()
        self._over = True

    def wait_for(self, count: int, seconds: float, lost: int = 0) -> None:
        """Wait until this many frames have been read, and give wandb all of them.

        Args:
            count: Frames, since the start.
            seconds: How long at most.
            lost: Frames that the script had to drop, which the run's console says.
        """
        self.wait_for_frames(count, seconds)
        if lost:
            text = f"wandb-shim: about {lost} pieces of output are missing here: the run could not take them in time\n"
            with self._changed:
                self._parts.append((frames.STDERR, text.encode()))
        self._emit()

    def wait_for_frames(self, count: int, seconds: float) -> None:
        """Wait until this many frames have been read, and the messages among them taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames >= count, seconds)

    def take_the_rest(self) -> None:
        """The script is gone: what it left in the pipe, without its last word on how much that is."""
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
        """A message, or a part of one."""
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
        except Exception as error:  # a message that makes no sense costs that message
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
        """Give wandb what has come, neighbours of one stream together."""
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
