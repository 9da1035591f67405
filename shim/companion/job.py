"""The job's run, from its opening to its end, and what the script may ask of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

from .. import environment, log, ranks
from ..script import attached
from ..script.content import CONFIG
from . import claims, ending, importing, opening, server, words
from .committer import Committer
from .console import Console
from .content import Content
from .printed import Printed
from .script_process import ScriptProcess

# Seconds that a question waits until the run is open: for the preflight, and twice for wandb's own bound and its grace.
_OPEN_BOUND = 120.0
# Seconds that a run stays open, counted from its opening, for wandb to write down the machine (wandb-metadata.json).
_MACHINE_BOUND = 2.0
# Seconds that the end waits for the console's last frames.
_CONSOLE_BOUND = 30.0


class Job:
    """One run of one script.

    Args:
        hello: What script/start.py says of the script.
        console: The script's console.
        script: The script's process.

    Attributes:
        ready: Set once the run is open.
        done: Set once the run is over.
        printed: Searches what the script prints for metrics.
    """

    def __init__(self, hello: dict[str, Any], console: Console, script: ScriptProcess) -> None:
        self.script = script
        self.ready = threading.Event()
        self.done = threading.Event()
        self._hello = hello
        self._console = console
        self._opened: opening.Opened | None = None
        self._service = ""
        self._asked_by = 0
        self._finished = False
        self._started = time.time()
        self._open_at = 0.0
        self._finishing = threading.RLock()
        self._committer = Committer()
        self._content = Content()
        self.printed = Printed(os.environ.get(environment.METRICS, ""), self._content.take)
        self._questions: dict[Any, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "facts": self._facts,
            "attach": self._attach,
            "service": lambda message: {"service": self._service},
            "finishing": self._before_finish,
            "finished": self._finished_by_script,
            "give way": self._give_way,
            "teardown": self._teardown,
            "drain": self._drain,
        }

    # --- the beginning

    def open(self) -> None:
        """Open the run, or join that of another node.

        Raises:
            importing.NoRunError: No run can be had.
            Exception: What wandb raises.
        """
        joins = self._hello["joins"]
        wandb = importing.import_wandb(self._hello)
        self._committer.prepare()
        if not self._hello["opens"]:
            self._opened = opening.attach_to_own_run(wandb, self._hello)
            self._finished = True  # the script itself ends that run
            self._content.stop()
            return self._committer.begin(self._opened.run)
        opened = (opening.join_run if joins else opening.open_run)(wandb, self._hello)
        self._opened = opened
        self._service = os.environ.pop(environment.SERVICE, "")
        self._open_at = time.monotonic()
        self._committer.begin(opened.run)
        if opened.claim is not None:
            server.serve(opened.claim, self.answer)
        self._console.open()
        if joins:
            self._content.stop()  # the job's configuration and metrics are told where its run was opened
            log.info(f"this node's machine joins {opened.run.entity}/{opened.run.project}/{opened.run.id}")
        else:
            self._tell_words()
            self._content.begin(opened.run)
            opening.announce(opened, self._hello)
            for name in environment.Contract(os.environ).inputs:
                self._committer.use(name)

    def _tell_words(self) -> None:
        """Tell what the words of the command line say, before all that a parser tells."""
        if CONFIG not in environment.Contract(os.environ).skip:
            arguments = self._hello["argv"][1:]
            for under, values in (
                ("args", words.key_values(arguments)),
                ("config_file", words.config_files(arguments)),
            ):
                if values:
                    said = {"what": CONFIG, "under": under, "values": values, "guessed": True, "cut": False}
                    self._content.take_first(said)

    # --- what the script says and asks

    def take(self, message: dict[str, Any]) -> None:
        """Take what the script tells; what is to be logged waits until the run is open."""
        if message["tell"] == "content":
            self._content.take(message)
        else:
            self._committer.take(message)

    def answer(self, message: dict[str, Any], pid: int) -> dict[str, Any] | None:
        """Answer a question.

        Args:
            message: The message, which has the question under "ask".
            pid: The process that asks; negative where it is another user's.

        Returns:
            The answer; None where the question gets none.
        """
        if pid < 0 and -pid != self.script.pid:
            return None
        question = message.get("ask")
        if question == "end":
            return self._end(message)
        if question == "goes on":
            return {"ok": not self._finished}
        if question == "script lives":
            return {"lives": not self.script.wait(0)}
        if question == "settle":
            return self._settle(message)
        if question == "status":
            return self._status()
        if "tell" in message:
            self.take(message)
            return {"ok": True}
        if question not in self._questions or not self.ready.wait(_OPEN_BOUND):
            return None
        return self._questions[question]({**message, "pid": abs(pid)})

    def _status(self) -> dict[str, Any]:
        run = self._opened.run if self._opened is not None else None
        rank, world_size, _, _ = ranks.find_rank(os.environ)
        where = [] if run is None else [part for part in (run.entity, run.project, run.id) if part]
        return {
            "run": "/".join(where),
            "url": "" if run is None or run.offline else run.url or "",
            "directory": "" if run is None else os.path.dirname(run.dir),
            "pid": self.script.pid,
            "alive": not self.script.wait(0),
            "started": self._started,
            "rank": rank,
            "world_size": world_size,
            "command": self._hello["orig_argv"],
            "checkpoints": self._committer.report(),
        }

    def _facts(self, message: dict[str, Any]) -> dict[str, Any]:
        """What the script's own wandb.init has to know of the run before it asks for the run."""
        if self._opened is None or self._finished:
            return {"run": None, "service": self._service}
        opened, run = self._opened, self._opened.run
        key = opened.key
        return {
            "run": run._attach_id,
            "version": opened.wandb.__version__,
            "service": self._service,
            "id": run.id,
            "entity": run.entity,
            "project": run.project,
            "url": "" if run.offline else run.url or "",
            "offline": run.offline,
            "resumed": run.resumed,
            "resumable": opened.resumable,
            "before": opened.before,
            "key": hashlib.sha256(key.encode()).hexdigest() if key else None,
            "joins": self._hello["joins"],
            "sweep": bool(run.settings.sweep_id or run.settings.launch),
            "asked_by": self._asked_by,
        }

    def _attach(self, message: dict[str, Any]) -> dict[str, Any]:
        """Give the run to the script, or to the first of its children that asks."""
        facts = self._facts(message)
        child = message["pid"] != self.script.pid
        late = child and self._is_alone()  # the job is over, and a child that outlives it does not belong to it
        if facts["run"] is None or late or (child and self._asked_by not in (0, message["pid"])):
            return {**facts, "run": None}
        self._asked_by = message["pid"]
        self._content.stop()
        assert self._opened is not None
        settings = self._opened.run.settings
        names = getattr(type(settings), "model_fields", {})
        values = {name: opening.plain(getattr(settings, name, None)) for name in names}
        config = json.dumps(dict(self._opened.run.config), default=str) if facts["sweep"] else ""
        start = getattr(self._opened.run, "_start_time", None)
        return {**facts, "config": config, "settings": values, "start_time": start}

    def _before_finish(self, message: dict[str, Any]) -> dict[str, Any]:
        """Bring everything into the run: the script, or a child that has the run, is about to finish it."""
        self._console.wait_for(message.get("frames", 0), _CONSOLE_BOUND)
        self._console.close()  # wandb's own last words belong to no run; 0.19 even fails at output that comes late
        if self._opened is not None:
            attached.flush(self._opened.run)  # so that nothing the script sends by its own connection is earlier
        return self._drain(message)

    def _settle(self, message: dict[str, Any]) -> dict[str, Any]:
        self._console.wait_for_frames(message["frames"], _CONSOLE_BOUND)
        return {"ok": self._committer.settle()}

    def _drain(self, message: dict[str, Any]) -> dict[str, Any]:
        self._console.wait_for_frames(message.get("frames", 0), _CONSOLE_BOUND)
        self._committer.drain(self._is_alone)
        return {"ok": True}

    def _finished_by_script(self, message: dict[str, Any]) -> dict[str, Any]:
        self._finished = True
        if self._opened is not None:
            self._opened.run._is_finished = True
        return {"ok": True}

    def _give_way(self, message: dict[str, Any]) -> dict[str, Any]:
        """End the run, since the script wants another one; a run that is empty is removed."""
        with self._finishing:
            if self._opened is not None and not self._finished:
                self._finished = True
                self._content.stop()
                self._console.close()
                self._committer.drain(self._is_alone)
                opened = self._opened
                attached.silence(opened.run)
                opened.run.finish()
                is_empty = not (self._committer.has_logged() or self._content.has_rows)
                if is_empty and not self._asked_by and not opened.run.resumed:
                    _remove(opened)
                self._asked_by = message["pid"]  # the script is to get wandb's last words on the run that follows
        return {"service": self._service}

    def _teardown(self, message: dict[str, Any]) -> dict[str, Any]:
        """Tear wandb's service down, which script and companion share, where the script calls `wandb.teardown`."""
        with self._finishing:
            if self._opened is None or not self._service:
                return {}
            self._before_finish(message)
            self._finished = True
            self._service = ""
            with ending.Watchdog(os.path.dirname(self._opened.run.dir), self._is_alone):
                return {"stdout": ending.tear_down(self._opened.wandb, message.get("code") or 0)}

    # --- the end

    def _end(self, message: dict[str, Any]) -> dict[str, Any]:
        self.ready.wait(_OPEN_BOUND)
        self._console.wait_for(message["frames"], _CONSOLE_BOUND, message["lost"])
        words = self._finish(message["code"])
        try:
            threading.Timer(0.1, self.done.set).start()  # after the answer is sent
        except RuntimeError:  # the system gives no thread
            self.done.set()
        return {"stdout": words if self._asked_by == self.script.pid else ""}

    def script_is_gone(self) -> None:
        """Finish the run of a script whose process has ended, whether or not it has told its end."""
        code = self.script.exit_code()
        if self.ready.wait(_OPEN_BOUND):
            self._console.take_the_rest()
            self._finish(code)
        self.done.set()

    def _finish(self, code: int) -> str:
        """Finish the run, once; a second call waits until the first is over."""
        with self._finishing:
            if self._opened is None or self.done.is_set():
                return ""
            opened, directory = self._opened, os.path.dirname(self._opened.run.dir)
            self.printed.finish()
            self._content.finish()
            self._committer.drain(self._is_alone)
            if not self._finished:
                self._wait_for_the_machine(opened.run)
            if not self._service:  # the script has torn it down, or this process never had one
                return ""
            words = ""
            watchdog = ending.Watchdog(directory, self._is_alone)
            try:
                with watchdog:
                    if not self._asked_by and not self._finished:
                        attached.silence(opened.run)
                        opened.run.finish(exit_code=code)
                    words = ending.tear_down(opened.wandb, code)
            except Exception as error:  # the end goes on all the same
                if not watchdog.gave_up:
                    problem = f"{type(error).__name__}: {error}"
                    log.warn(f"the run was not finished properly ({problem}); {ending.sync_hint(directory)}")
            self._service = ""
            if code == 0 and opened.claim is not None:
                claims.ended_well(directory)
            return words

    def _is_alone(self) -> bool:
        """Whether the script is gone, so that nobody waits."""
        return self.script.wait(0)

    def _wait_for_the_machine(self, run: Any) -> None:
        """Wait until wandb has looked at the machine, which belongs to the record; a script may be over before."""
        path = os.path.join(run.dir, "wandb-metadata.json")
        end = self._open_at + _MACHINE_BOUND
        while time.monotonic() < end:
            with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
                if '"cpu_count"' in file.read():
                    return
            time.sleep(0.02)


def _remove(opened: opening.Opened) -> None:
    """Remove an empty run, at W&B and on disk."""
    run = opened.run
    with contextlib.suppress(Exception):
        if not run.offline:
            opened.wandb.Api().run(f"{run.entity}/{run.project}/{run.id}").delete()
        shutil.rmtree(os.path.dirname(run.dir), ignore_errors=True)
