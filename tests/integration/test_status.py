"""`python -m shim status`: which run is open here, whose it is, and what became of its checkpoints."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shim import install
from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Fault

# Saves a checkpoint that is committed, and one that the server does not take, then waits to be told to go on.
SAVES = """\
import importlib, os, sys
checkpoints = importlib.import_module("_wandb_shim.script.checkpoints")
checkpoint = importlib.import_module("_wandb_shim.checkpoint")
for step in (1, 12):
    path = os.path.abspath(f"saves/step_{step}")
    os.makedirs(path)
    checkpoints.saved(checkpoint.Checkpoint(path, "c", step))
print("saved", flush=True)
sys.stdin.readline()
"""
PLAIN = "import sys\nprint('started', flush=True)\nsys.stdin.readline()\n"


def reported(job: Job, pid: int) -> dict[str, Any] | None:
    """What the command says of one process."""
    command = [sys.executable, "-m", "shim", "status", "--json", "--all"]
    done = subprocess.run(command, cwd=install.SOURCE.parent, env={}, capture_output=True, text=True, check=True)
    assert job.environ["WANDB_API_KEY"] not in done.stdout
    return next((row for row in json.loads(done.stdout) if row["pid"] == pid), None)


def status(*words: str | Path, columns: int = 80) -> subprocess.CompletedProcess[str]:
    """What a person is shown."""
    command = [sys.executable, "-m", "shim", "status", *words]
    environ = {"COLUMNS": str(columns)}
    return subprocess.run(command, cwd=install.SOURCE.parent, env=environ, capture_output=True, text=True, check=False)


def text(pid: int, *words: str) -> list[str]:
    """The lines of one process's run; none before its companion can be asked."""
    lines = status(*words).stdout.splitlines()
    starts = [at for at, line in enumerate(lines) if not line.startswith(" ")] + [len(lines)]
    runs = [lines[start:end] for start, end in itertools.pairwise(starts)]
    return next((run for run in runs if any(line.startswith(f"  process {pid}: ") for line in run)), [])


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


def until(condition: Callable[[], Any]) -> Any:
    """What the condition says once it holds."""
    end = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def is_open(job: Job, pid: int) -> dict[str, Any] | None:
    """What the command says of one process, once its run is open."""
    found = reported(job, pid)
    return found if found and found["run"] else None


def test_an_open_run_is_shown_with_its_process_until_it_ends(job: Job) -> None:
    job.write("train.py", PLAIN)
    with started(job, RANK="0", WORLD_SIZE="2") as process:
        found = until(lambda: is_open(job, process.pid))
        run = job.server.run()
        assert (found["run"], found["alive"], found["checkpoints"]) == (run.path, True, [])
        assert found["command"][-1].endswith("train.py")
        assert Path(found["directory"]).parent == job.directory / "wandb"
        assert (found["rank"], found["world_size"]) == (0, 2)
        first, url, command, files = text(process.pid)
        assert re.fullmatch(rf"{run.path}: runs for (\d+ s|\d+ min), rank 0 of 2", first)
        assert (url, files) == (f"  {found['url']}", f"  files {found['directory']}")
        whole = f"  process {found['pid']}: {' '.join(found['command'])}"
        assert command == (whole if len(whole) <= 80 else f"{whole[:78]} …")
    assert reported(job, process.pid) is None


def test_checkpoints_are_saved_or_committed_during_the_run_and_after_it(job: Job) -> None:
    job.write("train.py", SAVES)
    job.server.set_fault(Fault("status", 500, match="^CreateArtifact$", after=1))
    saves = job.directory / "saves"
    wanted = [f"committed  step  1  {saves}/step_1", f"saved      step 12  {saves}/step_12"]
    with started(job) as process:
        until(lambda: [line.strip() for line in text(process.pid)[-2:]] == wanted)
        assert status(saves).stdout.splitlines() == wanted
        assert status(saves / "step_1").stdout.splitlines() == wanted
        job.server.clear_faults()
    told = json.loads(status("--json", saves).stdout)
    assert [(row["step"], row["state"]) for row in told] == [(1, "committed"), (12, "committed")]
    shutil.rmtree(saves / "step_1")
    shutil.rmtree(saves / "step_12")
    assert status(saves).stdout == "none of the checkpoints in the journal is there any more\n"
    none = status(job.directory)
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr.startswith(f"wandb-shim: {job.directory} has no .wandb-shim-checkpoints.jsonl")


def test_a_run_that_is_being_finished_is_shown_when_asked(job: Job) -> None:
    """Its script has ended by a signal, and the server fails: the living are what a person asks for first."""
    job.write("train.py", PLAIN)
    with started(job) as living, started(job) as process:
        until(lambda: is_open(job, process.pid))
        until(lambda: is_open(job, living.pid))
        job.server.set_fault(Fault("status", 500, match="file_stream"))
        process.kill()
        until(lambda: not (reported(job, process.pid) or {"alive": False})["alive"])
        assert text(process.pid) == []
        assert ": its script has ended; begun " in text(process.pid, "--all")[0]
        pids = [line.split()[1].strip(":") for line in status("--all").stdout.splitlines() if "  process " in line]
        assert pids.index(str(living.pid)) < pids.index(str(process.pid))
        job.server.clear_faults()
    until(lambda: reported(job, process.pid) is None)


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)", "os.execv('/bin/true', ['true'])"])
def test_however_a_process_ends_nothing_is_left_of_it(job: Job, end: str) -> None:
    job.write("train.py", f"import os\nprint(os.getpid(), flush=True)\n{end}\n")
    done = job.run(python_of("wandb-3.12"), "train.py", check=False)
    assert reported(job, int(done.stdout)) is None
    assert job.server.run().complete


def test_a_socket_of_another_user_is_not_asked(job: Job) -> None:
    """Its name is free for all to take: who listens there, the kernel tells."""
    script = (
        "import os, socket, sys, time\nlistening = socket.socket(socket.AF_UNIX)\n"
        "namespace = os.readlink('/proc/self/ns/pid').strip('pid:[]')\nos.setuid(65534)\n"
        "listening.bind(f'\\0wandb-shim/0/{os.getpid()}/{namespace}-0')\nlistening.listen()\n"
        "print('listening', flush=True)\nsys.stdin.readline()\n"
    )
    job.write("train.py", script)
    with started(job, WANDB_SHIM="off") as process:
        assert reported(job, process.pid) is None
