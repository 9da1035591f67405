"""The files of examples/ where what reads them is at hand: run as they are, or loaded by it. Images: docker/."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import uv

from tests import interpreters
from tests.containers import run_docker, wheels
from tests.environments import REPOSITORY, borrowing_environment, environment_of, python_of
from tests.jobs import Job
from tests.ray_cluster import RayCluster
from tests.slurm import SlurmCluster
from tests.wandb_server import API_KEY

EXAMPLES = REPOSITORY / "examples"
# Does not mention W&B.
TRAIN = "import os, sys\nprint('trained', sys.argv[1:], 'WANDB_API_KEY' in os.environ)\n"
# The variables that the files set themselves.
THEIR_OWN: dict[str, str | None] = {"WANDB_PROJECT": None, "WANDB_API_KEY": None}


@pytest.fixture
def project(job: Job) -> Job:
    """A directory with a script, the shim's home and, below the user's own, the key."""
    job.write("train.py", TRAIN)
    (job.directory / "wandb-shim").symlink_to(job.home)
    key_file = Path(job.environ["HOME"], ".wandb-key")
    key_file.touch(0o600)
    key_file.write_text(f"{API_KEY}\n")
    return job


def the_run_is_that_of_the_script(job: Job, *arguments: str) -> None:
    run = job.server.run()
    assert (run.project, Path(run.program).name, run.state) == ("nemotron", "train.py", "finished")
    assert f"trained {list(arguments)} False" in run.console_text()


def test_an_environment_of_conda_tracks_what_it_runs(project: Job, tmp_path: Path) -> None:
    # A venv stands in: to the script an environment is a prefix with a Python. The door of a base is test_install's.
    python = borrowing_environment(environment_of("wandb").base.executable, tmp_path / "env", "wandb")
    environ = {**THEIR_OWN, "CONDA_PREFIX": str(tmp_path / "env")}
    done = project.run(EXAMPLES / "conda" / "job.sh", "train.py", "--lr", "1", shim=False, environ=environ)
    assert done.stdout == "trained ['--lr', '1'] False\n"
    the_run_is_that_of_the_script(project, "--lr", "1")
    home = tmp_path / "env" / "opt" / "wandb-shim"
    assert (home / "doors.json").exists()
    project.run(python, "-m", "shim", "uninstall", "--home", home, shim=False, environ=THEIR_OWN)
    assert not home.exists()


def test_a_project_of_uv_is_tracked_without_a_change(project: Job) -> None:
    python = interpreters.pythons()["3.11"]  # that of the wheels
    project.write("pyproject.toml", '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\n')
    environ = {
        **THEIR_OWN,
        "PATH": f"{Path(uv.find_uv_bin()).parent}:{project.environ['PATH']}",
        "UV_PYTHON": str(python),
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(wheels()),
    }
    done = project.run(EXAMPLES / "uv" / "job.sh", "train.py", "--lr", "1", shim=False, environ=environ)
    assert done.stdout == "trained ['--lr', '1'] False\n"
    the_run_is_that_of_the_script(project, "--lr", "1")


def test_slurm_runs_the_job_as_one_run_of_two_tasks(job: Job, slurm: SlurmCluster, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    for file in (EXAMPLES / "slurm" / "job.sbatch", tmp_path / "train.py"):
        run_docker("cp", file, f"{slurm.container}:{slurm.home}/")
    as_user = ("runuser", "-u", slurm.user, "--", "env", "-C", slurm.home, f"HOME={slurm.home}")
    slurm.run(*as_user, "python3", "-m", "shim", "install", "--home-only", "--home", f"{slurm.home}/wandb-shim")
    slurm.run(*as_user, "sh", "-c", f"umask 077; echo {API_KEY} >~/.wandb-key")
    # One node of two CPUs: options of the command line win over those of the script.
    less = ("--nodes=1", "--ntasks-per-node=2", "--gpus-per-node=0", "--time=5")
    slurm.run(*as_user, f"WANDB_BASE_URL={job.server.url}", "sbatch", *less, "job.sbatch")
    number = slurm.only_job()
    slurm.wait_for(lambda: slurm.state(number) in ("COMPLETED", "FAILED"))
    assert slurm.state(number) == "COMPLETED", slurm.report()
    assert slurm.log().count("trained [] False") == 2
    the_run_is_that_of_the_script(job)


@pytest.mark.xdist_group("ray")
def test_a_driver_that_ray_job_submit_starts_is_one_run(project: Job, ray_cluster: RayCluster) -> None:
    text = (EXAMPLES / "ray" / "runtime-env.yaml").read_text()
    named = "/run/secrets/wandb/WANDB_API_KEY"
    assert text.count(named) == 1
    text = text.replace(named, f"{project.environ['HOME']}/.wandb-key")
    project.write("runtime-env.yaml", f"{text}  WANDB_BASE_URL: {project.server.url}\n")
    (project.directory / "wandb-shim").unlink()  # the cluster has its own
    ray = python_of("launcher").with_name("ray")
    words = ("job", "submit", "--address", ray_cluster.address, "--runtime-env", "runtime-env.yaml")
    done = project.run(ray, *words, "--", "python", "train.py", shim=False, environ=THEIR_OWN, timeout=240)
    assert "trained [] False" in done.stdout
    the_run_is_that_of_the_script(project)


# Of all releases with their schemas: the oldest that names the label of a job's pods (1.27), and the newest.
VALIDATE = """\
import sys, kubernetes_validate, yaml
for path in sys.argv[1:]:
    for release in ("1.27", kubernetes_validate.latest_version()):
        print(path.rpartition("/")[2], kubernetes_validate.validate(yaml.safe_load(open(path)), release, strict=True))
"""


def test_kubernetes_knows_every_field(job: Job) -> None:
    files = sorted((EXAMPLES / "kubernetes").iterdir())
    done = job.run(python_of("kubernetes"), "-c", VALIDATE, *files, shim=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * len(files)
    assert lines[0] == f"{files[0].name} 1.27"


LOAD = """\
import json, sys, sky
task = sky.Task.from_yaml(sys.argv[1])
print(json.dumps({"mounts": task.file_mounts, "envs": task.envs, "nodes": task.num_nodes, "run": task.run,
                  "resources": [str(one) for one in task.resources], "all": str(task.to_yaml_config())}))
"""


def test_skypilot_takes_the_task(project: Job) -> None:
    environ = {**THEIR_OWN, "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    task = EXAMPLES / "skypilot" / "task.yaml"
    done = project.run(python_of("launcher"), "-c", LOAD, task, shim=False, environ=environ)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["envs"]["WANDB_PROJECT"] == "nemotron"
    assert {os.path.basename(name) for name in told["mounts"]} == {"wandb-shim", ".wandb-key"}
    assert told["run"].rstrip().endswith("train.py")
    assert "H100" in told["resources"][0]
    assert API_KEY not in told["all"]
