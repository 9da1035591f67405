"""The real DockerExecutor against the real engine: a baked image, an unmodified program, a key that nobody can read."""

from __future__ import annotations

import json
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from tests.containers import baked_image, run_docker
from tests.engine import docker
from tests.environments import REPOSITORY
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

PATIENCE_S = 120.0

ENV_TOML = """
[wandb]
project = "nemotron"

[box]
executor = "docker"
container_image = "{image}"
network = "host"
env_vars = {{ PLANTED = "{planted}", FORMULA = {formula} }}
"""

LAUNCH = """
import sys
import launcher
import nemo_run as run

if __name__ == "__main__":
    executor = launcher.build_executor("box")
    with run.Experiment("exp", executor=executor) as experiment:
        script = run.Script(path="train.py", entrypoint="python3", args=["--steps", "3"])
        experiment.add(script, executor=executor, name=sys.argv[1])
        experiment.run(detach=False, tail_logs=False)
"""

# Does not mention W&B; goes on when it is told to.
TRAIN = """
import os, time
print("formula", ascii(os.environ["FORMULA"]), "key", "WANDB_API_KEY" in os.environ, flush=True)
while not os.path.exists("/tmp/go-on"):
    time.sleep(0.2)
"""


def containers_of(task: str) -> list[str]:
    """The containers whose name has a task's in it."""
    return run_docker("ps", "--all", "--quiet", "--filter", f"name={task}").stdout.split()


def inspected_while_it_runs(job: Job, task: str) -> str:
    """Launch the task, inspect its container once the run is open, and let it go on to its end."""
    with ThreadPoolExecutor(1) as pool:
        launched = pool.submit(launch, job, task)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not job.server.runs:
                assert not launched.done(), launched.result()
                assert time.monotonic() < deadline
                time.sleep(0.2)
            [container] = containers_of(task)
            inspected = run_docker("inspect", container).stdout
            run_docker("exec", container, "touch", "/tmp/go-on")
            launched.result()
        finally:
            for left in containers_of(task):
                run_docker("rm", "--force", "--volumes", left, check=False)
    return inspected


def test_a_container_is_one_run_and_neither_inspection_nor_a_file_shows_its_key(job: Job) -> None:
    task = f"task-{uuid.uuid4().hex[:10]}"  # its container's name begins with it
    variables = {"image": baked_image(), "planted": PLANTED, "formula": FORMULA_TOML}
    write_project(job, ENV_TOML.format(**variables), LAUNCH, TRAIN)
    inspected = inspected_while_it_runs(job, task)

    run = job.server.run()
    assert (run.project, run.program.rpartition("/")[2], run.state) == ("nemotron", "train.py", "finished")
    assert run.metadata["docker"] == baked_image()
    assert f"formula {FORMULA!a} key False" in run.console_text()

    assert PLANTED in inspected
    assert API_KEY not in inspected
    [source] = [mount["Source"] for mount in json.loads(inspected)[0]["Mounts"] if "secrets" in mount["Destination"]]
    assert source.startswith(job.environ["HOME"])
    the_key_lies_in_no_file_of(nemo_run_home(job), f"{task}_executor.yaml", "_TASKS", "_CONFIG")
    the_key_lies_in_no_file_of(job.directory.parent / "home")


def test_docker_run_takes_the_environment_that_the_launcher_writes(job: Job) -> None:
    one_line = FORMULA.replace("\n", " ")  # the format has no line ends
    toml = ENV_TOML.format(image=baked_image(), planted=PLANTED, formula=json.dumps(one_line, ensure_ascii=False))
    job.write("env.toml", toml)
    command = (sys.executable, "-m", "launcher", "env", "--profile", "box", "--format", "docker")
    written = job.run(*command, shim=False, environ={"PYTHONPATH": str(REPOSITORY), "WANDB_PROJECT": None}).stdout
    assert API_KEY not in written
    file = job.write("env.list", written)
    run = (docker(), "run", "--rm", "--network", "none", "--env-file", file, baked_image(), "env", "-0")
    seen = dict(item.partition("=")[::2] for item in job.run(*run, shim=False).stdout.split("\0"))
    assert {name: seen[name] for name in ("WANDB_PROJECT", "FORMULA", "WANDB_API_KEY", "WANDB_DOCKER")} == {
        "WANDB_PROJECT": "nemotron",
        "FORMULA": one_line,
        "WANDB_API_KEY": API_KEY,
        "WANDB_DOCKER": baked_image(),
    }
