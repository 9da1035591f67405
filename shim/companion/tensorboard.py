"""Rows of what a script writes for TensorBoard, as wandb-core 0.28 to 0.31 makes them for sync_tensorboard=True.

Values that follow each other in one directory with one step are one row, in which the last value of a name counts. The
row's `global_step` and its time are TensorBoard's. The first two directories tell the root of all directories. What is
below the root in a directory's path is the prefix of its names: `train/loss`, `val/loss`. In a job with one directory
names have no prefix (wandb core/internal/tensorboard: tensorboard.go, rootdirguesser.go;
wandb/integration/tensorboard/monkeypatch.py for directories whose names are generated).

One fault of wandb-core 0.31 is not copied: it reads a directory below another one, or one that two writers share,
twice.
"""

from __future__ import annotations

import os
import re
import socket
from typing import Any

Row = dict[str, Any]

# Seconds that rows wait for a second directory, which tells their prefix, as in wandb-core.
ROOT_PATIENCE = 10.0
# Seconds that a row waits for more values of its step.
ROW_PATIENCE = 5.0


class Events:
    """Makes rows of events.

    Args:
        host: This machine's name, with which the directories end whose names writers generate.
    """

    def __init__(self, host: str = "") -> None:
        self._generated = re.compile(rf"-\d+_{re.escape(host or socket.gethostname())}")
        self._root: str | None = None
        # For each directory, the prefix of its names; None while that is not known. And when the first directory came.
        self._prefixes: dict[str, str | None] = {}
        self._first_at = 0.0
        # For each directory, the row that may get more values, and when it got the last value.
        self._open: dict[str, tuple[Row, float]] = {}
        # Rows that wait only for their prefix, in their order.
        self._unnamed: list[tuple[str, Row]] = []

    def take(self, event: dict[str, Any], now: float) -> list[Row]:
        """Take an event, and return the rows that are complete by it.

        Args:
            event: Its `directory`, `values`, `step` and `time`; `values` are empty where only a directory is told.
            now: Seconds of a monotonic clock.
        """
        directory, values = event["directory"], event["values"]
        self._know(directory, now)
        if values:
            row, _ = self._open.get(directory, ({}, now))
            if row and row["global_step"] != event["step"]:
                self._close(directory)
                row = {}
            row |= {**values, "global_step": event["step"], "_timestamp": event["time"]}
            self._open[directory] = row, now
        return self.due(now)

    def due(self, now: float) -> list[Row]:
        """The rows that have nothing to wait for any more."""
        for directory, (_, last) in list(self._open.items()):
            if now - last >= ROW_PATIENCE:
                self._close(directory)
        if self._root is None and self._prefixes and now - self._first_at >= ROOT_PATIENCE:
            self._prefixes = {directory: prefix or "" for directory, prefix in self._prefixes.items()}
        ready = [(directory, row) for directory, row in self._unnamed if self._prefixes[directory] is not None]
        self._unnamed = [entry for entry in self._unnamed if self._prefixes[entry[0]] is None]
        return [_named(row, self._prefixes[directory] or "") for directory, row in ready]

    def rest(self) -> list[Row]:
        """All rows that are left, at the end."""
        return self.due(float("inf"))

    def waits(self) -> bool:
        """Whether there are rows that become due by time alone."""
        return bool(self._open or self._unnamed)

    def _know(self, directory: str, now: float) -> None:
        if directory in self._prefixes:
            return
        generated = self._generated.search(directory)
        if generated:
            self._prefixes[directory] = _below(directory, directory[: generated.end()])
            return
        self._first_at = self._first_at or now
        self._prefixes[directory] = None
        guessed = [place for place in self._prefixes if not self._generated.search(place)]
        if len(guessed) > 1:
            self._root = self._root or os.path.commonpath(guessed)
            for place in guessed:
                if self._prefixes[place] is None:
                    self._prefixes[place] = _below(place, self._root)

    def _close(self, directory: str) -> None:
        self._unnamed.append((directory, self._open.pop(directory)[0]))


def _below(directory: str, root: str) -> str:
    """The part of a directory's path below the root, for a prefix; "" where the directory lies elsewhere."""
    return directory[len(root) :].strip("/") if directory.startswith(root) else ""


def _named(row: Row, prefix: str) -> Row:
    if not prefix:
        return row
    own = ("global_step", "_timestamp")
    return {name if name in own else f"{prefix}/{name}": value for name, value in row.items()}
