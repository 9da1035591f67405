"""Jobs in a baked image: one run each, whoever wrote the program and however it is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import containers
from tests.containers import ContainerJob, packages_of
from tests.wandb_server.server import API_KEY

pytestmark = pytest.mark.xdist_group("docker")

MEGATRON = Path(__file__).parent.parent / "megatron"
TRAIN = """\
import sys
print("training with", sys.argv[1:], flush=True)
for step in range(3):
    print("step", step)
"""
OUTPUT = "training with ['--lr', '1']\nstep 0\nstep 1\nstep 2\n"
SECRET_FILE = "/run/secrets/wandb_api_key"


def test_a_script_of_ours_is_one_run_with_all_that_wandb_records(job: ContainerJob, baked: str) -> None:
    job.write("train.py", TRAIN)
    done = job.run(baked, "python3", "train.py", "--lr", "1", environ={"WANDB_ENTITY": "acme", "WANDB_DOCKER": "i:1"})
    assert done.stdout == OUTPUT
    run = job.only_run()
    assert (run["entity"], run["project"], run["state"], run["exit_code"]) == ("acme", job.project, "finished", 0)
    assert (run["program"], run["metadata"]["args"]) == ("/job/train.py", ["--lr", "1"])
    assert run["metadata"]["docker"] == "i:1"
    assert run["console_text"].splitlines() == OUTPUT.splitlines()


def test_a_program_that_nobody_here_wrote_is_one_run(job: ContainerJob, baked: str) -> None:
    packages = packages_of("torch")  # with accelerate, which brings a program that trains a small model
    program = "accelerate.test_utils.scripts.test_script"
    done = job.run(baked, "python3", "-m", program, options=packages, environ={"ACCELERATE_USE_CPU": "true"})
    assert "Training yielded the same results" in done.stdout
    run = job.only_run()
    assert (run["program"], run["state"]) == (f"-m {program}", "finished")
    assert "Training yielded the same results" in run["console_text"]


def test_of_two_ranks_under_torchrun_the_first_owns_the_run(job: ContainerJob, baked: str) -> None:
    job.write(
        "train.py",
        "import sys, torch.distributed as dist\ndist.init_process_group('gloo')\n"
        "sys.stdout.write(f'rank {dist.get_rank()}\\n')\n"
        "dist.barrier()\ndist.destroy_process_group()\n",  # neither ends while the other still connects
    )
    torchrun = ("python3", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = job.run(baked, *torchrun, "train.py", options=packages_of("torch"))
    assert sorted(done.stdout.split("\n")) == ["", "rank 0", "rank 1"]
    run = job.only_run()
    assert (run["state"], run["console_text"].strip()) == ("finished", "rank 0")


def test_megatron_bridge_logs_its_checkpoints_with_their_paths_on_the_host(job: ContainerJob, baked: str) -> None:
    for name in ("pretrain.py", "cpu.py"):
        job.write(name, (MEGATRON / name).read_text())
    checkpoints = job.directory / "on the host"
    checkpoints.mkdir()
    single = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    done = job.run(
        baked,
        *("python3", "pretrain.py", "--save", "/checkpoints", "--steps", "2"),
        options=[*packages_of("megatron"), "--volume", f"{checkpoints}:/checkpoints"],
        environ={**single, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.endswith("trained\n")
    run = job.only_run()
    assert run["state"] == "finished"
    assert [row["_step"] for row in run["history"] if "lm loss" in row] == [1, 2]
    artifacts = job.cluster.artifacts(job.project)
    assert [artifact["metadata"]["iteration"] for artifact in artifacts] == [1, 2]
    for artifact in artifacts:
        path = Path(artifact["metadata"]["absolute_path"])
        assert path.parent == checkpoints
        assert path.is_dir()


def test_the_key_comes_from_a_secret_file_and_is_nowhere_else(job: ContainerJob, baked: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(API_KEY + "\n")
    secret.chmod(0o600)
    job.write("train.py", "import os\n" + TRAIN + "print(sorted(os.environ.items()))\n")
    name = f"wandb-shim-test-{job.project}"
    options = [*job.options({"WANDB_API_KEY_FILE": SECRET_FILE}, key=False), "--volume", f"{secret}:{SECRET_FILE}:ro"]
    try:
        containers.run_docker("run", "--name", name, *options, baked, "python3", "train.py")
        run = job.only_run()
        logs = containers.run_docker("logs", name)
        said = [containers.run_docker("inspect", name).stdout, logs.stdout, logs.stderr, str(run)]
        said.append(containers.run_docker("diff", name).stdout)
    finally:
        containers.run_docker("rm", "--force", "--volumes", name, check=False)
    assert run["state"] == "finished"
    assert not [text for text in said if API_KEY in text]
    kept = [path for path in job.directory.rglob("*") if path.is_file() and API_KEY.encode() in path.read_bytes()]
    assert kept == []


def test_without_wandb_the_script_runs_untouched_with_one_warning(job: ContainerJob) -> None:
    job.write("train.py", TRAIN + "raise SystemExit(3)\n")
    image = containers.baked_image(wandb=False)
    done = job.run(image, "python3", "train.py", "--lr", "1", check=False)
    assert (done.returncode, done.stdout) == (3, OUTPUT)
    (line,) = done.stderr.splitlines()
    assert "the wandb package is not installed" in line
    assert job.cluster.runs(job.project) == []


def test_another_python_of_another_debian_is_tracked_too(job: ContainerJob) -> None:
    job.write("train.py", "import sys\nassert sys.version_info[:2] == (3, 13)\n" + TRAIN)
    image = containers.baked_image("trixie", wandb=False)
    done = job.run(image, "python3", "train.py", "--lr", "1", options=packages_of("wandb-3.13", "trixie"))
    assert (done.stdout, job.only_run()["state"]) == (OUTPUT, "finished")
