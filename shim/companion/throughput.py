"""Steps a second, and seconds a step, over a whole run whose rows name their step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEY = "throughput"

# The counters of Hugging Face's Trainer, Lightning and others.
_COUNTERS = ("train/global_step", "trainer/global_step", "global_step")


class Throughput:
    """Measures from the first row with a step to the first row with the last step."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)

    def note(self, row: Mapping[str, Any], seconds: float) -> None:
        """Note a row and the time at which it was told."""
        step = next((row[name] for name in _COUNTERS if name in row), None)
        if step is None:
            return
        if self._first is None:
            self._first = self._last = (step, seconds)
        elif step > self._last[0]:  # rows of an evaluation have the step of the training before
            self._last = (step, seconds)

    def figures(self) -> dict[str, float]:
        """The figures; none for a run with fewer than two steps."""
        if self._first is None:
            return {}
        steps, seconds = (last - first for first, last in zip(self._first, self._last, strict=True))
        if steps <= 0 or seconds <= 0:
            return {}
        return {"steps_per_second": steps / seconds, "seconds_per_step": seconds / steps}
