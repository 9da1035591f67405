"""A checkpoint directory becomes a committed artifact of the run, and the training step never waits for W&B.

There are two threads: one looks at the files (it must have seen a directory that is deleted soon after the save), the
other talks to the server. The end of the run waits for both, within a bound. A journal beside the checkpoints notes
what is saved and what is committed (journal.py), so that the next start of a killed job logs what the last one could
not.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from .. import log
from ..checkpoint import Checkpoint, clean
from . import ending
from .artifacts import make_artifact, named, not_logged
from .beside import Beside
from .contents import Contents, contents_of
from .journal import note, remember, rows, uncommitted
from .liveness import Liveness

# Seconds that the end of the run waits for artifacts that the server has not taken yet. WANDB_FINISH_TIMEOUT, which
# bounds the waits of wandb itself, lowers it.
DRAIN_BOUND = 120.0
# Seconds that a save may wait until the files of earlier saves have been looked at. That is local work, and done by
# then, unless saves follow each other faster than their files can be listed.
LOOK_BOUND = 10.0
# Checkpoints of which it is known what was saved last, the newest: as many as wandb keeps of its artifacts.
_KNOWN_MAX = 100

# What is waited for: its name, a step, and which of all saves it is.
_Ticket = tuple[str, int, int]


@dataclass(slots=True)
class _Known:
    """What was saved last at one path: its files, and whether W&B has them."""

    contents: Contents
    is_committed: bool = False


class Committer:
    """Logs checkpoints to one run, in the background, each once."""

    def __init__(self) -> None:
        self._run: Any = None
        self._joined: dict[str, Any] = {}
        self._seen: set[_Ticket] = set()
        self._saves = itertools.count(1)
        self._known: dict[tuple[str, int], _Known] = {}
        self._recovered: set[str] = set()
        self._late: set[tuple[str, int]] = set()
        self._directories: list[str] = []
        # What the run lacks if it ends now: each under its ticket.
        self._pending: dict[_Ticket, Checkpoint | str] = {}
        self._given_up: set[_Ticket] = set()
        self._not_looked_at: set[_Ticket] = set()
        self._logged = False
        self._changed = threading.Condition()
        self._beside = Beside()
        self._liveness = Liveness(self._beside.has_logged_in)
        self._prepared = threading.Event()
        self._open = threading.Event()
        self._to_look_at: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._to_tell: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for queue, first in ((self._to_look_at, self._prepared), (self._to_tell, self._open)):
            threading.Thread(target=_work, args=(queue, first), name="artifacts", daemon=True).start()

    def prepare(self) -> None:
        """Look at files from now on: wandb has been imported, though no run is open yet."""
        self._prepared.set()

    def begin(self, run: Any) -> None:
        """Log to this run, which is open, from now on."""
        self._run = run
        self._prepared.set()
        self._open.set()

    def take(self, message: dict[str, Any]) -> None:
        """Take what a patch in the script's process tells (script/checkpoints.py)."""
        what, run = message["tell"], message.get("run")
        if what == "saved":
            if message.get("place"):
                self._to_tell.put(functools.partial(self._note_place, message["place"], run))
            self.commit(Checkpoint.from_dict(message["checkpoint"]), run, hold=message.get("hold", False))
        elif what == "late":
            self.leave(Checkpoint.from_dict(message["checkpoint"]))
        elif what == "over":
            self._beside.release(message["path"])
        elif what == "logged":
            self._beside.script_has_logged(message["path"], is_model=message["is_model"])
        elif what == "loaded":
            self.use(message["name"], Checkpoint.from_dict(message["checkpoint"]), run)
        elif what == "place":
            self.recover(message["directory"], run)
        elif what == "input":
            self.use(message["name"], run=run)
        elif what in ("watch", "called", "replaced"):
            self._liveness.take(message)

    def commit(self, checkpoint: Checkpoint, run: str | None = None, *, hold: bool = False) -> None:
        """Take on a checkpoint, and return at once, whatever the server does.

        A checkpoint that is saved again becomes another version where its content is another.

        Args:
            checkpoint: What was saved.
            run: The id by which a run that the script has opened itself is joined; None for the job's run.
            hold: Whether the script may be about to log the checkpoint itself; see beside.py.
        """
        with self._changed:
            ticket = (*checkpoint.key, next(self._saves))
            self._pending[ticket] = checkpoint
            self._not_looked_at.add(ticket)
        self._beside.begin(checkpoint.path, hold=hold)
        self.recover(os.path.dirname(checkpoint.journal_path), run, but=checkpoint)
        note(checkpoint, "saved")
        self._to_look_at.put(functools.partial(self._look, checkpoint, ticket, run))

    def leave(self, checkpoint: Checkpoint) -> None:
        """Leave one that belongs to no run of this process to the job's next start."""
        self._late.add(checkpoint.key)
        note(checkpoint, "saved")

    def settle(self, bound: float = LOOK_BOUND) -> bool:
        """Wait until the files of all saved checkpoints have been looked at; whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._not_looked_at, bound)

    def recover(self, directory: str, run: str | None = None, but: Checkpoint | None = None) -> None:
        """Log what an earlier process saved in `directory` and could not commit, once a directory; all `but` one."""
        if directory in self._recovered:
            return
        self._recovered.add(directory)
        self._directories.append(directory)
        for checkpoint in uncommitted(directory):
            if checkpoint.key not in self._late and (but is None or checkpoint.key != but.key):
                log.info(f"{checkpoint.path} was saved by an earlier process and not committed: logging it now")
                self.commit(checkpoint, run)

    def use(self, name: str, loaded: Checkpoint | None = None, run: str | None = None) -> None:
        """Mark an artifact as an input of the run, in the background: training waits for lineage as little.

        Args:
            name: "entity/project/name:alias"; the run's own entity and project where they are left out.
            loaded: The checkpoint of that name, which is logged where W&B does not know the name.
            run: As for `commit`.
        """
        if self._take_on((f"input {name}", 0, 0), f"{name} is not marked as input of the run: W&B has not answered"):
            self._to_tell.put(functools.partial(self._use, name, loaded, run))

    def drain(self, alone: Callable[[], bool] = lambda: False) -> None:
        """Wait within a bound until everything is committed, and name what is not, once.

        Args:
            alone: Tells whether the script is gone by now, so that nobody waits.
        """
        self._beside.release()
        self._liveness.check()
        start = time.monotonic()
        with self._changed:
            while self._pending.keys() - self._given_up:
                bound = _drain_bound(ending.ALONE_BOUND if alone() else DRAIN_BOUND)
                if time.monotonic() - start >= bound:
                    break
                self._changed.wait(min(bound, 0.5))
            left = [lost for key, lost in self._pending.items() if key not in self._given_up]
            self._given_up.update(self._pending)
        for lost in left:
            committed_later = "is not committed to W&B; the next start of this job logs it"
            log.warn(lost if isinstance(lost, str) else f"{lost.path} {committed_later}")

    def has_logged(self) -> bool:
        """Whether the run has an artifact."""
        return self._logged

    def report(self) -> list[dict[str, Any]]:
        """Path, step and state of each checkpoint in the journals that is still there."""
        return [row for directory in self._directories for row in rows(directory)]

    def _take_on(self, key: _Ticket, lost: str) -> bool:
        with self._changed:
            if key in self._seen:
                return False
            self._seen.add(key)
            self._pending[key] = lost
        return True

    def _look(self, checkpoint: Checkpoint, ticket: _Ticket, run: str | None) -> None:
        try:
            known, now = self._known.pop(checkpoint.key, None), contents_of(checkpoint.path)
            artifact = None
            if known is None or not now.is_same(known.contents):
                known, artifact = _Known(now), make_artifact(checkpoint, now.state)
            remember(self._known, checkpoint.key, known, _KNOWN_MAX)
            log_it = functools.partial(self._log, checkpoint, ticket, known, artifact, run)
            self._beside.once_over(checkpoint.path, functools.partial(self._to_tell.put, log_it))
        except Exception as error:  # the next one is to be looked at, too
            self._done(ticket, not_logged(checkpoint, error))
        with self._changed:
            self._not_looked_at.discard(ticket)
            self._changed.notify_all()

    def _log(
        self, checkpoint: Checkpoint, ticket: _Ticket, known: _Known, artifact: Any | None, run_id: str | None
    ) -> None:
        """Log it, unless the script has; no artifact where the same was to be logged before."""
        problem = ""
        try:
            if artifact is not None:
                if not self._beside.steps_back(checkpoint.path):
                    self._log_artifact(checkpoint, artifact, self._run_of(run_id))
                known.is_committed = True
            if known.is_committed:
                note(checkpoint, "committed")
        except Exception as error:
            problem = not_logged(checkpoint, error)
        self._done(ticket, problem)

    def _log_artifact(self, checkpoint: Checkpoint, artifact: Any, run: Any) -> None:
        run.log_artifact(artifact, aliases=[clean(alias) for alias in checkpoint.aliases])
        self._logged = True
        if not run.offline:  # an offline run can wait for nothing: there is only its file on disk
            artifact.wait()

    def _note_place(self, file: str, run_id: str | None) -> None:
        try:
            run = self._run_of(run_id)
            with open(file, "w", encoding="utf-8") as noted:
                noted.write(f"{run.entity or ''}/{run.project or ''}")
        except Exception as error:
            log.warn(
                f"{file} could not be written, so that a job which loads from here looks for the artifact in its own "
                f"project; give that job the artifact's full name in WANDB_SHIM_INPUTS: {named(error)}"
            )

    def _use(self, name: str, loaded: Checkpoint | None, run_id: str | None) -> None:
        problem = ""
        try:
            self._use_or_log(name, loaded, self._run_of(run_id))
        except Exception as error:
            what = name if loaded is None else loaded.path
            problem = f"{what} is not marked as input of the run; check its name and your access to it: {named(error)}"
        self._done((f"input {name}", 0, 0), problem)

    def _use_or_log(self, name: str, loaded: Checkpoint | None, run: Any) -> None:
        if run.offline:  # nothing can be looked up now: people and programs find the name in the config
            inputs = list(dict.fromkeys([*run.config.get("wandb_shim", {}).get("inputs", ()), name]))
            run.config.update({"wandb_shim": {"inputs": inputs}}, allow_val_change=True)
            return
        try:
            run.use_artifact(name)
        except Exception as error:
            if loaded is None:
                raise
            log.info(f"{name} is not known to W&B ({error}): logging it as input")
            artifact = make_artifact(loaded, contents_of(loaded.path).state)
            run.use_artifact(artifact, aliases=[clean(alias) for alias in loaded.aliases])

    def _run_of(self, run_id: str | None) -> Any:
        """The job's run; or a run of the script's own, which the first call joins."""
        if run_id is None or run_id == getattr(self._run, "_attach_id", None):
            return self._run
        if run_id not in self._joined:
            import wandb

            self._joined[run_id] = wandb._attach(run_id)
        return self._joined[run_id]

    def _done(self, key: _Ticket, problem: str = "") -> None:
        with self._changed:
            if problem and key not in self._given_up:
                log.warn(problem)  # first: the end of the run waits for this key, and may end the process then
            self._pending.pop(key, None)
            self._changed.notify_all()


def _work(queue: SimpleQueue[Callable[[], None]], first: threading.Event) -> None:
    first.wait()
    while True:
        queue.get()()


def _drain_bound(bound: float) -> float:
    return min(ending.finish_timeout() or bound, bound)
