"""Where that is asked for, a script that only writes TensorBoard events has its scalars in the run."""

from __future__ import annotations

import pytest

from tests.comparing import check_nothing_is_missing
from tests.environments import python_of
from tests.jobs import Job

pytestmark = pytest.mark.in_turn

RELEASES = ["wandb-0.19.11", "wandb-0.21.4", "wandb-0.23.1", "wandb-0.25.1", "wandb-0.28.2", "ray-train"]

WRITES_EVENTS = """\
import sys
early = sorted(name for name in ("tensorboard", "torch", "tensorflow") if name in sys.modules)
from torch.utils.tensorboard import SummaryWriter

with SummaryWriter("events") as writer:
    for step in range(0, 50, 10):
        writer.add_scalar("loss", 1.0 / (step + 1), step)
print("before the script's own imports:", early)
"""
WRITTEN = [(step, pytest.approx(1.0 / (step + 1), rel=1e-5)) for step in range(0, 50, 10)]
ASKS_WANDB = "import wandb\nwandb.init(sync_tensorboard=True)\n"


@pytest.mark.xdist_group("frameworks")
@pytest.mark.parametrize("first", ["", ASKS_WANDB], ids=["no word of W&B", "sync_tensorboard"])
def test_scalars_of_tensorboard_are_in_the_run_with_their_steps(job: Job, first: str) -> None:
    job.write("train.py", first + WRITES_EVENTS)
    done = job.run(python_of("frameworks"), "train.py", environ={"WANDB_SHIM_TENSORBOARD": "on"})
    if not first:
        assert done.stdout == "before the script's own imports: []\n"
    run = job.server.run()
    assert [(row["global_step"], row["loss"]) for row in run.history if "loss" in row] == WRITTEN
    assert run.state == "finished"


TENSORBOARDX = WRITES_EVENTS.replace("torch.utils.tensorboard", "tensorboardX")


@pytest.mark.parametrize("environment", RELEASES)
def test_scalars_of_tensorboardx_are_in_the_run_with_their_steps(job: Job, environment: str) -> None:
    job.write("train.py", TENSORBOARDX)
    done = job.run(python_of(environment), "train.py", environ={"WANDB_SHIM_TENSORBOARD": "on"})
    assert done.stdout == "before the script's own imports: []\n"
    run = job.server.run()
    assert [(row["global_step"], row["loss"]) for row in run.history if "loss" in row] == WRITTEN
    assert run.state == "finished"


@pytest.mark.parametrize("environment", RELEASES)
def test_a_script_that_asks_wandb_for_them_has_them_as_without_the_shim(job: Job, environment: str) -> None:
    job.write("train.py", "import wandb\nwandb.init(name='tb', sync_tensorboard=True)\n" + TENSORBOARDX)
    job.run(python_of(environment), "train.py", shim=False)
    job.run(python_of(environment), "train.py")
    native, run = job.server.runs
    check_nothing_is_missing(native, run)
    assert len([row for row in run.history if "loss" in row]) == len(WRITTEN)


@pytest.mark.xdist_group("frameworks")
def test_without_the_variable_they_stay_where_they_are(job: Job) -> None:
    job.write("train.py", WRITES_EVENTS)
    job.run(python_of("frameworks"), "train.py")
    assert not job.server.run().history
