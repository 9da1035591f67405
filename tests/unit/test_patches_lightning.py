"""Figures of Lightning that come from a GPU: told in their order, and none is waited for before the teardown.

There is no GPU where tests run: the tensors and the event are doubles of what is used of torch's.
"""

from __future__ import annotations

from typing import Any

import pytest

from shim.patches import lightning


class Event:
    """What torch.cuda.Event says of the copies before it."""

    def __init__(self) -> None:
        self.over = False

    def query(self) -> bool:
        return self.over

    def synchronize(self) -> None:
        self.over = True


def test_rows_wait_for_their_figures_in_the_order_in_which_they_were_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, float]] = []
    monkeypatch.setattr(lightning, "_tell", lambda row, at: told.append((row["step"], at)))
    first, last = Event(), Event()
    rows: list[tuple[dict[str, Any], Any, float]] = [({"step": 1}, first, 1.0), ({"step": 2}, None, 2.0)]
    lightning._coming.extend([*rows, ({"step": 3}, last, 3.0)])
    lightning._tell_what_has_come()
    assert told == []
    first.over = True
    lightning._tell_what_has_come()
    assert told == [(1, 1.0), (2, 2.0)]
    assert not last.over
    lightning._on_teardown(None, (), {})
    assert told == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert last.over
