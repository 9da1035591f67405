"""Answer what the script, its children and `shim status` ask; each question has a connection of its own."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from .. import log
from ..script import frames

Answer = Callable[[dict[str, Any], int], dict[str, Any] | None]

# Seconds until the next attempt to take a question where the system has just refused one.
_PAUSE = 0.1
# Seconds that a process may take to ask, once it is connected.
_QUESTION_BOUND = 10.0


def listen(address: str, answer: Answer) -> None:
    """Listen in the background.

    Args:
        address: The address of an abstract socket.
        answer: Called with a question and the process that asks; may take its time. None gives no answer.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(address)
    listening.listen(64)
    serve(listening, answer)


def serve(listening: socket.socket, answer: Answer) -> None:
    """Answer on a socket that listens already."""
    threading.Thread(target=_accept, args=(listening, answer), name="server", daemon=True).start()


def _accept(listening: socket.socket, answer: Answer) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # the system gives no descriptor for now
            time.sleep(_PAUSE)
            continue
        try:
            threading.Thread(target=_serve, args=(connection, answer), name="answer", daemon=True).start()
        except RuntimeError:  # the system gives no thread: one question after the other
            _serve(connection, answer)


def _serve(connection: socket.socket, answer: Answer) -> None:
    with connection:
        try:
            pid, uid = frames.peer(connection)
            connection.settimeout(_QUESTION_BOUND)
            received = frames.Received()
            received.take(connection)
            if received.message is None:
                return
            # Another user's process gets no answer, unless it is the script, which may have become another user.
            found = answer(received.message, pid if uid in (os.getuid(), 0) else -pid)
            if found is not None:
                connection.settimeout(None)
                connection.sendall(frames.packed(found))
        except Exception as error:
            log.debug(f"a question was not answered: {type(error).__name__}: {error}")
