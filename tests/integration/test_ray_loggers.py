"""W&B from within Ray's Train and Tune: their metrics and config in the job's one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Run

pytestmark = pytest.mark.xdist_group("ray")

HEAD = """\
import os
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from ray import train, tune
from ray.air.integrations.wandb import WandbLoggerCallback, setup_wandb

def head():
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
"""

# The logger of Tune: an actor of Ray that opens a run under the trial's id.
CALLBACK = """\
def trainable(config):
    for step in range(3):
        tune.report({"loss": config["lr"] / (step + 1)})

head()
callback = WandbLoggerCallback(project="theirs", group="g", tags=["t"], notes="n")
tuner = tune.Tuner(
    trainable, param_space={"lr": 0.5},
    run_config=tune.RunConfig(name="exp", storage_path=os.path.abspath("results"), callbacks=[callback], verbose=0),
)
print(tuner.fit().get_best_result("loss", "min").metrics["loss"])
"""

# The function for use in a trial: it opens the run in the trial's own process.
IN_A_TRIAL = """\
def trainable(config):
    run = setup_wandb(config, project="theirs", tags=["t"])
    for step in range(3):
        run.log({"loss": config["lr"] / (step + 1)})
        tune.report({"loss": config["lr"] / (step + 1)})
    run.finish()

head()
tuner = tune.Tuner(
    trainable, param_space={"lr": 0.5},
    run_config=tune.RunConfig(name="exp", storage_path=os.path.abspath("results"), verbose=0),
)
print(tuner.fit().get_best_result("loss", "min").metrics["loss"])
"""

# As the documentation of Ray Train has it: wandb.init in the worker of rank 0.
IN_A_WORKER = """\
import wandb
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

def work(config):
    if train.get_context().get_world_rank() == 0:
        wandb.init(project="theirs", name="ray-train", config=config, tags=["t"])
    for step in range(3):
        if train.get_context().get_world_rank() == 0:
            wandb.log({"loss": config["lr"] / (step + 1)})
        train.report({"loss": 1.0})
    if train.get_context().get_world_rank() == 0:
        wandb.finish()

head()
trainer = DataParallelTrainer(
    work, train_loop_config={"lr": 0.5}, scaling_config=train.ScalingConfig(num_workers=2),
    run_config=train.RunConfig(name="exp", storage_path=os.path.abspath("results")),
)
print(trainer.fit().error)
"""


# Of the config that Ray adds: what is another in each trial.
OF_THE_TRIAL = ("date", "pid", "trial_id", "trial_log_path", "_wandb", "experiment_tag")


def said(run: Run) -> dict[str, Any]:
    """What the program, and Ray, say of a run."""
    config = {name: "" if name in OF_THE_TRIAL else value for name, value in run.config.items()}
    history = [(row["loss"], row["_step"], row.get("training_iteration")) for row in run.history]
    return {"config": config, "history": history, "loss": run.summary["loss"]} | {
        name: getattr(run, name) for name in ("notes", "group", "job_type", "tags", "state")
    }


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(CALLBACK, id="callback", marks=pytest.mark.matrix),
        pytest.param(IN_A_TRIAL, id="in a trial"),
        pytest.param(IN_A_WORKER, id="in a worker"),
    ],
)
def test_what_ray_logs_is_all_in_the_one_run(job: Job, program: str) -> None:
    job.write("train.py", HEAD + program)
    job.run(python_of("ray-train"), "train.py", shim=False)
    job.run(python_of("ray-train"), "train.py")
    native, run = job.server.runs
    assert said(run) == said(native)
    assert len(run.history) == 3
    assert run.display_name.partition("_")[0] == native.display_name.partition("_")[0]
    assert (run.project, Path(run.program).name) == ("proj", "train.py")


def test_of_several_trials_the_first_has_the_jobs_run_and_the_others_their_own(job: Job) -> None:
    job.write("train.py", HEAD + CALLBACK.replace('"lr": 0.5', '"lr": tune.grid_search([0.5, 0.1])'))
    job.run(python_of("ray-train"), "train.py")
    ours, other = job.server.runs
    assert {ours.config["lr"], other.config["lr"]} == {0.5, 0.1}
    assert [(run.project, len(run.history)) for run in (ours, other)] == [("proj", 3), ("theirs", 3)]
    assert other.id in other.display_name
