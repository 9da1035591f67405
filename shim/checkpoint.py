"""A saved state of a training job, as the script's half tells it and the companion's logs it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-]+")

# What the journal beside the checkpoints is called; the name must not look like a checkpoint of anybody's. And in a
# directory that a library pushes to its hub, which leaves out what begins so.
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
        metrics: What the framework wrote down with it.
        journal: Path of the journal that it is noted in, in a directory that holds it or is it; empty where that is the
            one beside it.
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
        """Path of the journal that it is noted in."""
        return self.journal or os.path.join(os.path.dirname(self.path), JOURNAL)

    @property
    def name(self) -> str:
        """Of its artifact: the collection, and the first alias of this version."""
        return f"{clean(self.collection)}:{clean((*self.aliases, 'latest')[0])}"

    @property
    def key(self) -> tuple[str, int]:
        """What makes two calls speak of the same checkpoint."""
        return self.path, self.step

    def to_dict(self) -> dict[str, Any]:
        """As it goes over the channel: plain values only."""
        return {**vars(self), "step": int(self.step), "metrics": plain(self.metrics)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Checkpoint:
        """The way back, also from the journal.

        Raises:
            KeyError, TypeError: these are not the fields of one.
        """
        return cls(**{**fields, "aliases": tuple(fields["aliases"])})


def clean(name: str) -> str:
    """What W&B accepts as the name of an artifact."""
    return _NOT_IN_NAMES.sub("-", name).strip("-") or "checkpoint"


def as_wandb_keeps(value: Any) -> Any:
    """The same with numbers that are none as text, as W&B has them in a run: JSON knows no infinity."""
    if isinstance(value, Mapping):
        return {name: as_wandb_keeps(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [as_wandb_keeps(held) for held in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def plain(value: Any) -> Any:
    """A value of mappings, lists, text and numbers; everything else as text."""
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
