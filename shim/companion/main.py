"""The life of a companion: hear who the script is, open its run, answer its questions, finish the run at its end."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
from typing import Any

from .. import environment, log, patches
from ..script import frames
from . import ending, importing, server, temporary
from .console import Console
from .job import Job
from .script_process import ScriptProcess

# The descriptors that script/start.py gives a companion: the pipe, and a copy of the script's stderr.
_PIPE, _NOTICES = 3, 4

# The script's limits that would only make its companion fail: they are raised to what the user may have.
_LIMITS = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_STACK")


def main() -> None:
    """Run the companion to its end; never returns."""
    try:
        _prepare()
        _live()
    except BaseException as error:
        log.warn(f"no run was opened, the script goes on without: {type(error).__name__}: {error}")
    finally:
        with contextlib.suppress(OSError):
            os.fchmod(_PIPE, frames.LEFT_MODE)
        ending.leave()


def _prepare() -> None:
    for name in _LIMITS:
        try:
            hard = resource.getrlimit(getattr(resource, name))[1]
            resource.setrlimit(getattr(resource, name), (hard, hard))
        except (AttributeError, OSError, ValueError):
            pass
    for descriptor in (_PIPE, _NOTICES):
        os.set_inheritable(descriptor, False)
    log.descriptor = _NOTICES
    temporary.use()
    # At the end wandb's service prints to its stdout; a script that has asked for its run prints that itself.
    words = os.memfd_create("wandb-shim-stdout")
    os.dup2(words, 1)
    os.close(words)
    # Two streams, since wandb replaces `write` of each. They stay open as long as this process lives.
    sys.stdout, sys.stderr = (
        open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115
        for _ in range(2)
    )


def _live() -> None:
    job: Job | None = None

    def take(message: dict[str, Any]) -> None:
        if job is not None:
            job.take(message)

    def print_(kind: int, text: bytes) -> None:
        if job is not None:
            job.printed.take(kind, text)

    console = Console(_PIPE, take, print_)
    hello = console.hello()
    job = Job(hello, console, ScriptProcess(hello["pid"]))
    server.listen(hello["address"], job.answer)
    console.start()
    threading.Thread(target=_watch, args=(job,), name="watch", daemon=True).start()
    for problem in (*environment.Contract(os.environ).problems, *environment.unknown(os.environ, patches.NAMES)):
        log.warn(problem)
    try:
        job.open()
    except importing.NoRunError as error:
        log.warn(str(error))
        return  # without a run there is nothing to ask for, and nothing to wait for
    job.ready.set()
    job.printed.work(job.done)
    job.done.wait()


def _watch(job: Job) -> None:
    """Wait until the script has ended in whatever way; from then on the companion has a bounded time left."""
    job.script.wait()
    # The copy of the script's stderr is let go of: whoever reads that stream to its end waits for it.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, _NOTICES)
    threading.Timer(ending.LAST_BOUND, ending.leave).start()
    job.script_is_gone()
