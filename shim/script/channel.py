"""The script's end of the way to its companion: a pipe for what the script says, a socket for what it asks.

Nothing here blocks the script, starts a thread or takes a lock that a fork could inherit locked. The pipe's writing end
is open for reading, too. So where the companion is gone, a write raises no SIGPIPE: it fills the pipe, and what comes
after that is kept in this process.
"""

import _socket  # now: a script that becomes another user may not be able to read it later
import marshal
import os
from _collections import deque  # type: ignore[import-not-found,unused-ignore]

from . import frames

# Bytes that are kept here while the companion takes nothing; what comes after is counted and dropped.
KEPT_MAX = 8 << 20
# Bytes that the kernel keeps for us (pipe(7), F_SETPIPE_SZ); what is allowed to a user by default.
PIPE_SIZE = 1 << 20
_F_SETPIPE_SZ = 1031
# Descriptors of ours are made from here on, out of the way of scripts that count or close the low ones.
LOWEST_DESCRIPTOR = 200
# Marshal's form that keeps no table of what it has written already: half the time for the reader.
_FORM = 2
# Seconds between two looks at a companion that may have gone, or stopped.
_LOOK = 1.0


class Channel:
    """The way to one companion.

    Attributes:
        address: Of the companion's socket; abstract, so it begins with a zero byte.
        pid: The process that writes into the pipe; a forked child has no channel of its own.
        companion: The companion's process id.
        descriptor: The pipe's writing end; -1 where nothing is written any more.
    """

    def __init__(self, address: str, companion: int = 0, descriptor: int = -1) -> None:
        self.address = address
        self.companion = companion
        self.descriptor = descriptor
        self.pid = os.getpid()
        self.lost = 0
        self.sent = 0
        self._uids = {os.getuid(), 0}
        self._inode = os.fstat(descriptor).st_ino if descriptor >= 0 else 0
        self._was_killed = False
        self._kept: "deque[bytes]" = deque()
        self._kept_bytes = 0

    # --- the pipe

    def write(self, kind: int, data: bytes) -> None:
        """Say something, and return at once, whatever the companion does."""
        for part in frames.parts(data) if len(data) > frames.TEXT_MAX else (data,):
            self._write(frames.frame(kind, part))

    def tell(self, message: "dict[str, Any]") -> bool:
        """Say that something happened.

        Returns:
            Whether the companion has it, or will have it as soon as it reads on.
        """
        data = marshal.dumps(message, _FORM)
        if self.descriptor < 0:
            return self.ask(message, 60.0) is not None
        if len(data) <= frames.TEXT_MAX:
            self._write(frames.frame(frames.MESSAGE, data))
            return self.descriptor >= 0 or self.ask(message, 60.0) is not None
        label = os.urandom(frames.LABEL)  # the parts of another thread may come in between
        parts = frames.parts(data, frames.TEXT_MAX - frames.LABEL)
        for part in parts[:-1]:
            self._write(frames.frame(frames.PART, label + part))
        self._write(frames.frame(frames.LAST_PART, label + parts[-1]))
        return self.descriptor >= 0

    def _write(self, frame: bytes) -> None:
        if self._kept:
            self._keep(frame)
            self._drain()
            return
        try:
            # Is the descriptor still ours? A script that closes all descriptors may have another file there by now.
            if os.fstat(self.descriptor).st_ino != self._inode:
                raise OSError
            os.write(self.descriptor, frame)
            self.sent += 1
        except BlockingIOError:
            self._keep(frame)
        except OSError:
            self._reopen(frame)

    def _keep(self, frame: bytes) -> None:
        if self._kept_bytes > KEPT_MAX:
            self.lost += 1
            if not self.lost % 4096 and not self.companion_lives():
                self.close()
        else:
            self._kept.append(frame)
            self._kept_bytes += len(frame)

    def _drain(self) -> None:
        try:
            while self._kept:
                frame = self._kept.popleft()  # taken before it is written: two threads then write different frames
                try:
                    if os.fstat(self.descriptor).st_ino != self._inode:
                        raise OSError
                    os.write(self.descriptor, frame)
                except BlockingIOError:
                    self._kept.appendleft(frame)
                    return
                self.sent += 1
                self._kept_bytes -= len(frame)
        except (OSError, IndexError):
            pass  # the descriptor is closed, which `_write` finds out; or another thread has taken the last frame

    def _reopen(self, frame: bytes) -> None:
        """Open the pipe again, which the companion still has, where the script has closed our descriptor."""
        self.descriptor = -1
        if self.companion and os.getpid() == self.pid and frames.state_of(self.companion) not in ("", "Z"):
            try:
                self.descriptor = open_pipe(f"/proc/{self.companion}/fd/3")
                self._inode = os.fstat(self.descriptor).st_ino
                os.write(self.descriptor, frame)
                self.sent += 1
            except OSError:
                pass

    def flush(self, bound: float) -> int:
        """Write what was kept, as long as the companion takes it; the number of frames written so far.

        Args:
            bound: Seconds that may pass without any progress.
        """
        import time

        last, since = len(self._kept), time.monotonic()
        while self._kept and self.descriptor >= 0:
            self._drain()
            if len(self._kept) < last:
                last, since = len(self._kept), time.monotonic()
            elif time.monotonic() - since > bound or not self.companion_lives():
                break
            else:
                time.sleep(0.001)
        return self.sent

    def close(self) -> None:
        """Close the pipe: nothing is said any more."""
        self._was_killed = self.companion_was_killed()
        descriptor, self.descriptor = self.descriptor, -1
        self._kept.clear()
        try:
            if descriptor >= 0 and os.fstat(descriptor).st_ino == self._inode:
                os.close(descriptor)
        except OSError:
            pass

    # --- the socket

    def companion_lives(self) -> bool:
        """Whether the companion's process is there, be it stopped; True where the process is not known."""
        return not self.companion or frames.state_of(self.companion) not in ("", "Z")

    def companion_is_stopped(self) -> bool:
        """Whether a signal or a debugger has stopped the companion."""
        return bool(self.companion) and frames.state_of(self.companion) in ("T", "t")

    def companion_was_killed(self) -> bool:
        """Whether the companion is gone without having left by itself (`frames.LEFT_MODE`); False where unknown."""
        if self._was_killed or not self.companion or not frames.is_gone(self.companion):
            return self._was_killed
        try:
            pipe = os.fstat(self.descriptor)
        except OSError:
            return False
        return pipe.st_ino == self._inode and pipe.st_mode & 0o777 != frames.LEFT_MODE

    def ask(self, message: "dict[str, Any]", bound: float) -> "dict[str, Any] | None":
        """Ask, and wait for the answer.

        Args:
            message: Of plain values, with the question under "ask".
            bound: Seconds for question and answer; a companion that is stopped or gone is not waited for that long.

        Returns:
            The answer; None where none comes.
        """
        import time

        end = time.monotonic() + bound
        connection = self._connect(end)
        if connection is None:
            return None
        try:
            connection.settimeout(_LOOK)
            connection.sendall(frames.packed(message))
            return self._receive(connection, end)
        except (OSError, ValueError):
            return None
        finally:
            connection.close()

    def _connect(self, end: float) -> "_socket.socket | None":
        import _socket
        import time

        try:
            connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        except OSError:  # the script uses all the descriptors that it may have
            return None
        connection.settimeout(_LOOK)
        while True:
            try:
                connection.connect(self.address)
                break
            except OSError:  # the companion may not listen yet
                known = self.companion and self.companion_lives() and not self.companion_is_stopped()
                if not known or time.monotonic() > end:
                    connection.close()
                    return None
                time.sleep(0.005)
        if frames.peer(connection)[1] not in self._uids:
            connection.close()
            return None
        return connection

    def _receive(self, connection: "_socket.socket", end: float) -> "dict[str, Any] | None":
        import time

        stopped = 0.0
        connection.settimeout(_LOOK)
        received = frames.Received()
        while True:
            try:
                if received.take(connection):
                    return received.message
            except TimeoutError:
                stopped = (stopped or time.monotonic()) if self.companion_is_stopped() else 0.0
                if time.monotonic() > end or (stopped and time.monotonic() - stopped > STOPPED_PATIENCE):
                    return None


# Seconds to wait for a companion that a signal has stopped.
STOPPED_PATIENCE = 3.0


def make_pipe() -> "tuple[int, int]":
    """The reading end, for the companion, and the writing end: non-blocking, high, and open for reading, too."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        import fcntl

        try:
            fcntl.fcntl(writing, _F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:
            pass  # this user has no more pages for pipes: the pipe keeps the kernel's default size
        return reading, open_pipe(f"/proc/self/fd/{reading}")
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)


def open_pipe(path: str) -> int:
    """Open a pipe for writing so that a write never blocks and never raises a signal."""
    import fcntl

    both = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        highest = os.sysconf("SC_OPEN_MAX")
        lowest = max(min(highest, 1024) - 8, min(LOWEST_DESCRIPTOR, highest - 1)) if highest > 0 else 1016
        return fcntl.fcntl(both, fcntl.F_DUPFD_CLOEXEC, lowest)
    finally:
        os.close(both)


# The channel of this process; None where it has none.
_current: "Channel | None" = None


def current() -> "Channel | None":
    """The channel of this process to its companion; None in a forked child, and after the end."""
    return _current if _current is not None and _current.pid == os.getpid() else None


def use(channel: "Channel | None") -> None:
    """Make a channel that of this process; None takes it away."""
    global _current
    if channel is not None and _current is None:
        os.register_at_fork(after_in_child=_forget)
    _current = channel


def forked_from() -> int:
    """The process whose channel a forked child has inherited, and may not use; 0 in any other process."""
    return _current.pid if _current is not None and _current.pid != os.getpid() else 0


def _forget() -> None:
    """Say nothing in a forked child: the channel is its parent's."""
    if _current is not None:
        _current.descriptor = -1
        _current._kept.clear()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
