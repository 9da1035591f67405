"""A checkpoint directory becomes a committed artifact of the run, and the training step never waits for W&B.

Two threads: one looks at the files (a directory that is deleted soon after must have been seen by then), the other
talks to the server. The end of the run waits for both, bounded. What is saved and what is committed stands in a
journal beside the checkpoints (checkpoint.py), so that the next start of a killed job logs what the last one could not.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from . import guard, log
from .checkpoint import Checkpoint, note, uncommitted
from .mounts import path_outside

# Seconds that the end of the run waits for artifacts that the server has not taken yet; WANDB_FINISH_TIMEOUT, which
# bounds what wandb itself waits for, lowers it.
DRAIN_BOUND = 120.0
# The same where the process is about to die by a signal: the run's own end has to get through, too.
HURRIED_BOUND = guard.ABRUPT_BOUND / 4
# Seconds that a save may wait until the files of the ones before it have been looked at: local work, done long ago
# unless saves follow each other faster than their files can be listed.
LOOK_BOUND = 10.0

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-]+")


class Committer:
    """Logs checkpoints to one run, in the background, each once."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Know nothing: as a new process, and as a forked child, in which the threads are not running."""
        self._seen: set[tuple[str, int]] = set()
        self._recovered: set[str] = set()
        # By key, what the run lacks if it ends now.
        self._pending: dict[tuple[str, int], Checkpoint | str] = {}
        self._given_up: set[tuple[str, int]] = set()
        self._not_looked_at: set[tuple[str, int]] = set()
        self._changed = threading.Condition()
        self._to_look_at: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._to_tell: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._started = False

    def start(self) -> None:
        """Start the threads, once; in an atexit handler, from Python 3.12 on, it would be too late."""
        with self._changed:
            if self._started:
                return
            for queue in (self._to_look_at, self._to_tell):
                threading.Thread(target=_work, args=(queue,), name="wandb-shim-artifacts", daemon=True).start()
            self._started = True

    def commit(self, checkpoint: Checkpoint, run: Any) -> bool:
        """Take a checkpoint on; at once, whatever the server does.

        Returns:
            False when this process has logged it already (Megatron-Bridge 0.3 saves the last step twice).
        """
        if not self._take_on(checkpoint.key, checkpoint):
            return False
        note(checkpoint, "saved")
        with self._changed:
            self._not_looked_at.add(checkpoint.key)
        self._to_look_at.put(functools.partial(self._look, checkpoint, run))
        return True

    def settle(self, bound: float = LOOK_BOUND) -> None:
        """To be called where older checkpoints may be deleted next: wait until their files have been looked at."""
        with self._changed:
            self._changed.wait_for(lambda: not self._not_looked_at, bound)

    def recover(self, directory: str, run: Any) -> None:
        """Log what an earlier process saved in `directory` and could not commit; once a directory."""
        if directory in self._recovered:
            return
        self._recovered.add(directory)
        for checkpoint in uncommitted(directory):
            log.info(f"{checkpoint.path} was saved by an earlier process and not committed: logging it now")
            self.commit(checkpoint, run)

    def use(self, name: str, run: Any, loaded: Checkpoint | None = None) -> None:
        """Mark an artifact as input of the run, in the background; lineage is worth no waiting either.

        Args:
            name: "entity/project/name:alias"; the run's own entity and project where they are left out.
            run: The run that consumes it.
            loaded: The checkpoint behind that name, which is logged where W&B does not know it.
        """
        if run.offline:  # nothing can be looked up: the name is kept where people and programs find it
            inputs = list(dict.fromkeys([*run.config.get("wandb_shim", {}).get("inputs", ()), name]))
            run.config.update({"wandb_shim": {"inputs": inputs}}, allow_val_change=True)
        elif self._take_on((f"input {name}", 0), f"{name} is not marked as input of the run: W&B has not answered"):
            self._to_tell.put(functools.partial(self._use, name, run, loaded))

    def drain(self, bound: float | None = None) -> None:
        """Wait until everything is committed, at most `bound` seconds, and name what is not, once.

        Args:
            bound: `DRAIN_BOUND`, or less as WANDB_FINISH_TIMEOUT or a signal demands, when None.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: not self._pending.keys() - self._given_up, _drain_bound() if bound is None else bound
            )
            left = [lost for key, lost in self._pending.items() if key not in self._given_up]
            self._given_up.update(self._pending)
        for lost in left:
            committed_later = "is not committed to W&B; the next start of this job logs it"
            log.warn(lost if isinstance(lost, str) else f"{lost.path} {committed_later}")

    def outstanding(self) -> list[Checkpoint]:
        """The checkpoints that are not committed yet."""
        with self._changed:
            return [lost for lost in self._pending.values() if isinstance(lost, Checkpoint)]

    def _take_on(self, key: tuple[str, int], lost: Checkpoint | str) -> bool:
        self.start()  # raises where it is too late for that, and then nothing is waited for
        with self._changed:
            if key in self._seen:
                return False
            self._seen.add(key)
            self._pending[key] = lost
        return True

    def _look(self, checkpoint: Checkpoint, run: Any) -> None:
        try:
            artifact = make_artifact(checkpoint)
        except Exception as error:  # the training loop must not see it
            self._done(checkpoint.key, f"{checkpoint.path} was not logged as an artifact: {_named(error)}")
        else:
            self._to_tell.put(functools.partial(self._log, checkpoint, run, artifact))
        with self._changed:
            self._not_looked_at.discard(checkpoint.key)
            self._changed.notify_all()

    def _log(self, checkpoint: Checkpoint, run: Any, artifact: Any) -> None:
        try:
            run.log_artifact(artifact, aliases=[clean(alias) for alias in checkpoint.aliases])
            if not run.offline:  # offline, wait() cannot: the log on disk is all there is
                artifact.wait()
            note(checkpoint, "committed")
        except Exception as error:
            self._done(checkpoint.key, f"{checkpoint.path} was not logged as an artifact: {_named(error)}")
        else:
            self._done(checkpoint.key)

    def _use(self, name: str, run: Any, loaded: Checkpoint | None) -> None:
        problem = ""
        try:
            try:
                run.use_artifact(name)
            except Exception as error:
                if loaded is None:
                    raise
                log.info(f"{name} is not known to W&B ({error}): logging it as input")
                run.use_artifact(make_artifact(loaded), aliases=[clean(alias) for alias in loaded.aliases])
        except Exception as error:
            what = name if loaded is None else loaded.path
            problem = f"{what} was not marked as input of the run: {_named(error)}"
        self._done((f"input {name}", 0), problem)

    def _done(self, key: tuple[str, int], problem: str = "") -> None:
        with self._changed:
            if problem and key not in self._given_up:
                log.warn(problem)  # before the end of the run, which waits for this key, may end the process
            self._pending.pop(key, None)
            self._changed.notify_all()


def _work(queue: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        queue.get()()


# The one of this process.
committer = Committer()


def current_run() -> Any | None:
    """The run that checkpoints belong to: the one that the shim opened, else the script's own; None if neither."""
    from . import run

    if run.current is not None and not run.current.finished:
        return run.current.run
    found = getattr(sys.modules.get("wandb"), "run", None)
    return None if getattr(found, "disabled", False) else found


def make_artifact(checkpoint: Checkpoint) -> Any:
    """The artifact of a checkpoint: a reference to its files, which stay where they are.

    Without checksums the digest of a reference covers its path only, so that a rewritten `last.ckpt` would make no
    new version: a small file inside says how many files there are, how large, and when the newest was written.
    """
    import wandb

    metadata = {
        checkpoint.step_name: checkpoint.step,
        "absolute_path": path_outside(checkpoint.path),
        **({"metrics": dict(checkpoint.metrics)} if checkpoint.metrics else {}),
    }
    artifact = wandb.Artifact(clean(checkpoint.collection), type="model", metadata=metadata)
    artifact.add_reference(f"file://{os.path.realpath(checkpoint.path)}", checksum=False)
    with artifact.new_file("checkpoint.json") as file:
        json.dump({checkpoint.step_name: checkpoint.step, **_state_of(checkpoint.path)}, file, sort_keys=True)
    return artifact


def clean(name: str) -> str:
    """What W&B accepts as the name of an artifact."""
    return _NOT_IN_NAMES.sub("-", name).strip("-") or "checkpoint"


def _state_of(path: str) -> dict[str, int]:
    entries = [path]
    for directory, _, names in os.walk(path):
        entries += [os.path.join(directory, name) for name in names]
    states = []
    for entry in entries:
        with contextlib.suppress(OSError):  # gone since they were listed
            states.append(os.stat(entry))
    return {
        "files": len(entries) - os.path.isdir(path),
        "bytes": sum(state.st_size for state in states),
        "modified_ns": max((state.st_mtime_ns for state in states), default=0),
    }


def _drain_bound() -> float:
    return HURRIED_BOUND if guard.in_a_hurry else min(guard.finish_timeout() or DRAIN_BOUND, DRAIN_BOUND)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
