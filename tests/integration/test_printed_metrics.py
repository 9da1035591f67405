"""A script that says its metrics in its output alone has them in the run, where a variable asks for it."""

from __future__ import annotations

import json

import pytest

from tests.environments import python_of
from tests.jobs import Job

PROGRAM = """\
import sys, time
for step in range(5):
    print(f"iter {step}: loss {1 / (step + 1):.4f}, time {step}ms", file=sys.stderr if step % 2 else sys.stdout)
    sys.stdout.write(f"\\r{step}0%|#| {step}/9 [00:01<00:02,  9.9it/s, lr={step}e-4]\\r")
print()
"""
NAMED = json.dumps({"loss": r"loss (\d\.\d+)", "step": r"iter (\d+)", "bad": "(", "slow": "((?:i+)+)$"})


@pytest.mark.parametrize(("value", "rows"), [("auto", 10), (NAMED, 5), ("off", 0)])
def test_what_is_asked_for_is_found_in_both_streams(job: Job, value: str, rows: int) -> None:
    job.write("train.py", PROGRAM)
    python = python_of("wandb")
    plain = job.run(python, "train.py", shim=False)
    done = job.run(python, "train.py", environ={"WANDB_SHIM_METRICS": value})
    assert done.stdout == plain.stdout
    history = job.server.run().history
    assert len(history) == rows
    assert [row["loss"] for row in history if "loss" in row] == [1, 0.5, 0.3333, 0.25, 0.2][: rows and 5]
    assert done.stderr.count("'bad' is no regular expression") == (value == NAMED)


def test_they_stop_where_the_script_asks_for_the_run(job: Job) -> None:
    job.write("train.py", "import wandb\nwandb.init()\nwandb.log({'mine': 1})\n" + PROGRAM)
    job.run(python_of("wandb"), "train.py", environ={"WANDB_SHIM_METRICS": "auto"})
    names = {name for row in job.server.run().history for name in row if not name.startswith("_")}
    assert names == {"mine"}
