"""`python -m shim status`: which run is open here, whose it is, and what became of its checkpoints."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shim import install
from shim import state as status
from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Fault

# Saves a checkpoint that is committed, and one that the server does not take, then waits to be told to go on.
SAVES = """\
import importlib, os, sys, wandb
artifacts = importlib.import_module("_wandb_shim.artifacts")
checkpoint = importlib.import_module("_wandb_shim.checkpoint")
run = wandb.init()
for step in (1, 2):
    path = os.path.abspath(f"saves/step_{step}")
    os.makedirs(path)
    artifacts.committer.commit(checkpoint.Checkpoint(path, "c", step), run)
    step == 1 and artifacts.committer.drain()
print("saved", flush=True)
sys.stdin.readline()
"""
PLAIN = "import sys\nprint('started', flush=True)\nsys.stdin.readline()\n"


def reported(job: Job, pid: int) -> dict[str, Any] | None:
    """What the command says of one process."""
    command = [sys.executable, "-m", "shim", "status", "--json"]
    done = subprocess.run(command, cwd=install.SOURCE.parent, env={}, capture_output=True, text=True, check=True)
    assert job.environ["WANDB_API_KEY"] not in done.stdout
    return next((row for row in json.loads(done.stdout) if row["pid"] == pid), None)


def text(pid: int) -> list[str]:
    """The lines that a person is shown of one process's run."""
    command = [sys.executable, "-m", "shim", "status"]
    done = subprocess.run(command, cwd=install.SOURCE.parent, env={}, capture_output=True, text=True, check=True)
    runs = done.stdout.split("\nrun ")
    return next(run for run in runs if f"process {pid}" in run).splitlines()


@contextmanager
def started(job: Job, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A job that has said its first word, and waits for a line."""
    with subprocess.Popen(
        [python_of("wandb-3.12"), "train.py"],
        cwd=job.directory,
        env={**job.environ, "PYTHONPATH": str(job.home), **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            if process.poll() is None:
                process.communicate("\n", timeout=120)


def test_an_open_run_is_shown_with_its_process_until_it_ends(job: Job) -> None:
    job.write("train.py", PLAIN)
    with started(job) as process:
        found = reported(job, process.pid)
        run = job.server.run()
        assert found is not None
        assert (found["run"], found["alive"], found["checkpoints"]) == (run.path, True, [])
        assert found["command"].endswith("train.py")
        assert Path(found["directory"]).parent == job.directory / "wandb"
        assert text(process.pid)[0].endswith(f"{run.path} {found['url']}")
        file = Path(status.PLACE) / f"wandb-shim-status-{os.getuid()}" / f"{process.pid}.json"
        assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]
        assert job.environ["WANDB_API_KEY"] not in file.read_text()
    assert reported(job, process.pid) is None
    assert not file.exists()


def test_checkpoints_are_committed_or_outstanding(job: Job) -> None:
    job.write("train.py", SAVES)
    job.server.set_fault(Fault("status", 500, match="^CreateArtifact$", after=1))
    with started(job) as process:
        saves = job.directory / "saves"
        assert [line.split() for line in text(process.pid)[-2:]] == [
            ["committed", str(saves / "step_1")],
            ["outstanding", str(saves / "step_2")],
        ]
        job.server.clear_faults()


def test_what_a_killed_process_left_is_known_as_that_for_a_day(job: Job) -> None:
    job.write("train.py", PLAIN)
    with started(job, WANDB_MODE="offline") as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        found = reported(job, process.pid)
        assert found is not None
        assert (found["alive"], found["run"].rpartition("/")[0]) == (False, "proj")
        assert "gone" in text(process.pid)[1]
    job.run(python_of("wandb-3.12"), "-m", "train", environ={"WANDB_MODE": "offline"})
    assert reported(job, process.pid) == found
    file = Path(status.PLACE) / f"wandb-shim-status-{os.getuid()}" / f"{process.pid}.json"
    os.utime(file, (0, 0))
    job.run(python_of("wandb-3.12"), "-m", "train", environ={"WANDB_MODE": "offline"})
    assert reported(job, process.pid) is None


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 15)", "os.execv('/bin/true', ['true'])"])
def test_however_a_process_ends_it_takes_its_word_back(job: Job, end: str) -> None:
    job.write("train.py", f"import os\nprint(os.getpid(), flush=True)\n{end}\n")
    done = job.run(python_of("wandb-3.12"), "train.py", check=False)
    assert reported(job, int(done.stdout)) is None
