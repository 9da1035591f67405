"""How script and companion speak: frames in the pipe, messages on the socket. Both processes import this file.

A frame is one byte for its kind, two for its length, and the text. It stays below PIPE_BUF, so that the kernel never
mixes the frames of two threads (pipe(7)). A message on the socket is four bytes of length and a dict of plain values in
marshal's form: marshal is built into every interpreter, and both processes run the same interpreter.
"""

import marshal
import os
import sys

# The kinds of frames. A message that is too long for one frame comes in parts; LAST_PART ends it. Each part begins with
# LABEL bytes that the parts of one message share.
STDOUT, STDERR, HELLO, HELLO_END, MESSAGE, PART, LAST_PART = range(7)
LABEL = 8
# Bytes of a frame's text: with the header it stays below PIPE_BUF (4096 on Linux).
TEXT_MAX = 4000
# The permissions that a companion gives the pipe when it leaves by itself, with nothing left to do. By them the script
# sees how a companion that is gone has ended: nobody else can tell, since the companion is nobody's child.
LEFT_MODE = 0o400

# Abstract Unix sockets (unix(7)): "\0" + this + "<uid>/<pid of the script>/<process namespace>-<16 hex digits>".
# Containers that share the host's network see each other's sockets, and count their processes from 1 each.
NAMESPACE = "wandb-shim/"


def frame(kind: int, data: bytes) -> bytes:
    """One frame; `data` has at most TEXT_MAX bytes."""
    size = len(data)
    return bytes((kind, size & 255, size >> 8)) + data


def parts(data: bytes, size: int = TEXT_MAX) -> "list[bytes]":
    """`data` in pieces of at most `size` bytes; the default is what one frame takes."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def packed(message: "dict[str, Any]") -> bytes:
    """The bytes of a message on the socket."""
    data = marshal.dumps(message)
    return len(data).to_bytes(4, "big") + data


class Received:
    """A message that comes in part by part; a timeout in between loses nothing.

    Attributes:
        message: The whole message; None as long as it is not there, or where the other end has closed the connection.
    """

    def __init__(self) -> None:
        self.message: "dict[str, Any] | None" = None
        self._data = b""

    def take(self, connection: "socket") -> bool:
        """Read on; whether the message is complete, or the connection closed.

        Raises:
            OSError: The connection has failed; a TimeoutError where nothing has come in time.
        """
        while len(self._data) < 4 or len(self._data) < 4 + int.from_bytes(self._data[:4], "big"):
            part = connection.recv(65536)
            if not part:
                return True
            self._data += part
        self.message = marshal.loads(self._data[4:])
        return True


def peer(connection: "socket") -> "tuple[int, int]":
    """Process id and user id of the other end, which the kernel vouches for (SO_PEERCRED, unix(7))."""
    import _socket

    level, name = _socket.SOL_SOCKET, _socket.SO_PEERCRED
    credentials = connection.getsockopt(level, name, 12)
    pid, uid = (int.from_bytes(credentials[at : at + 4], sys.byteorder, signed=True) for at in (0, 4))
    return pid, uid


def process_namespace() -> str:
    """The number of the namespace in which this process has its process id (namespaces(7)); "0" without /proc."""
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return "0"


def state_of(pid: int) -> str:
    """The kernel's letter for a process (proc(5), `stat`): R, S, T for stopped, Z for ended; "" where it is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, 4096).rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return ""
    finally:
        os.close(descriptor)


def is_gone(pid: int) -> bool:
    """Whether a process has certainly ended; known also without /proc, and with no descriptor left to read it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # there is a process of another user with that id
    return state_of(pid) == "Z"


TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any
