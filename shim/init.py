"""`python -m shim run -- COMMAND`: a container's init that does not end before the run of its job is finished.

Where a container's first process ends, all its other processes end, companions among them. So this process forwards
signals to the command, reaps orphans, and waits for companions after the command's end. Where it is not the first
process, it becomes a subreaper (prctl(2)), which has the same effect for all that it starts.
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

# Seconds that companions have after a signal: `docker stop` gives a container 10, Kubernetes and Slurm give it 30.
# Where the command itself has used them up, the second number is what companions have after its end: whoever sent the
# signal has more patience than was expected.
SIGNALLED_BOUND, SIGNALLED_REST = 8.0, 2.0
# Without a signal: a bit more than a companion takes at most after its script's end (companion/ending.py, LAST_BOUND).
UNDISTURBED_BOUND = 930.0

# A shell's exit codes: of a command that it cannot find, of one that it cannot execute; and what it adds to the number
# of the signal that has ended a command.
_NOT_FOUND, _NOT_EXECUTABLE, _SIGNAL_BASE = 127, 126, 128
_PR_SET_CHILD_SUBREAPER = 36
# siginfo's si_code of a signal from the terminal, which has sent it to the command, too: both are of one process group.
_BY_KERNEL = 0x80
# Signals that are meant to end the job.
_ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
# Signals that nobody can forward, or that concern this process itself.
_NOT_FORWARDED = {
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU, signal.SIGSEGV, signal.SIGBUS),
    *(signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS),
}


def run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a command to its end, and then wait until the run of its job is finished.

    Args:
        command: Program, found on PATH, and its arguments.
        environ: Its variables.

    Returns:
        The command's exit code; 128 + the number of the signal that has ended it; 126 or 127 where it cannot be
        started.
    """
    signals = signal.valid_signals() - _NOT_FORWARDED
    signal.pthread_sigmask(signal.SIG_BLOCK, {*signals, signal.SIGCHLD})
    if os.getpid() != 1:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    defaults = (signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores these, and a command would inherit that
    try:
        child = os.posix_spawnp(command[0], list(command), environ, setsigmask=(), setsigdef=defaults)
    except OSError as error:
        log.warn(f"{command[0]} cannot be run: {error.strerror}")
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
    code = _SIGNAL_BASE + signal.SIGKILL
    signalled = ended = float("inf")  # the times of the first ending signal, and of the command's end
    while time.monotonic() < _deadline(signalled, ended) and (ended == float("inf") or _companions()):
        info = signal.sigtimedwait({*signals, signal.SIGCHLD}, 1.0)
        if info is not None and info.si_signo != signal.SIGCHLD:
            if info.si_signo in _ENDING:
                signalled = min(signalled, time.monotonic())
            if ended == float("inf") and info.si_code != _BY_KERNEL:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, info.si_signo)
        _reap_all_but(child)
        # The command is not reaped: a companion looks at how it has ended, too.
        found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None and ended == float("inf"):
            ended = time.monotonic()
            code = found.si_status + (0 if found.si_code == os.CLD_EXITED else _SIGNAL_BASE)
    return code


def _deadline(signalled: float, ended: float) -> float:
    """When the wait for companions is over; never as long as the command runs."""
    return min(ended + UNDISTURBED_BOUND, max(signalled + SIGNALLED_BOUND, ended + SIGNALLED_REST))


def _reap_all_but(command: int) -> None:
    for child in own_children():
        if child.state == "Z" and child.pid != command:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)


def _companions() -> bool:
    """Whether a companion lives whose maker has ended: such a companion is a child of this process."""
    for child in own_children():
        with contextlib.suppress(OSError):
            if b"/companion/__main__.py\0" in Path(f"/proc/{child.pid}/cmdline").read_bytes():
                return True
    return False
