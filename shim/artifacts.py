"""A checkpoint directory becomes a committed artifact of the run, and the training step never waits for W&B.

Two threads: one looks at the files (a directory that is deleted soon after must have been seen by then), the other
talks to the server. The end of the run waits for both, bounded. What is saved and what is committed stands in a
journal beside the checkpoints, so that the next start of a killed job logs what the last one could not.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from typing import Any

from . import log
from .mounts import path_outside

# Beside the checkpoints, in their common directory; the name must not look like a checkpoint of anybody's.
JOURNAL = ".wandb-shim-checkpoints.jsonl"

# Seconds that the end of the run waits for artifacts that the server has not taken yet.
DRAIN_BOUND = 120.0

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-]+")


@dataclass(frozen=True)
class Checkpoint:
    """One saved state of a training job.

    Attributes:
        path: Its directory or file.
        collection: Name of the artifact that its versions belong to.
        step: Iteration or step at which it was saved.
        step_name: What the library calls that: "iteration" or "step"; the key in the metadata.
        aliases: Names of this version.
        metrics: What the framework wrote down with it.
    """

    path: str
    collection: str
    step: int
    step_name: str = "step"
    aliases: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int]:
        """What makes two calls speak of the same checkpoint."""
        return self.path, self.step


class Committer:
    """Logs checkpoints to one run, in the background, each once."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, int]] = set()
        self._recovered: set[str] = set()
        self._pending: dict[tuple[str, int], Checkpoint] = {}
        self._changed = threading.Condition()
        self._to_look_at: SimpleQueue[tuple[Checkpoint, Any]] = SimpleQueue()
        self._to_log: SimpleQueue[tuple[Checkpoint, Any, Any]] = SimpleQueue()
        self._started = False

    def commit(self, checkpoint: Checkpoint, run: Any) -> bool:
        """Take a checkpoint on; at once, whatever the server does.

        Returns:
            False when this process has logged it already (Megatron-Bridge 0.3 saves the last step twice).
        """
        with self._changed:
            if checkpoint.key in self._seen:
                return False
            self._seen.add(checkpoint.key)
            self._pending[checkpoint.key] = checkpoint
            self._start()
        _note(checkpoint, "saved")
        self._to_look_at.put((checkpoint, run))
        return True

    def recover(self, directory: str, run: Any) -> None:
        """Log what an earlier process saved in `directory` and could not commit; once a directory."""
        if directory in self._recovered:
            return
        self._recovered.add(directory)
        for checkpoint in uncommitted(directory):
            log.info(f"{checkpoint.path} was saved by an earlier process and not committed: logging it now")
            self.commit(checkpoint, run)

    def use(self, checkpoint: Checkpoint, project: str, run: Any) -> None:
        """Mark a checkpoint as input of the run, in the background; lineage is worth no waiting either.

        Args:
            checkpoint: What was loaded.
            project: "entity/project" that its artifact is in; the run's own when empty.
            run: The run that loaded it.
        """
        with self._changed:
            self._pending[(f"use {checkpoint.path}", checkpoint.step)] = checkpoint
            self._start()
        self._to_log.put((checkpoint, run, f"{project}/" if project else ""))

    def drain(self, bound: float = DRAIN_BOUND) -> None:
        """Wait until everything is committed, at most `bound` seconds, and name what is not."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending, bound)
            left = list(self._pending.values())
        for checkpoint in left:
            log.warn(f"{checkpoint.path} is not committed to W&B; the next start of this job logs it")

    def outstanding(self) -> list[Checkpoint]:
        """What is not committed yet."""
        with self._changed:
            return list(self._pending.values())

    def _start(self) -> None:
        if not self._started:
            self._started = True
            for work in (self._look, self._log):
                threading.Thread(target=work, name="wandb-shim-artifacts", daemon=True).start()

    def _look(self) -> None:
        while True:
            checkpoint, run = self._to_look_at.get()
            try:
                self._to_log.put((checkpoint, run, make_artifact(checkpoint)))
            except Exception as error:  # the training loop must not see it
                self._finished(checkpoint, error)

    def _log(self) -> None:
        while True:
            checkpoint, run, artifact = self._to_log.get()
            if isinstance(artifact, str):
                self._use(checkpoint, run, artifact)
                continue
            try:
                run.log_artifact(artifact, aliases=[_clean(alias) for alias in checkpoint.aliases])
                if not run.offline:  # offline, wait() cannot: the log on disk is all there is
                    artifact.wait()
                _note(checkpoint, "committed")
                self._finished(checkpoint, None)
            except Exception as error:
                self._finished(checkpoint, error)

    def _use(self, checkpoint: Checkpoint, run: Any, prefix: str) -> None:
        name = f"{prefix}{_clean(checkpoint.collection)}:{_clean(checkpoint.aliases[0])}"
        try:
            if run.offline:  # nothing can be looked up: the name is kept where people and programs find it
                run.config.update({"wandb_shim": {"inputs": [name]}}, allow_val_change=True)
            else:
                try:
                    run.use_artifact(name)
                except Exception as error:
                    log.info(f"{name} is not known to W&B ({error}): logging it as input")
                    run.use_artifact(make_artifact(checkpoint), aliases=[checkpoint.aliases[0]])
        except Exception as error:
            log.warn(f"{checkpoint.path} was not marked as input of the run: {type(error).__name__}: {error}")
        with self._changed:
            self._pending.pop((f"use {checkpoint.path}", checkpoint.step), None)
            self._changed.notify_all()

    def _finished(self, checkpoint: Checkpoint, error: Exception | None) -> None:
        if error is not None:
            log.warn(f"{checkpoint.path} was not logged as an artifact: {type(error).__name__}: {error}")
        with self._changed:
            self._pending.pop(checkpoint.key, None)
            self._changed.notify_all()


# The one of this process.
committer = Committer()


def current_run() -> Any | None:
    """The run that checkpoints belong to: the one that the shim opened, else the script's own; None if neither."""
    from . import run

    if run.current is not None and not run.current.finished:
        return run.current.run
    wandb = sys.modules.get("wandb")
    return getattr(wandb, "run", None)


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
    artifact = wandb.Artifact(_clean(checkpoint.collection), type="model", metadata=metadata)
    artifact.add_reference(f"file://{checkpoint.path}", checksum=False)
    with artifact.new_file("checkpoint.json") as file:
        json.dump({checkpoint.step_name: checkpoint.step, **_state_of(checkpoint.path)}, file, sort_keys=True)
    return artifact


def uncommitted(directory: str) -> list[Checkpoint]:
    """Checkpoints that the journal of `directory` knows as saved but not as committed, and that are still there."""
    saved: dict[tuple[str, int], Checkpoint] = {}
    try:
        with open(os.path.join(directory, JOURNAL), encoding="utf-8") as file:
            lines = file.readlines()
    except OSError:
        return []
    for line in lines:
        try:
            row = json.loads(line)
            checkpoint = Checkpoint(**{**row["checkpoint"], "aliases": tuple(row["checkpoint"]["aliases"])})
        except (ValueError, KeyError, TypeError):
            continue  # the last line of a process that was killed
        if row.get("state") == "committed":
            saved.pop(checkpoint.key, None)
        else:
            saved[checkpoint.key] = checkpoint
    return [checkpoint for checkpoint in saved.values() if os.path.exists(checkpoint.path)]


def _note(checkpoint: Checkpoint, state: str) -> None:
    """Append to the journal; a directory that cannot be written has none."""
    # The line before may have been cut short by a kill: begin a new one.
    line = "\n" + json.dumps({"state": state, "checkpoint": asdict(checkpoint)}, default=str) + "\n"
    try:
        with open(os.path.join(os.path.dirname(checkpoint.path), JOURNAL), "a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        log.debug(f"no journal beside {checkpoint.path}: {error}")


def _state_of(path: str) -> dict[str, int]:
    entries = [path]
    for directory, _, names in os.walk(path):
        entries += [os.path.join(directory, name) for name in names]
    states = [os.stat(entry) for entry in entries]
    return {
        "files": len(states) - os.path.isdir(path),
        "bytes": sum(state.st_size for state in states),
        "modified_ns": max(state.st_mtime_ns for state in states),
    }


def _clean(name: str) -> str:
    return _NOT_IN_NAMES.sub("-", name).strip("-") or "checkpoint"
