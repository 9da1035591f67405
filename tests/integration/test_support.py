"""The core of the shim on each supported Python, wandb and wrapt: what docs/support.md says comes from here.

The corners of that table are in each run of the tests, all of it in `make matrix`.
"""

from __future__ import annotations

from itertools import product

import pytest
from _pytest.mark import ParameterSet

from tests.comparing import check_nothing_is_missing
from tests.environments import python_of
from tests.integration.test_nemo_rl import MAIN, nemo_rl
from tests.interpreters import pythons
from tests.jobs import Job
from tests.support import RELEASES, WRAPTS, cell

SILENT = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.5)
print("trained with", parser.parse_args().lr)
from algorithm import train
train([(1, 0.5), (2, 0.9)])
raise SystemExit(3)
"""
ASKING = """\
import wandb
with wandb.init(name="mine", config={"lr": 0.5}, tags=["a"]) as run:
    for step in range(3):
        run.log({"loss": 1 / (step + 1)})
        print("step", step)
    artifact = wandb.Artifact("weights", type="model")
    with artifact.new_file("w") as file:
        file.write("w")
    run.log_artifact(artifact)
"""


def cells() -> list[ParameterSet]:
    """Each combination, the corners with the mark for every run."""
    minors, found = list(pythons()), []
    for minor, release, wrapt in product(minors, RELEASES, WRAPTS):
        ends = (minor in (minors[0], minors[-1]), release in (RELEASES[0], RELEASES[-1]))
        corner = all(ends) and (minor == minors[0]) == (wrapt == WRAPTS[0])
        found.append(
            pytest.param(cell(minor, release, wrapt), marks=pytest.mark.everywhere if corner else pytest.mark.matrix)
        )
    return found


@pytest.mark.parametrize("environment", cells())
def test_a_silent_script_has_its_configuration_its_console_its_checkpoints_and_its_exit_code(
    job: Job, environment: str
) -> None:
    nemo_rl(job, MAIN).write("train.py", SILENT)
    bare = job.run(python_of(environment), "train.py", shim=False, check=False)
    (job.directory / "results").rename(job.directory / "before")
    done = job.run(python_of(environment), "train.py", check=False)
    assert (done.stdout, done.returncode) == (bare.stdout, 3)
    (run,) = job.server.runs
    assert (run.state, run.exit_code, run.config["args"]) == ("failed", 3, {"lr": 0.5})
    assert "trained with 0.5" in run.console_text()
    saved = {artifact.metadata["step"]: set(artifact.aliases) for artifact in job.server.artifacts}
    assert set(saved) == {1, 2}
    assert {"latest", "best"} <= saved[2]


@pytest.mark.parametrize("environment", cells())
def test_a_script_with_an_init_of_its_own_misses_nothing(job: Job, environment: str) -> None:
    job.write("train.py", ASKING)
    job.run(python_of(environment), "train.py", shim=False)
    job.run(python_of(environment), "train.py")
    native, ours = job.server.runs
    check_nothing_is_missing(native, ours)
