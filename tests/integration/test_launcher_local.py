"""Local experiments of the real nemo-run, tracked by the shim: the launching host knows env.toml, the job nothing."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.environments import python_of
from tests.jobs import Job
from tests.launching import (
    FORMULA,
    FORMULA_TOML,
    PLANTED,
    launch,
    nemo_run_home,
    the_key_lies_in_no_file_of,
    write_project,
)
from tests.wandb_server import API_KEY

ENV_TOML = """
[wandb]
project = "nemotron"
tags = ["nightly", "two words"]

[local]
executor = "local"
env_vars = {{ PYTHONPATH = "{path}", PLANTED = "{planted}", FORMULA = {formula} }}

[two-ranks]
extends = "local"
launcher = "torchrun"
nproc_per_node = 2
"""

LAUNCH = """
import os, sys
import launcher, train
import nemo_run as run

def main(profile, task):
    given = {"WANDB_API_KEY": os.environ.pop("OTHER")} if "OTHER" in os.environ else {}
    executor = launcher.build_executor(profile, env=given)
    tasks = {
        "script": run.Script(path="train.py", entrypoint="python", args=["0.5"]),
        "partial": run.Partial(train.main, rate=0.5),
    }
    # The executor is the experiment's as well as the task's: nemo-run then writes it to _CONFIG, too.
    with run.Experiment("exp", executor=executor) as experiment:
        experiment.add(tasks[task], executor=executor, name="task")
        experiment.run(detach=False, tail_logs=False)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""

# Does not mention W&B. Ranks say hello to each other where there are several.
TRAIN = """
import os, sys

def main(rate: float) -> None:
    print("rate", rate, "formula", ascii(os.environ["FORMULA"]))
    print("key", "WANDB_API_KEY" in os.environ, "file", key_file())
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch, torch.distributed as dist
        dist.init_process_group("gloo")
        total = torch.ones(1)
        dist.all_reduce(total)
        print("ranks", int(total))
        dist.destroy_process_group()

def key_file():
    path = os.environ.get("WANDB_API_KEY_FILE")
    return [oct(os.stat(item).st_mode & 0o777) for item in (path, os.path.dirname(path))] if path else None

if __name__ == "__main__":
    main(float(sys.argv[1]))
"""

# Where the host's key is; what the job says of it. A job inherits the host's environment and home directory.
LOGINS = {
    "environment": "key True file None",
    "netrc": "key False file None",
    "given to build_executor": "key False file ['0o600', '0o700']",
}


def logged_in(job: Job, login: str) -> dict[str, str | None]:
    """Put the key where it is to be; changes to the host's variables."""
    if login == "environment":
        return {"WANDB_API_KEY": API_KEY}
    if login == "netrc":
        server = urlsplit(job.server.url).netloc
        (Path(job.environ["HOME"]) / ".netrc").write_text(f"machine {server}\n login user\n password {API_KEY}\n")
        return {"WANDB_API_KEY": None}
    return {"WANDB_API_KEY": None, "OTHER": API_KEY}


def experiment(job: Job, profile: str, task: str, python: Path, login: str = "environment") -> None:
    toml = ENV_TOML.format(path=f"{job.home}:{job.directory}", planted=PLANTED, formula=FORMULA_TOML)
    write_project(job, toml, LAUNCH, TRAIN)
    launch(job, profile, task, path=(python.parent,), environ=logged_in(job, login))
    the_key_lies_in_no_file_of(nemo_run_home(job), "task_executor.yaml", "_TASKS", "_CONFIG")


@pytest.mark.parametrize(
    ("task", "program", "login"),
    [
        ("script", "train.py", "environment"),
        ("partial", "fdl_runner", "netrc"),
        ("script", "train.py", "given to build_executor"),
    ],
)
def test_a_local_task_is_one_run_and_its_key_lies_in_no_file(job: Job, task: str, program: str, login: str) -> None:
    experiment(job, "local", task, python_of("nemo-run"), login)
    run = job.server.run()
    assert (run.project, run.tags, run.state) == ("nemotron", ["nightly", "two words"], "finished")
    assert program in run.program
    assert f"rate 0.5 formula {FORMULA!a}" in run.console_text()
    assert LOGINS[login] in run.console_text()
    assert list((Path(job.environ["HOME"]) / ".cache").rglob("wandb_api_key")) == [], "a key file outlived the job"


@pytest.mark.xdist_group("torch")
def test_two_ranks_under_torchrun_are_one_run(job: Job) -> None:
    experiment(job, "two-ranks", "script", python_of("torch"))
    run = job.server.run()
    assert (Path(run.program).name, run.state) == ("train.py", "finished")
    assert "ranks 2" in run.console_text()
