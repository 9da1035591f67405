"""What is found in the lines that real programs print, and that no line and no expression holds the companion up."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shim import expressions
from shim.companion.lines import Lines
from shim.companion.printed import LINE_MAX, RATE, Printed, Rate

BAR = "█████     "

TABLE: list[tuple[str, dict[str, float]]] = [
    # tqdm
    (f" 50%|{BAR}| 5/10 [00:00<00:00, 45.2it/s, loss=0.12, lr=1e-4]", {"loss": 0.12, "lr": 1e-4}),
    ("  0%|          | 0/1.2k [00:00<?, ?it/s, loss=inf]", {"loss": math.inf}),
    (f"train:  50%|{BAR}| 5/10 [00:00<00:00, 45.2it/s]", {}),
    # Lightning
    (f"Epoch 3:  50%|{BAR}| 5/10 [00:00<00:00, 50.0it/s, v_num=0, loss=0.5]", {"epoch": 3, "loss": 0.5}),
    ("Epoch 0/1 ━━━━━━ 5/10 0:00:01 • 0:00:00 12.3it/s v_num: 0.000 loss: 0.125", {"epoch": 0, "loss": 0.125}),
    # Keras 3 and 2
    (
        "\x1b[1m10/100\x1b[0m \x1b[32m━━\x1b[0m \x1b[1m0s\x1b[0m 5ms/step - acc: 0.5 - loss: 0.7",
        {"acc": 0.5, "loss": 0.7},
    ),
    ("1875/1875 [=====] - 3s 1ms/step - loss: 0.3 - val_loss: 1.5", {"loss": 0.3, "val_loss": 1.5}),
    # Megatron-LM
    (
        " [2026-05-01 10:00:00] iteration       10/     100 | consumed samples:     160 | "
        "elapsed time per iteration (ms): 123.4 | learning rate: 1.0E-04 | lm loss: 1.075E+01 | loss scale:   1.0 |",
        {
            **{"iteration": 10, "consumed samples": 160, "elapsed time per iteration": 123.4, "learning rate": 1e-4},
            **{"lm loss": 10.75, "loss scale": 1},
        },
    ),
    # nanoGPT, build-nanogpt
    ("iter 10: loss 2.3456, time 12.34ms, mfu 1.23%", {"iter": 10, "loss": 2.3456, "time": 12.34, "mfu": 1.23}),
    ("step 250: train loss 4.25, val loss 4.3", {"step": 250, "train loss": 4.25, "val loss": 4.3}),
    ("step 9 | loss: 3.2 | lr 1.00e-04 | dt: 100.5ms", {"step": 9, "loss": 3.2, "lr": 1e-4, "dt": 100.5}),
    # fairseq
    (
        '2026-01-01 10:00:00 | INFO | train_inner | {"epoch": 1, "loss": "7.5", "num_updates": "100", "lr": "0.0001"}',
        {"epoch": 1, "loss": 7.5, "num_updates": 100, "lr": 1e-4},
    ),
    # transformers 4 and 5
    ("{'loss': 1.2, 'learning_rate': 5e-05, 'epoch': 0.1}", {"loss": 1.2, "learning_rate": 5e-5, "epoch": 0.1}),
    ("{'eval_loss': '1.5', 'epoch': '1.0'}", {"eval_loss": 1.5, "epoch": 1}),
    # examples of PyTorch, and by hand
    ("Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.300039", {"epoch": 1, "Loss": 2.300039}),
    ("epoch=1 step=20 loss=-0.33 acc=.9", {"epoch": 1, "step": 20, "loss": -0.33, "acc": 0.9}),
    ("epoch 4 loss 0.5", {"epoch": 4, "loss": 0.5}),
    ("Epoch 3 finished with loss: 0.5 in 12.3s", {"epoch": 3, "loss": 0.5}),
    # numbers that are no metrics
    ("loss: 3.5", {}),
    ("Loading 10 files: 12.5 GB", {}),
    ("Saved checkpoint 10 at step 20", {}),
    ("http://host:8080 step 5", {}),
    ("2026-01-01 12:00:00 INFO version=1.2.3 date: 2026-01-01 time: 12:30 step: 3", {}),
    ("epoch", {}),
]


@pytest.mark.parametrize(("line", "expected"), TABLE)
def test_a_line_as_a_real_program_prints_it(line: str, expected: dict[str, float]) -> None:
    assert Lines().row(line) == pytest.approx(expected)


def test_the_epoch_of_a_line_goes_on_for_the_bars_of_keras() -> None:
    lines = Lines()
    assert lines.row("Epoch 2/5") == {}
    assert lines.row("10/10 ━━ 0s 5ms/step - loss: 0.7") == {"epoch": 2, "loss": 0.7}


@pytest.fixture
def handler() -> Iterator[None]:
    """Puts the handler of SIGVTALRM back, which this process may have."""
    before = signal.getsignal(signal.SIGVTALRM)
    yield
    signal.signal(signal.SIGVTALRM, before)


def rows_of(value: str, *pieces: bytes) -> list[dict[str, Any]]:
    """What is given on of these pieces of one stream."""
    told: list[dict[str, Any]] = []
    printed = Printed(value, told.append)
    for piece in pieces:
        printed.take(0, piece)
    closer = threading.Thread(target=printed.finish)
    closer.start()
    printed.work(threading.Event())
    closer.join()
    return told


@pytest.mark.usefixtures("handler")
def test_pieces_are_put_together_to_lines_and_what_is_drawn_over_a_step_is_defined_once() -> None:
    told = rows_of("auto", b"epoch 1 lo", b"ss 0.5\r\nepo", b"ch 2 loss 0.25")
    assert [row["values"] for row in told if "values" in row] == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    assert [row["define"] for row in told if "define" in row] == [{"name": "loss", "step_metric": "epoch"}]


@pytest.mark.usefixtures("handler")
def test_a_step_that_stands_alone_is_that_of_the_lines_behind_it() -> None:
    told = rows_of(r'{"loss": "L=([-\\d.,]+)", "step": "at (\\d+)"}', b"at 7\nL=1,000.5\nL=-\nL=2 at 8\n")
    values = [row["values"] for row in told if "values" in row]
    assert values == [{"step": 7, "loss": 1000.5}, {"step": 8, "loss": 2}]


@pytest.mark.usefixtures("handler")
def test_an_expression_that_never_ends_is_given_up_and_the_others_go_on(capfd: pytest.CaptureFixture[str]) -> None:
    told = rows_of(r'{"bad": "((?:a+)+)$", "loss": "L=(\\d+)"}', b"a" * 4000 + b"! L=1\n", b"a" * 3999 + b"! L=2\n")
    assert [row["values"] for row in told] == [{"loss": 1}, {"loss": 2}]
    assert capfd.readouterr().err.count("'bad' takes too long") == 1


@pytest.mark.usefixtures("handler")
@pytest.mark.parametrize(
    "piece", ["a ", "a.", "1", "9%|", "a: ", "1/1 0s/step", "a (", "{'a':", "| - ", " ", "\t", "a", "_ "]
)
def test_no_line_takes_long_where_nothing_is_named(piece: str, capfd: pytest.CaptureFixture[str]) -> None:
    row = "epoch 1 loss 2 " + piece * (4000 // len(piece)) + "\n"
    rows_of("auto", row.encode())
    assert "too long" not in capfd.readouterr().err


@pytest.mark.usefixtures("handler")
def test_a_line_longer_than_people_read_is_not_searched() -> None:
    assert rows_of("auto", b"epoch 1 loss 2" + b" " * LINE_MAX, b" \n") == []


def test_no_more_rows_pass_in_a_second_than_are_allowed_and_the_newest_is_among_them() -> None:
    rate = Rate()
    for number in range(50):
        rate.take({"loss": number}, time.time())
    passed = [row["loss"] for row, _ in rate.due(100.0)]
    assert passed == [*range(RATE - 1), 49]
    rate.take({"loss": 50}, time.time())
    assert list(rate.due(100.9)) == []
    assert [row["loss"] for row, _ in rate.due(101.0)] == [50]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("off", ""),
        ("AUTO", ""),
        (r'{"loss": "loss (\\d+)"}', ""),
        ("on", "is not off, auto"),
        ('["loss"]', "is not off, auto"),
        ('{"loss": 1}', "is not off, auto"),
        ('{"loss": "("}', 'has "loss", which is no regular expression'),
        ('{"loss": "loss"}', "has 0 groups"),
        ('{"loss": "(a)(b)"}', "has 2 groups"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(value: str, problem: str) -> None:
    assert problem in expressions.problem_of_value(value)
    assert bool(expressions.problem_of_value(value)) == bool(problem)
