"""See the run to its end: the right exit code, SIGTERM with nobody handling it, `os._exit`, a server that hangs.

A daemon thread waits on a pipe for what may come while the main thread is busy in C code, a second one finishes the
run then. The script sees none of it: SIGTERM still looks unhandled to `signal.getsignal`, and the process still dies
by it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import inspect
import os
import select
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType, ModuleType
from typing import Any, NoReturn

from . import claims, environment, log, state
from .exit_state import SIGNAL_BASE, ExitState
from .open_run import wait_for_what_is_under_way
from .sigterm import SilentSigterm
from .wandb_hooks import WandbHooks

# Seconds. A scheduler's grace before SIGKILL is 10 (docker stop) to 30 (Slurm, torchrun, Kubernetes).
ABRUPT_BOUND = 8.0
# Seconds that a normal end may wait for a server that takes nothing, where WANDB_FINISH_TIMEOUT does not say; wandb
# alone waits for ever. Bytes that count as taking: more than heartbeats and retries come to in that time.
FINISH_BOUND = 600.0
PROGRESS = 1 << 20

# Whether this process is ending within ABRUPT_BOUND: nothing else may take all of that.
in_a_hurry = False

_AT_EXIT = b"\xff"  # in the pipe between signal numbers


class Guard:
    """Ends one run, once, whichever way the process ends.

    Args:
        wandb: The package.
        run: The open `wandb.Run`.
        main_frame: The frame of `__main__`.
        hooks: What wandb has put into the interpreter.
        after_failure: Whether an attempt to open the run online failed before: at its end wandb would print about
            that one, to stdout, and up to 0.27 wait for it without end.
    """

    def __init__(
        self,
        wandb: ModuleType,
        run: Any,
        main_frame: FrameType | None,
        hooks: WandbHooks,
        *,
        after_failure: bool = False,
    ) -> None:
        self._wandb = wandb
        self._after_failure = after_failure
        self._run = run
        self._hooks = hooks
        self._pid = os.getpid()
        self._once = threading.Lock()
        self._done = threading.Event()
        self._failed = False
        self._asked: SimpleQueue[int] = SimpleQueue()
        self._exit_state = ExitState(main_frame)
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)  # as signal.set_wakeup_fd asks

    def arm(self) -> None:
        """Register with everything that can end this process. To be called in the main thread."""
        self._exit = os._exit
        atexit.register(self._at_exit)  # after wandb's own handler, so before it in time
        os._exit = self._finishing_exit(os._exit)  # type: ignore[assignment]
        os.execv = self._finishing_exec(os.execv)
        os.execve = self._finishing_exec(os.execve)
        # Both now: from Python 3.12 on no thread starts any more once atexit handlers run.
        for work in (self._watch, self._finish_when_asked):
            threading.Thread(target=work, name="wandb-shim", daemon=True).start()
        in_main_thread = threading.current_thread() is threading.main_thread()  # only there a handler can be set
        if in_main_thread and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            SilentSigterm(self._pid, self._write, 2 * ABRUPT_BOUND).take()

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        patience = None  # milliseconds; from the normal end of the program on
        written = 0
        while True:
            if not poll.poll(patience):
                before, written = written, _written_by_services()
                if finish_timeout() or written - before < PROGRESS:
                    self._give_up()
                    patience = None
                continue
            message = os.read(self._read, 1)
            if message == _AT_EXIT:
                patience, written = _finish_bound() * 1000, _written_by_services()
            elif message[0] == signal.SIGTERM and SilentSigterm.is_ours():
                self._finish_soon(SIGNAL_BASE + signal.SIGTERM)
                # signal.signal works in the main thread only, and that one may be stuck in C code.
                ctypes.CDLL(None).signal(int(signal.SIGTERM), 0)
                os.kill(self._pid, signal.SIGTERM)
                if self._pid == 1:  # the kernel keeps a default action from a container's first process
                    self._exit(SIGNAL_BASE + signal.SIGTERM)

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            os.write(self._write, _AT_EXIT)
            _wait_in_this_thread(self._wandb.sdk.wandb_run)
            self._finish(self._exit_state.code())
            self._end_the_scripts_runs(self._exit_state.code())
            if self._after_failure:
                self._hooks.forget()
                end_services()

    def _finish(self, code: int) -> None:
        """Finish the run with `code`, once; whoever comes second waits for the first."""
        with self._once:
            if self._done.is_set():
                return
            try:
                if not getattr(self._run, "_is_finished", False):
                    self._end_run(code)
            except Exception as error:  # the process is ending; its exit code must not change
                self._failed = True
                log.warn(f"the run was not finished properly: {type(error).__name__}: {error}")
            finally:
                claims.ended(os.path.dirname(self._run.dir), code)
                state.withdraw()
                self._done.set()

    def _end_run(self, code: int) -> None:
        if in_a_hurry or self._after_failure or not self._hooks.in_place or self._run._settings.silent:
            self._run.finish(exit_code=code)
            return
        # The script has asked for the run and leaves its end to wandb: its service says the last words, on stdout.
        wait_for_what_is_under_way()
        with contextlib.suppress(SystemExit):  # the service's exit code is no concern of the script's
            self._wandb.sdk.teardown(exit_code=code)

    def _end_the_scripts_runs(self, code: int) -> None:
        """Tell wandb's service the exit code for runs that the script opened itself, after ours had ended.

        wandb learns of one by hooks of its own, which miss what others have replaced before or after.
        """
        if self._failed or self._after_failure or not self._hooks.in_place:
            return
        try:
            wait_for_what_is_under_way()
            self._wandb.sdk.teardown(exit_code=code)
        except (Exception, SystemExit) as error:
            log.debug(f"wandb's service did not end well: {type(error).__name__}: {error}")

    def _finish_when_asked(self) -> None:
        self._finish(self._asked.get())

    def _finish_soon(self, code: int) -> None:
        """Finish in the other thread, and wait for it no longer than `ABRUPT_BOUND`."""
        global in_a_hurry
        in_a_hurry = True
        self._asked.put(code)
        if not self._done.wait(ABRUPT_BOUND):
            log.warn(f"the run's end did not get through in {ABRUPT_BOUND:.0f} s; what is left: {self._run.dir}")
            end_services()  # it would outlive this process, and hold its output open

    def _give_up(self) -> None:
        """End wandb's own process where the end of the run does not get through: only so does Python exit."""
        if self._done.is_set() and not self._failed:  # after a failure wandb waits for its process without end
            return
        directory = os.path.dirname(self._run.dir)
        log.warn(f"W&B takes no data any more: giving up; upload it later with: wandb sync {directory}")
        self._hooks.forget()  # its handlers would only say that their process is gone
        end_services()

    def _finishing_exit(self, original: Callable[[int], NoReturn]) -> Callable[[int], NoReturn]:
        @functools.wraps(original)
        def _exit(status: int) -> NoReturn:
            if os.getpid() == self._pid and not self._done.is_set():
                self._finish_soon(status & 0xFF if isinstance(status, int) else 1)
            original(status)

        return _exit

    def _finishing_exec(self, original: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
        """All of `os.exec*` end in these two. The program that takes this one's place continues the run."""

        @functools.wraps(original)
        def exec_(path: Any, args: Any, *env: Any) -> NoReturn:
            ended = self._done.is_set() or getattr(self._run, "_is_finished", False)
            if os.getpid() == self._pid and not ended and os.path.exists(path):
                changes = {environment.RUN_ID: self._run.id, environment.RESUME: "allow"}
                if environment.RUN_ID not in os.environ:
                    changes[environment.CONTINUES] = "yes"
                os.environ.update(changes)
                if env and environment.OWNED_BY in env[0]:  # made from os.environ, and so before this
                    env = ({**env[0], **changes},)
                self._finish_soon(0)
                end_services()  # they would be children of a program that knows nothing of them
            original(path, args, *env)

        return exec_


def _wait_in_this_thread(module: Any) -> None:
    """Let `Run.finish` wait without showing progress, up to wandb 0.20.

    It would show it after a second by a new thread of a pool, and at the interpreter's exit there is no more such
    thing: the end of the run failed (wandb/sdk/lib/asyncio_compat.py).
    """
    wait = getattr(module, "wait_with_progress", None)
    if wait is not None and "progress_after" in inspect.signature(wait).parameters:
        module.wait_with_progress = lambda handle, **options: wait(handle, **{**options, "progress_after": 1e6})


def finish_timeout() -> float:
    """WANDB_FINISH_TIMEOUT in seconds; 0 where nothing bounds the end of a run, which is what 0 means to wandb."""
    try:
        return max(float(os.environ.get(environment.FINISH_TIMEOUT, "")), 0.0)
    except ValueError:
        return 0.0


def _finish_bound() -> float:
    # wandb gives up by itself (0.28.2 and newer) at its own bound: only step in when it does not.
    return finish_timeout() + 5 if finish_timeout() else FINISH_BOUND


def end_services() -> None:
    """End the services of wandb that this process has started."""
    for pid in _service_processes(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _written_by_services() -> int:
    """Bytes that wandb's services have written to sockets and files (proc(5), `wchar`)."""
    total = 0
    for pid in _service_processes(os.getpid()):
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/io", encoding="ascii") as file:
            total += int(dict(line.split(": ") for line in file)["wchar"])
    return total


def _service_processes(parent: int) -> list[int]:
    """wandb-core processes that `parent` started (proc(5): the second field is the name, the fourth the parent)."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
        except (OSError, ValueError):
            continue
        if name.startswith("wandb-core") and rest.split()[1] == str(parent):
            found.append(int(entry))
    return found
