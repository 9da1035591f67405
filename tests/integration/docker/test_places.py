"""Odd places of a baked image: other users, no environment, no home, other interpreters, peers, and `docker stop`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence

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


# Options of `docker run`, and words in front of the command.
INITS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "none": ((), ()),
    "the shim": ((), ("/opt/wandb-shim/run",)),
    "tini": (("--init",), ()),
    "the shim under tini": (("--init",), ("/opt/wandb-shim/run",)),
}


@pytest.mark.parametrize("init", INITS)
def test_docker_stop_ends_the_run_with_143(job: ContainerJob, baked: str, init: str) -> None:
    options, front = INITS[init]
    job.write("train.py", "import os, time\nprint('started', os.getpid(), flush=True)\ntime.sleep(300)\n")
    name = f"wandb-shim-test-{job.project}"
    try:
        run_docker("run", "--detach", "--name", name, *job.options(), *options, baked, *front, "python3", "train.py")
        deadline = time.monotonic() + 120
        while "started" not in run_docker("logs", name).stdout:
            assert time.monotonic() < deadline, run_docker("logs", name).stderr
            time.sleep(0.2)
        while not job.cluster.runs(job.project):
            assert time.monotonic() < deadline, run_docker("logs", name).stderr
            time.sleep(0.2)
        start = time.monotonic()
        run_docker("stop", "--time", "30", name)
        took = time.monotonic() - start
        status = run_docker("inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip()
    finally:
        run_docker("rm", "--force", "--volumes", name, check=False)
    assert status == "143"
    assert took < 25
    run = job.only_run()
    if init != "tini":  # which ends at once with its child, and so leaves a companion no time
        assert (run["state"], run["exit_code"]) == ("failed", 143)
        assert run["console_text"].startswith("started")


def test_the_images_own_user_stays(baked: str, job: ContainerJob) -> None:
    base = f"wandb-shim-test-user:{job.project}"
    image = f"{base}-baked"
    made = run_docker("create", containers.base_image()).stdout.strip()
    try:
        run_docker("commit", "--change", "USER 4242", made, base)
        containers.bake(base, image, strict=False)
        done = run_docker(
            "run", "--rm", image, "python3", "-c", "import os, sys; print(os.getuid(), '_wandb_shim' in sys.modules)"
        )
    finally:
        run_docker("rm", "--force", made, check=False)
        run_docker("rmi", image, base, check=False)
    assert done.stdout == "4242 True\n"


# What NVIDIA's images start their command with: a shell script that prints a banner and gives way to it.
BANNER = "#!/bin/bash\necho 'a banner'\nexec \"$@\"\n"


@pytest.fixture(scope="module")
def with_init(baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with an entrypoint and a command of its own, and the shim as its init."""
    script = tmp_path_factory.mktemp("entrypoint") / "nvidia_entrypoint.sh"
    script.write_text(BANNER)
    script.chmod(0o755)
    base = f"wandb-shim-test-entrypoint:{uuid.uuid4().hex[:12]}"
    made = run_docker("create", baked).stdout.strip()
    try:
        run_docker("cp", script, f"{made}:/opt/nvidia_entrypoint.sh")
        changes = ('ENTRYPOINT ["/opt/nvidia_entrypoint.sh"]', 'CMD ["echo", "the command of the image"]')
        run_docker("commit", *(word for change in changes for word in ("--change", change)), made, base)
        containers.bake(base, f"{base}-baked", init=True)
        yield f"{base}-baked"
    finally:
        run_docker("rm", "--force", made, check=False)
        run_docker("rmi", f"{base}-baked", base, check=False)


def test_the_shim_as_init_keeps_the_entrypoint_and_the_command_of_the_image(with_init: str) -> None:
    assert run_docker("run", "--rm", with_init).stdout == "a banner\nthe command of the image\n"


@pytest.mark.parametrize("end", ["os._exit(5)", "os.kill(os.getpid(), 15)"])
def test_with_the_shim_as_init_an_end_without_a_word_is_recorded(job: ContainerJob, with_init: str, end: str) -> None:
    job.write("train.py", f"import os\nprint('trained', flush=True)\n{end}\n")
    done = job.run(with_init, "python3", "train.py", check=False)
    code = 5 if "exit" in end else 143
    assert (done.returncode, done.stdout) == (code, "a banner\ntrained\n")
    run = job.only_run()
    assert (run["state"], run["exit_code"], run["console_text"].strip()) == ("failed", code, "trained")
