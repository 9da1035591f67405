"""The artifact of a checkpoint; and what is said where there is none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ..checkpoint import Checkpoint, as_wandb_keeps, clean
from .mounts import path_outside


def make_artifact(checkpoint: Checkpoint, state: Mapping[str, int]) -> Any:
    """The artifact of a checkpoint: a reference to its files, which stay where they are.

    Without checksums the digest of a reference covers the path alone, so that a rewritten `last.ckpt` would make no new
    version. So a small file in the artifact says how many files there are, how large they are, and when the newest was
    written.

    Args:
        checkpoint: What was saved.
        state: What `contents_of` has seen of its files.
    """
    import wandb

    outside = path_outside(checkpoint.path)
    metadata = {
        checkpoint.step_name: checkpoint.step,
        "absolute_path": outside.path,
        **({"absolute_path_note": outside.note} if outside.note else {}),
        **({"metrics": as_wandb_keeps(checkpoint.metrics)} if checkpoint.metrics else {}),
    }
    artifact = wandb.Artifact(clean(checkpoint.collection), type="model", metadata=metadata)
    artifact.add_reference(f"file://{os.path.realpath(checkpoint.path)}", checksum=False)
    with artifact.new_file("checkpoint.json") as file:
        json.dump({checkpoint.step_name: checkpoint.step, **state}, file, sort_keys=True)
    return artifact


# The errors that wandb raises where its service is gone: those for the process, and those for the connection to it.
_SERVICE_ENDED = (
    "MailboxClosedError",
    "MailboxError",
    "WandbServiceNotOwnedError",
    "BrokenPipeError",
    "ConnectionResetError",
)


def not_logged(checkpoint: Checkpoint, error: Exception) -> str:
    """What is said of a checkpoint that is no artifact."""
    return f"{checkpoint.path} is no artifact of the run; the next start of this job tries again: {named(error)}"


def named(error: Exception) -> str:
    """An error in words for people, with what to do where that is known."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    if type(error).__name__ in _SERVICE_ENDED:
        return f"wandb's service has ended ({text}); what the run has is on disk, see `wandb sync --include-online`"
    return text
