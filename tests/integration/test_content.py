"""What the run shows of a script that never mentions W&B: what its parser has parsed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.jobs import Job

ARGUMENTS = """\
import argparse, pathlib, sys

def train(options): ...

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out"))
parser.add_argument("--sizes", type=int, nargs="+", default=(1, 2))
parser.add_argument("--hub-token", default="hf_secret")
parser.add_argument("--pad-token", default="<pad>")
parser.add_argument("--store", default="postgres://me:pass@db/x")
parser.add_argument("--nothing")
commands = parser.add_subparsers(dest="command")
fit = commands.add_parser("fit")
fit.add_argument("--epochs", type=int, default=3)
fit.set_defaults(call=train)
print(sorted(vars(parser.parse_args())))
"""
PARSED = {
    "lr": 0.5,
    "out": "out",
    "sizes": [1, 2],
    "hub_token": "********",
    "pad_token": "<pad>",
    "store": "postgres://me:********@db/x",
    "nothing": None,
    "command": "fit",
    "epochs": 3,
    "call": "__main__.train",
}
# One parser looks at a part, the other at what it has left; a third has words of its own.
TWO_PARSERS = """\
import argparse
first, second, other = argparse.ArgumentParser(), argparse.ArgumentParser(), argparse.ArgumentParser()
first.add_argument("--config", default="a.yaml")
second.add_argument("--lr", type=float, default=0.1)
other.add_argument("--inner", default=1)
options, rest = first.parse_known_args()
options = second.parse_args(rest, namespace=None)
other.parse_args([])
other.parse_args(["--inner", "2"])
print(options)
"""


def args_of(job: Job) -> object:
    return job.server.run().config.get("args")


@pytest.fixture(scope="module")
def python() -> Path:
    return python_of("wandb")


@pytest.mark.parametrize(
    ("program", "words", "expected"),
    [
        (ARGUMENTS, ["--lr", "0.5", "fit"], PARSED),
        (TWO_PARSERS, ["--config", "b.yaml", "--lr", "2"], {"config": "b.yaml", "lr": 2.0}),
    ],
)
def test_what_argparse_has_parsed_is_the_configuration(
    job: Job, python: Path, program: str, words: list[str], expected: dict[str, object]
) -> None:
    job.write("train.py", program)
    plain = job.run(python, "train.py", *words, shim=False)
    done = job.run(python, "train.py", *words)
    assert done.stdout == plain.stdout
    assert args_of(job) == expected
    assert "hf_secret" not in json.dumps(job.server.run().config)


LARGE = """\
import argparse
parser = argparse.ArgumentParser()
for number in range(12_000):
    parser.add_argument(f"--name-{number}", default=number)
parser.parse_args()
"""


def test_a_configuration_without_bounds_is_cut_and_one_line_says_so(job: Job, python: Path) -> None:
    job.write("train.py", LARGE)
    done = job.run(python, "train.py")
    args = args_of(job)
    assert isinstance(args, dict)
    assert 9_000 < len(args) <= 10_000
    assert args["name_17"] == 17
    assert done.stderr.count("too large") == 1


OWN_INIT = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
options = parser.parse_args()
import time; time.sleep(1)
import wandb
run = wandb.init(config=options)
wandb.log({"loss": 1})
parser.parse_args()
"""


@pytest.mark.parametrize("release", ["wandb-0.19.11", "wandb-0.23.1", "wandb"])
def test_it_makes_room_for_the_configuration_of_a_script_that_asks_for_the_run(job: Job, release: str) -> None:
    job.write("train.py", OWN_INIT)
    job.run(python_of(release), "train.py")
    run = job.server.run()
    assert {name: value for name, value in run.config.items() if name != "_wandb"} == {"lr": 0.1}
    assert [row["loss"] for row in run.history] == [1]


OWN_ROWS = """\
import importlib, time
content = importlib.import_module("_wandb_shim.script.content")
import wandb
content.metrics({"early": 1}, step=5)
time.sleep(1)
with wandb.init() as run:
    content.metrics({"late": 1}, step=6)
    run.log({"loss": 1})
content.metrics({"last": 1}, step=7)
"""


def test_no_row_is_told_of_a_script_that_asks_for_the_run(job: Job, python: Path) -> None:
    job.write("train.py", OWN_ROWS)
    job.run(python, "train.py")
    rows = job.server.run().history
    assert [{name for name in row if not name.startswith("_")} for row in rows] == [{"loss"}]
    assert rows[0]["_step"] == 0


@pytest.mark.parametrize("skipped", ["argparse", "config"])
def test_it_is_left_out_by_name_and_by_kind(job: Job, python: Path, skipped: str) -> None:
    job.write("train.py", TWO_PARSERS)
    done = job.run(python, "train.py", environ={"WANDB_SHIM_SKIP": skipped})
    assert args_of(job) is None
    assert "WANDB_SHIM_SKIP" not in done.stderr


STEPS = """\
import importlib, time
content = importlib.import_module("_wandb_shim.script.content")
for step in (10, 20):
    content.metrics({"train/global_step": step, "loss": 1 / step})
    time.sleep(0.05)
"""


def test_rows_that_name_their_step_give_the_throughput(job: Job, python: Path) -> None:
    job.write("train.py", STEPS)
    job.run(python, "train.py")
    run = job.server.run()
    assert [row["train/global_step"] for row in run.history] == [10, 20]
    figures = run.summary["throughput"]
    assert 0 < figures["steps_per_second"] < 200
    assert figures["seconds_per_step"] == pytest.approx(1 / figures["steps_per_second"])
