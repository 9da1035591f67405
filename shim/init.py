"""`python -m shim run -- COMMAND`: a container's init that does not end before the run of its job is finished.

The end of a container's first process is the end of all others, a companion's, too. This one forwards signals to the
command, reaps what is orphaned, and after the command's end waits for companions. Started otherwise than as the first
process it is a subreaper (prctl(2)), with the same effect for what it has started.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import log
from .own_children import own_children

# Seconds after a signal that companions may take: `docker stop` gives 10, Kubernetes and Slurm 30. Where the command
# itself has taken them, seconds after its end: whoever sent the signal has more patience than was known.
SIGNALLED_BOUND, SIGNALLED_REST = 8.0, 2.0
# Without a signal: what a companion has itself after its script's end (companion/ending.py, LAST_BOUND), and a bit.
UNDISTURBED_BOUND = 930.0

# What a shell says of a command that it cannot find, or not execute; and of one that a signal has ended.
_NOT_FOUND, _NOT_EXECUTABLE, _SIGNAL_BASE = 127, 126, 128
_PR_SET_CHILD_SUBREAPER = 36
# siginfo's si_code of a signal that the terminal has sent: to the command as well, which is of the same group.
_BY_KERNEL = 0x80
# Those that are meant to end the job.
_ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
# Those that nobody can forward, or that are about this process itself.
_NOT_FORWARDED = {
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU, signal.SIGSEGV, signal.SIGBUS),
    *(signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS),
}


def run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a command to its end, and its job's run to the end of that.

    Args:
        command: Program, found on PATH, and its arguments.
        environ: Its variables.

    Returns:
        Its exit code, 128 + the number of the signal that has ended it, 126 or 127 where it cannot be started.
    """
    signals = signal.valid_signals() - _NOT_FORWARDED
    signal.pthread_sigmask(signal.SIG_BLOCK, {*signals, signal.SIGCHLD})
    if os.getpid() != 1:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    defaults = (signal.SIGPIPE, signal.SIGXFSZ)  # which this interpreter ignores
    try:
        child = os.posix_spawnp(command[0], list(command), environ, setsigmask=(), setsigdef=defaults)
    except OSError as error:
        log.warn(f"{command[0]} cannot be run: {error.strerror}")
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
    code = _SIGNAL_BASE + signal.SIGKILL
    signalled = ended = float("inf")  # when that happened
    while time.monotonic() < _deadline(signalled, ended) and (ended == float("inf") or _companions()):
        info = signal.sigtimedwait({*signals, signal.SIGCHLD}, 1.0)
        if info is not None and info.si_signo != signal.SIGCHLD:
            if info.si_signo in _ENDING:
                signalled = min(signalled, time.monotonic())
            if ended == float("inf") and info.si_code != _BY_KERNEL:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, info.si_signo)
        _reap_all_but(child)
        found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # a companion looks at it, too
        if found is not None and ended == float("inf"):
            ended = time.monotonic()
            code = found.si_status + (0 if found.si_code == os.CLD_EXITED else _SIGNAL_BASE)
    return code


def _deadline(signalled: float, ended: float) -> float:
    """When the wait for companions is over: never, as long as the command has not ended."""
    return min(ended + UNDISTURBED_BOUND, max(signalled + SIGNALLED_BOUND, ended + SIGNALLED_REST))


def _reap_all_but(command: int) -> None:
    for child in own_children():
        if child.state == "Z" and child.pid != command:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)


def _companions() -> bool:
    """Whether a companion lives whose script, or what has made it, has ended: it is a child of this process then."""
    for child in own_children():
        with contextlib.suppress(OSError):
            if b"/companion/__main__.py\0" in Path(f"/proc/{child.pid}/cmdline").read_bytes():
                return True
    return False
