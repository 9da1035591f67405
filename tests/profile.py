"""Where the time of the tests goes, by file and by test: `make test PROFILE=1`.

Seconds of the processor are those of the test's own process and of all that it has waited for, so that they say what a
test costs on a busy machine, too; seconds of the clock are what a worker was taken for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

VARIABLE = "WANDB_SHIM_TEST_PROFILE"
_SLOWEST = 40


@dataclass
class Cost:
    """What tests took together.

    Attributes:
        tests: How many they are.
        clock: Seconds of the clock.
        processor: Seconds of the processor.
    """

    tests: int = 0
    clock: float = 0.0
    processor: float = 0.0

    def __str__(self) -> str:
        return f"{self.clock:8.1f} s {self.processor:8.1f} s of the processor {self.tests:5d}"


def processor_seconds() -> float:
    """What this process, and those that it has waited for, have taken so far."""
    return sum(os.times()[:4])


def lines(reports: Iterable[object]) -> Iterator[str]:
    """All files, and the tests that took longest; longest first."""
    files: dict[str, Cost] = {}
    tests: dict[str, Cost] = {}
    for report in reports:
        if not isinstance(report, pytest.TestReport):
            continue
        processor = sum(float(str(value)) for name, value in report.user_properties if name == f"cpu {report.when}")
        for costs, name in ((files, report.nodeid.partition("::")[0]), (tests, report.nodeid)):
            cost = costs.setdefault(name, Cost())
            cost.tests += report.when == "call"
            cost.clock += report.duration
            cost.processor += processor
    for costs in (files, tests):
        ordered = sorted(costs.items(), key=lambda item: -item[1].clock)
        yield from (f"{cost}  {name}" for name, cost in ordered[: None if costs is files else _SLOWEST])
        yield ""


class Stopwatch:
    """Measures the phase of a test that runs: its setup, its call or its teardown."""

    def __init__(self) -> None:
        self._before = processor_seconds()

    def lap(self) -> float:
        """Seconds of the processor since the last time this was asked."""
        before, self._before = self._before, processor_seconds()
        return self._before - before
