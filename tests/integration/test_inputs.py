"""WANDB_SHIM_INPUTS: what a run says that it consumes, without a word in the script."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Fault, Run

pytestmark = pytest.mark.in_turn

PRODUCE = """\
import wandb
with wandb.init(project="data") as run:
    for name in ("raw", "clean"):
        artifact = wandb.Artifact(name, type="dataset")
        with artifact.new_file("rows") as file:
            file.write(name)
        run.log_artifact(artifact)
"""
OWN_INIT = "import wandb\nwandb.init()\nprint('trained')\n"


@pytest.fixture(scope="session")
def python() -> Path:
    return python_of("wandb-3.12")


def consumer(job: Job) -> Run:
    (run,) = [run for run in job.server.runs if run.project == "proj"]
    return run


def consume(job: Job, python: Path, inputs: str, script: str = "print('trained')\n", **environ: str) -> list[str]:
    """Produce artifacts, run a job that names its inputs, and return the shim's lines about them."""
    if not job.server.artifacts:
        job.write("produce.py", PRODUCE)
        job.run(python, "produce.py", shim=False)
    job.write("train.py", script)
    done = job.run(python, "train.py", environ={"WANDB_SHIM_INPUTS": inputs, **environ})
    assert "trained\n" in done.stdout
    return [line for line in done.stderr.splitlines() if line.startswith("wandb-shim:") and "input" in line.lower()]


@pytest.mark.parametrize(
    ("script", "init"),
    [("print('trained')\n", "auto"), (OWN_INIT, "auto"), (OWN_INIT, "defer")],
    ids=["hidden run", "handed over", "the script's own"],
)
@pytest.mark.parametrize("environment", ["wandb-3.12", "wandb-0.19.11"])  # the newest wandb, and the oldest
def test_the_run_has_them_as_its_inputs(job: Job, environment: str, script: str, init: str) -> None:
    python = python_of(environment)
    assert consume(job, python, "acme/data/raw:v0, acme/data/clean:latest", script, WANDB_SHIM_INIT=init) == []
    assert sorted(consumer(job).used_artifacts) == ["clean:v0", "raw:v0"]
    assert consumer(job).exit_code == 0


def test_a_name_that_w_and_b_does_not_know_is_one_warning_and_hides_no_other(job: Job, python: Path) -> None:
    (warning,) = consume(job, python, "acme/data/nobody:v7,acme/data/raw:v0")
    assert "acme/data/nobody:v7" in warning
    assert consumer(job).used_artifacts == ["raw:v0"]


def test_offline_their_names_are_in_the_config_of_the_run(job: Job, python: Path) -> None:
    assert consume(job, python, "acme/data/raw:v0,acme/data/clean:latest", OWN_INIT, WANDB_MODE="offline") == []
    (directory,) = (job.directory / "wandb").glob("offline-run-*")
    job.run(python.parent / "wandb", "sync", directory, shim=False, environ={"WANDB_PROJECT": None})
    assert consumer(job).config["wandb_shim"] == {"inputs": ["acme/data/raw:v0", "acme/data/clean:latest"]}


def test_a_script_that_disables_wandb_is_not_bothered(job: Job, python: Path) -> None:
    disabled = "import wandb\nwandb.init(mode='disabled')\nprint('trained')\n"
    assert consume(job, python, "acme/data/raw:v0", disabled, WANDB_SHIM_INIT="defer") == []
    assert [run for run in job.server.runs if run.project == "proj"] == []


def test_the_script_starts_at_once_although_the_server_does_not_answer(job: Job, python: Path) -> None:
    job.write("produce.py", PRODUCE)
    job.run(python, "produce.py", shim=False)
    job.server.set_fault(Fault("hang", match="Artifact"))
    job.write("train.py", "import time\nprint(time.time())\n")
    environ = {"WANDB_SHIM_INPUTS": "acme/data/raw:v0", "WANDB_FINISH_TIMEOUT": "15"}
    begin = time.time()
    done = job.run(python, "train.py", environ=environ)
    assert float(done.stdout) - begin < 14
    assert time.time() - begin < 60
    assert "acme/data/raw:v0 is not marked as input" in done.stderr
