"""A saved state of a training job: the script's process tells of it, the companion logs it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-]+")

# The name of the journal beside the checkpoints, which must look like no library's checkpoint; and its name in a
# directory that a library pushes to its hub: the library leaves out what begins with `_`.
JOURNAL = ".wandb-shim-checkpoints.jsonl"
JOURNAL_NOT_PUSHED = "_wandb-shim-checkpoints.jsonl"
JOURNALS = (JOURNAL, JOURNAL_NOT_PUSHED)


@dataclass(frozen=True)
class Checkpoint:
    """One saved state of a training job.

    Attributes:
        path: Its directory or file, absolute; a link stays one.
        collection: Name of the artifact that its versions belong to.
        step: Iteration or step at which it was saved.
        step_name: What the library calls that: "iteration" or "step"; the key in the metadata.
        aliases: Names of this version.
        metrics: The metrics that the framework has written down with it.
        journal: Path of the journal that notes it, in a directory above `path` or in `path` itself; empty for the
            journal beside `path`.
    """

    path: str
    collection: str
    step: int
    step_name: str = "step"
    aliases: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    journal: str = ""

    @property
    def journal_path(self) -> str:
        """Path of the journal that notes this checkpoint."""
        return self.journal or os.path.join(os.path.dirname(self.path), JOURNAL)

    @property
    def name(self) -> str:
        """Name of its artifact: the collection, and the first alias of this version."""
        return f"{clean(self.collection)}:{clean((*self.aliases, 'latest')[0])}"

    @property
    def key(self) -> tuple[str, int]:
        """Equal where two calls speak of the same checkpoint."""
        return self.path, self.step

    def to_dict(self) -> dict[str, Any]:
        """The fields as the channel takes them: plain values only."""
        return {**vars(self), "step": int(self.step), "metrics": plain(self.metrics)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Checkpoint:
        """The checkpoint of these fields, which come from the channel or from a journal.

        Raises:
            KeyError, TypeError: The fields are not those of a checkpoint.
        """
        return cls(**{**fields, "aliases": tuple(fields["aliases"])})


def clean(name: str) -> str:
    """The name, with what W&B does not accept in an artifact's name replaced by `-`."""
    return _NOT_IN_NAMES.sub("-", name).strip("-") or "checkpoint"


def as_wandb_keeps(value: Any) -> Any:
    """The value, with infinite and undefined numbers as text: JSON does not know them, and W&B keeps them so."""
    if isinstance(value, Mapping):
        return {name: as_wandb_keeps(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [as_wandb_keeps(held) for held in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def plain(value: Any) -> Any:
    """The value as mappings, lists, text and numbers; whatever is none of these becomes text."""
    if isinstance(value, Mapping):
        return {str(name): plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(held) for held in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, str):
        return str(value)
    for number in (int, float):
        if isinstance(value, number):
            return number(value)
    return str(value)
