"""Accelerate without a tracker: what its W&B tracker would have logged, and each saved state as an artifact."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.comparing import configured, steady
from tests.environments import python_of
from tests.jobs import Job

pytestmark = pytest.mark.xdist_group("frameworks")

# The third save deletes the first, and looks at the name of all that lies beside it.
TRAINS = """\
import os, sys, torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration

torch.manual_seed(1)
project = ProjectConfiguration("exp", automatic_checkpoint_naming=True, total_limit=2)
to = None if sys.argv[1] == "none" else sys.argv[1]
accelerator = Accelerator(cpu=True, log_with=to, project_config=project)
model = accelerator.prepare(torch.nn.Linear(2, 1))
accelerator.init_trackers("theirs", config={"lr": 0.1, "sizes": [1, 2], "optimizer": {"name": "sgd"}})
for step in range(3):
    accelerator.log({"loss": 1.0 / (step + 1), "weight": model.weight.detach()[0, :1], "note": 7}, step=step * 10)
    accelerator.save_state()
accelerator.end_training()
print(sorted(os.listdir("exp/checkpoints")), torch.rand(1).item())
"""
# By names of the script's own, from the newest state that is there.
RESUMES = """\
import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration

project = ProjectConfiguration("exp", automatic_checkpoint_naming=True)
accelerator = Accelerator(cpu=True, project_config=project)
model = accelerator.prepare(torch.nn.Linear(2, 1))
accelerator.load_state()
project.automatic_checkpoint_naming = False
accelerator.save_state("exp/epoch_7")
for weight in (0.0, 1.0):
    torch.nn.init.constant_(model.weight, weight)
    accelerator.save_state("exp/last")
"""


@pytest.fixture(scope="module")
def python() -> Path:
    return python_of("frameworks")


def versions(job: Job) -> list[tuple[str, int, list[str]]]:
    found = sorted((one for one in job.server.artifacts if one.version is not None), key=lambda one: one.version or 0)
    return [
        (name, step, sorted(one.aliases))
        for one in found
        for name, step in one.metadata.items()
        if one.collection == "exp" and name in ("step", "epoch", "save")
    ]


def test_the_run_has_what_the_own_tracker_would_have_logged_and_each_state(job: Job, python: Path) -> None:
    job.write("train.py", TRAINS)
    without = job.run(python, "train.py", "wandb", shim=False)
    shutil.rmtree(job.directory / "exp")
    done = job.run(python, "train.py", "none")
    native, run = job.server.runs
    assert done.stdout == next(line for line in without.stdout.splitlines(keepends=True) if "wandb" not in line)
    assert done.stdout.startswith("['checkpoint_1', 'checkpoint_2'] ")
    assert [steady(row) for row in run.history] == [steady(row) for row in native.history]
    assert len(run.history) == 3
    assert steady(run.summary) == steady(native.summary)
    assert run.config["accelerate"] == configured(native)
    saved = [("step", step, [f"checkpoint_{step}"]) for step in range(3)]
    saved[-1][-1].append("latest")
    assert versions(job) == saved

    job.write("train.py", RESUMES)
    job.run(python, "train.py")
    assert job.server.runs[-1].used_artifacts == ["exp:v2"]
    assert versions(job)[3:] == [("epoch", 7, ["epoch_7"]), ("save", 2, []), ("save", 3, ["last", "latest"])]
