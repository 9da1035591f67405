"""The newest complete checkpoint in a directory, told in the way of the library that saves there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

_STEP = re.compile(r"step_(\d+)")
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


def _newest_of_megatron(directory: str) -> str:
    """The newest by the file in which Megatron notes the step of the last complete checkpoint."""
    try:
        with open(os.path.join(directory, "latest_checkpointed_iteration.txt"), encoding="utf-8") as file:
            step = file.read().strip()
    except (OSError, ValueError):
        return ""
    return f"iter_{int(step):07d}" if step.isdecimal() else step


def _newest_of_nemo_rl(directory: str) -> str:
    """The newest by the names of the directories: one that is not complete has a name of another form."""
    try:
        names = os.listdir(directory)
    except OSError:
        return ""
    steps = [int(found[1]) for found in map(_STEP.fullmatch, names) if found]
    return f"step_{max(steps)}" if steps else ""


def _newest_of_transformers(directory: str) -> str:
    """The newest by the names of the directories; a complete one has the trainer's state, which is written last."""
    try:
        names = os.listdir(directory)
    except OSError:
        return ""
    steps = sorted(int(found[1]) for found in map(_CHECKPOINT.fullmatch, names) if found)
    while steps and not os.path.exists(os.path.join(directory, f"checkpoint-{steps[-1]}", "trainer_state.json")):
        steps.pop()
    return f"checkpoint-{steps[-1]}" if steps else ""


def _newest_of_lightning(directory: str) -> str:
    """The newest by the times of the files and directories that are named `*.ckpt`."""
    try:
        with os.scandir(directory) as entries:
            found = [(entry.stat().st_mtime_ns, entry.name) for entry in entries if entry.name.endswith(".ckpt")]
    except OSError:
        return ""
    return max(found)[1] if found else ""


# For each layout of a directory, the function that gives the name of its newest complete checkpoint, or "" for none.
NEWEST: Mapping[str, Callable[[str], str]] = {
    "megatron": _newest_of_megatron,
    "nemo-rl": _newest_of_nemo_rl,
    "transformers": _newest_of_transformers,
    "lightning": _newest_of_lightning,
}
