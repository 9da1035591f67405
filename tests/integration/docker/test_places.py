"""Odd places of a baked image: other users, no environment, no home, other interpreters, peers, and `docker stop`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
import uv

from tests import containers
from tests.containers import ContainerJob, packages_of, run_docker

pytestmark = pytest.mark.xdist_group("docker")

TRAIN = "print('trained')\n"

VENV = "python3 -m venv --system-site-packages --without-pip /tmp/v && "
# A command of a shell, and options of `docker run`.
PLACES: dict[str, tuple[str, Sequence[str]]] = {
    "a venv made at run time": (VENV + "/tmp/v/bin/python train.py", ()),
    "without PYTHONPATH": ("unset PYTHONPATH; python3 train.py", ()),
    "isolated": ("python3 -I train.py", ()),
    "ignoring the environment": ("python3 -E train.py", ()),
    "under env -i": (
        'env -i WANDB_PROJECT="$WANDB_PROJECT" WANDB_BASE_URL="$WANDB_BASE_URL" WANDB_API_KEY="$WANDB_API_KEY" '
        "/usr/bin/python3 train.py",
        (),
    ),
    "uv run": (
        "UV_NO_CACHE=1 uv run --offline --no-project --python /usr/bin/python3 train.py",
        ("--volume", f"{uv.find_uv_bin()}:/usr/local/bin/uv:ro"),
    ),
    "a user without a name and a read-only root": (
        "python3 train.py",
        ("--user", "4242:4242", "--read-only", "--tmpfs", "/tmp"),
    ),
    "a user without a home": ("unset HOME; python3 train.py", ("--user", "4242:4242")),
    "a home that cannot be written": ("python3 train.py", ("--user", "4242:4242", "--env", "HOME=/")),
    "a small /dev/shm": ("python3 train.py", ("--shm-size", "64k")),
    "under tini": ("python3 train.py", ("--init",)),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_script_is_one_run(job: ContainerJob, baked: str, place: str) -> None:
    command, options = PLACES[place]
    job.write("train.py", TRAIN)
    done = job.run(baked, "sh", "-c", command, options=options)
    assert done.stdout == "trained\n"
    assert [line.partition(" run ")[0] for line in done.stderr.splitlines()] == ["wandb-shim:"]
    run = job.only_run()
    assert (run["state"], run["console_text"].strip()) == ("finished", "trained")


RAY = """\
import os, sys, ray

ray.init(num_cpus=1, include_dashboard=False, object_store_memory=80 << 20, logging_level="error", log_to_driver=False)

@ray.remote(runtime_env={"py_executable": "/tmp/v/bin/python"})
def worker():
    return sys.prefix, "_wandb_shim" in sys.modules, "wandb" in sys.modules, os.environ.get("WANDB_PROJECT")

print(ray.get(worker.remote()))
"""


def test_a_ray_worker_in_a_venv_of_its_own_has_the_shim_and_no_run(job: ContainerJob, baked: str) -> None:
    job.write("train.py", RAY)
    options = [*packages_of("ray"), "--shm-size", "256m"]
    done = job.run(baked, "sh", "-c", VENV + "python3 train.py", options=options)
    assert done.stdout == f"{('/tmp/v', True, False, job.project)}\n"
    assert job.only_run()["state"] == "finished"


PEER = "import sys\nprint([name in sys.modules for name in ('ddtrace', '_wandb_shim', 'apport_python_hook')])\n"


@pytest.mark.parametrize("command", ["ddtrace-run python3 train.py", "python3 train.py"])
def test_ddtrace_of_the_image_and_debians_own_sitecustomize_still_run(
    job: ContainerJob, baked: str, command: str
) -> None:
    job.write("train.py", PEER)
    # Debian's file imports a hook where Ubuntu's crash reporter is; one that says so stands in for it.
    job.write("hook/apport_python_hook.py", "def install(): pass\n")
    done = job.run(
        baked,
        *("sh", "-c", command.replace("ddtrace-run", "python3 -m ddtrace.commands.ddtrace_run")),
        options=[*packages_of("ddtrace"), "--volume", f"{job.directory}/hook:/opt/hook:ro"],
        environ={"PYTHONPATH": "/opt/wandb-shim:/opt/hook", "DD_TRACE_ENABLED": "false"},
    )
    assert done.stdout == f"{[command.startswith('ddtrace'), True, True]}\n"
    assert job.only_run()["state"] == "finished"


@pytest.mark.parametrize("options", [(), ("--init",)], ids=["as PID 1", "under tini"])
def test_docker_stop_ends_the_run_with_143(job: ContainerJob, baked: str, options: Sequence[str]) -> None:
    job.write("train.py", "import os, time\nprint('started', os.getpid(), flush=True)\ntime.sleep(300)\n")
    name = f"wandb-shim-test-{job.project}"
    try:
        run_docker("run", "--detach", "--name", name, *job.options(), *options, baked, "python3", "train.py")
        deadline = time.monotonic() + 120
        while "started" not in run_docker("logs", name).stdout:
            assert time.monotonic() < deadline, run_docker("logs", name).stderr
            time.sleep(0.2)
        if options:  # an init that ends at once leaves a companion no time: what was sent until then is what there is
            time.sleep(5)
        start = time.monotonic()
        run_docker("stop", "--time", "30", name)
        took = time.monotonic() - start
        status = run_docker("inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip()
    finally:
        run_docker("rm", "--force", "--volumes", name, check=False)
    assert status == "143"
    assert took < 25
    run = job.only_run()
    assert options or (run["state"], run["exit_code"]) == ("failed", 143)
    assert run["console_text"].startswith("started")


def test_the_images_own_user_stays(baked: str, job: ContainerJob) -> None:
    base = f"wandb-shim-test-user:{job.project}"
    image = f"{base}-baked"
    made = run_docker("create", containers.base_image()).stdout.strip()
    try:
        run_docker("commit", "--change", "USER 4242", made, base)
        containers.bake(base, image, wandb=False)
        done = run_docker(
            "run", "--rm", image, "python3", "-c", "import os, sys; print(os.getuid(), '_wandb_shim' in sys.modules)"
        )
    finally:
        run_docker("rm", "--force", made, check=False)
        run_docker("rmi", image, base, check=False)
    assert done.stdout == "4242 True\n"
