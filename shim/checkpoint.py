"""A saved state of a training job, and the journal beside it: what is saved, and what is committed to W&B.

The next start of a job that was killed reads there which of its checkpoints never became artifacts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from . import log

# Beside the checkpoints, in their common directory; the name must not look like a checkpoint of anybody's.
JOURNAL = ".wandb-shim-checkpoints.jsonl"


@dataclass(frozen=True)
class Checkpoint:
    """One saved state of a training job.

    Attributes:
        path: Its directory or file, absolute; a link stays one.
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


def note(checkpoint: Checkpoint, state: str) -> None:
    """Append "saved" or "committed" to the journal; a directory that cannot be written has none."""
    # The line before may have been cut short by a kill: begin a new one.
    line = "\n" + json.dumps({"state": state, "checkpoint": asdict(checkpoint)}, default=str) + "\n"
    try:
        with open(os.path.join(os.path.dirname(checkpoint.path), JOURNAL), "a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        log.debug(f"no journal beside {checkpoint.path}: {error}")
    else:
        from . import state as status

        status.has_checkpoints(os.path.dirname(checkpoint.path))


def uncommitted(directory: str) -> list[Checkpoint]:
    """Checkpoints that the journal of `directory` knows as saved but not as committed, and that are still there."""
    saved: dict[tuple[str, int], Checkpoint] = {}
    try:
        with open(os.path.join(directory, JOURNAL), encoding="utf-8") as file:
            lines = file.readlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        try:
            row = json.loads(line)
            checkpoint = Checkpoint(**{**row["checkpoint"], "aliases": tuple(row["checkpoint"]["aliases"])})
        except (ValueError, KeyError, TypeError):
            continue  # the last line of a process that was killed
        # The next start may see the directory at another place: in another container, or moved.
        checkpoint = replace(checkpoint, path=os.path.join(directory, os.path.basename(checkpoint.path)))
        if row.get("state") == "committed":
            saved.pop(checkpoint.key, None)
        else:
            saved[checkpoint.key] = checkpoint
    return [checkpoint for checkpoint in saved.values() if os.path.exists(checkpoint.path)]
