"""How this process ends: the exit code that a shell would see, also where wandb alone records 0 or nothing.

wandb learns the code from `sys.exit` and `sys.excepthook`. It misses `raise SystemExit(3)`, `exit(3)`, an exception
under a replaced excepthook, `os._exit`, and SIGTERM. This module asks the interpreter: the main frame, which tells
whether the program has come to its end, `sys.last_exc`, and the exit code that the interpreter reads.
"""

import gc
import os
import sys

# The exit status of a process that a signal ended, as shells count it (POSIX, Shell Command Language 2.8.2).
SIGNAL_BASE = 128


# The instructions that can end a program: the last ones that the compiler makes of an empty program and an expression.
_RETURNS = {compile(text, "", mode).co_code[-2] for text, mode in (("", "exec"), ("x", "eval"))}


class _WatchedCode:
    """A stand-in for `SystemExit.code` that remembers what the interpreter has read.

    The interpreter reads this attribute right before it exits (Python/pythonrun.c, handle_system_exit). At no other
    moment can the code of `raise SystemExit(3)` be had: nobody else is told of it.
    """

    def __init__(self, member: "Any") -> None:
        self.member = member
        self.read = False
        self.value: "Any" = None

    def __get__(self, exception: object, owner: "type | None" = None) -> "Any":
        if exception is None:
            return self
        value = self.member.__get__(exception, owner)
        try:
            sys._getframe(1)
        except ValueError:  # no Python code reads it, so the interpreter does, which is about to exit
            self.read, self.value = True, value
        return value

    def __set__(self, exception: object, value: "Any") -> None:
        self.member.__set__(exception, value)

    def __delete__(self, exception: object) -> None:
        self.member.__delete__(exception)


class ExitState:
    """Watches the main program from its first frame on.

    Args:
        main_frame: The frame of `__main__`; None where it is not known. In that case an uncaught exception that was
            printed at any time before counts as the end.
    """

    def __init__(self, main_frame: "FrameType | None") -> None:
        self._main_frame = main_frame
        self._code = _watch_system_exit()
        self._last_exit = _LastExit()
        if sys.version_info < (3, 12):
            sys.exit = self._last_exit.wrap(sys.exit)

    def release(self) -> None:
        """Let go of the main frame, which would keep the script's objects alive beyond their time."""
        self._main_frame = None

    def code(self) -> int:
        """The exit code; an `atexit` handler may ask for it."""
        if self._main_frame is not None and _returned(self._main_frame):
            return 0
        if self._code is not None and self._code.read:
            return exit_code_of(self._code.value)
        error = _uncaught()
        if error is not None and not self._last_exit.after_error:
            return SIGNAL_BASE + 2 if isinstance(error, KeyboardInterrupt) else 1
        return exit_code_of(self._last_exit.status)


class _LastExit:
    """The status of the last `sys.exit`: before Python 3.12 the interpreter does not read it from the exception.

    Attributes:
        status: The argument of the last call.
        after_error: Whether an uncaught exception had been printed by then, so that an excepthook made the call.
    """

    def __init__(self) -> None:
        self.status: object = None
        self.after_error = False

    def wrap(self, original: "Callable[..., NoReturn]") -> "Callable[..., NoReturn]":
        """A `sys.exit` that remembers its argument."""

        def exit(status: object = None, /) -> "NoReturn":
            self.status, self.after_error = status, _uncaught() is not None
            original(status)

        for name in ("__module__", "__name__", "__qualname__", "__doc__"):  # functools costs too much to load
            setattr(exit, name, getattr(original, name))
        return exit


def _uncaught() -> "BaseException | None":
    error: "BaseException | None" = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error


def exit_code_of(value: object) -> int:
    """The status for a `SystemExit.code`: 0 for None, the low byte of an integer, 1 for all else, which is printed."""
    if value is None:
        return 0
    if isinstance(value, int):
        return int(value) & 0xFF
    return 1


def _returned(frame: "FrameType") -> bool:
    """Whether the frame ended by returning: its last instruction is the module's final return."""
    code = frame.f_code.co_code
    return 0 <= frame.f_lasti < len(code) and code[frame.f_lasti] in _RETURNS


def _watch_system_exit() -> "_WatchedCode | None":
    """Put the stand-in in place; None where this interpreter does not allow it: such codes then count as 0."""
    members = next((found for found in gc.get_referents(SystemExit.__dict__) if isinstance(found, dict)), None)
    if members is None or "code" not in members:
        return None
    if isinstance(members["code"], _WatchedCode):
        return members["code"]
    watched = _WatchedCode(members["code"])
    members["code"] = watched
    if SystemExit(os.EX_OK).code != os.EX_OK:
        members["code"] = watched.member
        return None
    return watched


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn
