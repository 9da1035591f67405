"""Local experiments of the real nemo-run, tracked by the shim: the launching script knows env.toml, the job nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.environments import REPOSITORY, python_of
from tests.jobs import Job
from tests.leaks import files_with
from tests.wandb_server import API_KEY

ENV_TOML = """
[wandb]
project = "nemotron"
tags = ["nightly", "two words"]

[local]
executor = "local"
env_vars = {{ PYTHONPATH = "{path}", PLANTED = "{planted}", FORMULA = "$a $$ ${{b}} 'x' \\"y\\"" }}

[two-ranks]
extends = "local"
launcher = "torchrun"
nproc_per_node = 2
"""
PLANTED = "planted-0123456789abcdef0123456789abcdef"
FORMULA = "$a $$ ${b} 'x' \"y\""

LAUNCH = """
import sys
import launcher, model
import nemo_run as run

def main(profile, task):
    executor = launcher.build_executor(profile)
    tasks = {
        "script": run.Script(path=model.__file__, entrypoint="python", args=["0.5"]),
        "partial": run.Partial(model.train, rate=0.5),
    }
    # The executor is the experiment's as well as the task's: nemo-run then writes it to _CONFIG, too.
    with run.Experiment("exp", executor=executor) as experiment:
        experiment.add(tasks[task], executor=executor, name="task")
        experiment.run(detach=False, tail_logs=False)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""

# Does not mention W&B. Ranks say hello to each other where there are several.
MODEL = """
import os, sys

def train(rate: float) -> None:
    print("rate", rate, "formula", os.environ["FORMULA"])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch, torch.distributed as dist
        dist.init_process_group("gloo")
        total = torch.ones(1)
        dist.all_reduce(total)
        print("ranks", int(total))
        dist.destroy_process_group()

if __name__ == "__main__":
    train(float(sys.argv[1]))
"""


def experiment(job: Job, profile: str, task: str, path: Path) -> Path:
    """Launch as a user would, from a project with an env.toml; nemo-run's home, as the experiment leaves it."""
    variables = {"path": f"{job.home}:{job.directory}", "planted": PLANTED}
    job.write("env.toml", ENV_TOML.format(**variables))
    job.write("model.py", MODEL)
    script = job.write("launch.py", LAUNCH)
    home = job.directory.parent / "nemo_run"
    environ = {
        **{name: value for name, value in job.environ.items() if name != "WANDB_PROJECT"},
        "PATH": f"{path.parent}:{job.environ['PATH']}",
        "PYTHONPATH": f"{REPOSITORY}:{job.directory}",
        "NEMORUN_HOME": str(home),
    }
    done = subprocess.run(
        [python_of("nemo-run"), script, profile, task],
        cwd=job.directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert API_KEY not in done.stdout + done.stderr
    return home


def the_key_lies_in_no_file_of(home: Path) -> None:
    # The same search finds what is put among the variables, so that finding nothing means something.
    planted = files_with(PLANTED, home)
    assert planted["task_executor.yaml"] == "clear"
    assert planted["_TASKS"] == planted["_CONFIG"] == "blob"
    assert files_with(API_KEY, home) == {}


@pytest.mark.parametrize(("task", "program"), [("script", "model.py"), ("partial", "nemo_run.core.runners.fdl_runner")])
def test_a_local_task_is_one_run_and_its_key_lies_in_no_file(job: Job, task: str, program: str) -> None:
    home = experiment(job, "local", task, python_of("nemo-run"))
    run = job.server.run()
    assert (run.project, run.tags, run.state) == ("nemotron", ["nightly", "two words"], "finished")
    assert program in run.program
    assert f"rate 0.5 formula {FORMULA}" in run.console_text()
    the_key_lies_in_no_file_of(home)


@pytest.mark.xdist_group("torch")
def test_two_ranks_under_torchrun_are_one_run(job: Job) -> None:
    home = experiment(job, "two-ranks", "script", python_of("torch"))
    run = job.server.run()
    assert (Path(run.program).name, run.state) == ("model.py", "finished")
    assert "ranks 2" in run.console_text()
    the_key_lies_in_no_file_of(home)
