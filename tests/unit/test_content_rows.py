"""Rows of metrics: where their numbers are asked for, how long they wait, and what ends them."""

from __future__ import annotations

import sys
import threading
import types
from typing import Any

import pytest

from shim.companion import content as companion_content
from shim.patches import wrapping
from shim.script import channel, content


class Figure:
    """A tensor of one element, whose value is still being computed."""

    shape = ()

    def __init__(self) -> None:
        self.asked = 0

    def item(self) -> float:
        self.asked += 1
        return 0.5


class Way:
    """A channel that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def tell(self, message: dict[str, Any]) -> bool:
        self.told.append(message)
        return True


@pytest.mark.parametrize(
    ("is_owner", "skipped", "has_asked", "expected"),
    [(True, (), False, 1), (False, (), False, 0), (True, ("metrics",), False, 0), (True, (), True, 0)],
    ids=["somebody listens", "not the owner", "skipped", "the script has its own run"],
)
def test_a_figure_is_asked_for_its_number_only_where_somebody_listens(
    monkeypatch: pytest.MonkeyPatch, is_owner: bool, skipped: tuple[str, ...], has_asked: bool, expected: int
) -> None:
    way, figure = Way(), Figure()
    monkeypatch.setattr(channel, "current", lambda: way if is_owner else None)
    monkeypatch.setattr(content, "_SKIPPED", frozenset(skipped))
    asked = types.SimpleNamespace(has_asked=lambda: has_asked)
    monkeypatch.setitem(sys.modules, "shim.script.attach", asked)
    content.metrics({"loss": figure, "lr": 0.1}, step=1)
    assert figure.asked == expected
    assert [message["values"] for message in way.told] == [{"loss": 0.5, "lr": 0.1}] * expected


class Logged:
    """A run of wandb's that keeps its rows, and says when it has four."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.has_four = threading.Event()

    def log(self, row: dict[str, Any], step: int | None) -> None:
        self.rows.append(row)
        if len(self.rows) == 4:
            self.has_four.set()


def row_of(loss: int, *, waits: bool) -> dict[str, Any]:
    return {"what": content.METRICS, "values": {"loss": loss}, "step": None, "time": 1.0, "waits": waits}


def test_rows_wait_for_the_scripts_own_run_until_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companion_content, "_WAITING_MAX", 3)
    run, kept = Logged(), companion_content.Content()
    kept.begin(run)
    for number in range(4):
        assert run.rows == []
        kept.take(row_of(number, waits=True))
    assert run.has_four.wait(10)
    assert [row["loss"] for row in run.rows] == [0, 1, 2, 3]


def test_nothing_is_logged_that_was_under_way_when_the_script_asked_for_the_run() -> None:
    run, kept = Logged(), companion_content.Content()
    kept.take(row_of(0, waits=True))
    kept.take(row_of(1, waits=False))
    kept.stop()
    kept.take(row_of(2, waits=False))
    kept.begin(run)
    kept.finish()
    assert not run.has_four.wait(0.2)
    assert run.rows == []


def test_what_another_thread_logs_meanwhile_is_a_row_of_its_own() -> None:
    entered, leave, told = threading.Event(), threading.Event(), []

    class Logger:
        def log(self, value: int) -> None:
            if value == 1:
                entered.set()
                leave.wait(10)

    wrapping.required(Logger, "log", lambda _, args, __: told.append(args[1]), title="it", outermost=wrapping.Depth())
    thread = threading.Thread(target=Logger().log, args=(1,))
    thread.start()
    entered.wait(10)
    Logger().log(2)
    leave.set()
    thread.join()
    assert told == [2, 1]


def test_of_a_directory_for_tensorboard_only_what_the_framework_tells_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(content, "_written_by_tellers", {})
    content.tells_in("/logs/train", "epoch_")
    content.tells_in("/logs/all")
    assert [content.is_told("/logs/train", name) for name in ("epoch_loss", "rate", "")] == [True, False, True]
    assert content.is_told("/logs/all", "rate")
    assert not content.is_told("/logs", "epoch_loss")
