"""`shim run -- COMMAND` as a container's first process: the command's own end, and all of its run at W&B."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from shim import install
from tests.environments import python_of
from tests.jobs import Job

ENDS = {
    "a code": (("sh", "-c", "exit 3"), 3),
    "a signal": (("sh", "-c", "kill -9 $$"), 137),
    "nothing of that name": (("no-such-program",), 127),
    "no program": (("/etc/passwd",), 126),
    "an orphan that goes on": (("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!; exit 4"), 4),
}

# As a container's first process, which has a name space of its own for processes.
AS_FIRST = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.mark.parametrize("end", ENDS)
def test_the_end_is_that_of_the_command(end: str) -> None:
    command, code = ENDS[end]
    words = [sys.executable, "-m", "shim", "run", "--", *command]
    done = subprocess.run(words, cwd=install.SOURCE.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert done.stderr.count("wandb-shim: ") == (code in (126, 127)), done.stderr
    if done.stdout:
        psutil.Process(int(done.stdout)).kill()  # it was left alone


def test_a_run_without_a_command_is_refused() -> None:
    done = subprocess.run([sys.executable, "-m", "shim", "run", "--"], cwd=install.SOURCE.parent, capture_output=True)
    assert (done.returncode, b"python -m shim run -- COMMAND" in done.stderr) == (2, True)


COUNTS = """\
import signal, sys, time
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(len(seen)))
print(*sorted(number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())), "started", flush=True)
time.sleep(60)
"""


def test_signals_reach_the_command_once(tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text(COUNTS)
    words = [sys.executable, "-m", "shim", "run", "--", sys.executable, str(tmp_path / "count.py")]
    with subprocess.Popen(words, cwd=install.SOURCE.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        for _ in range(2):
            process.send_signal(signal.SIGUSR1)
            time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 2


ORPHANS = """\
import os, time
if not os.fork():
    for _ in range(3):
        if not os.fork():
            os._exit(0)
    os._exit(0)
os.wait()
time.sleep(0.5)
stats = [open(f"/proc/{entry}/stat").read() for entry in os.listdir("/proc") if entry.isdecimal()]
print(sum(stat.rpartition(")")[2].split()[0] == "Z" for stat in stats))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make a process namespace here")
def test_orphans_are_reaped(job: Job) -> None:
    job.write("orphans.py", ORPHANS)
    python = str(python_of("wandb-3.12"))
    words = [*AS_FIRST, python, "-m", "shim", "run", "--", python, "orphans.py"]
    assert job.run(*words, environ={"WANDB_PROJECT": None}).stdout == "0\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make a process namespace here")
@pytest.mark.parametrize(
    ("last", "code"),
    [("os._exit(5)", 5), ("os.kill(os.getpid(), 9)", 137), ("sys.exit(7)", 7), ("time.sleep(60)", 143)],
)
def test_the_run_is_finished_before_the_container_ends(job: Job, last: str, code: int) -> None:
    lines = "print('started', flush=True)\nfor number in range(3000):\n    print('line', number)\nsys.stdout.flush()\n"
    opened = "while not glob.glob('wandb/run-*'):\n    time.sleep(0.1)\n"
    job.write("train.py", f"import glob, os, sys, time\n{lines}{opened}{last}\n")
    python = str(python_of("wandb-3.12"))
    words = [*AS_FIRST, python, "-m", "shim", "run", "--", "sh", "-c", f"exec {python} train.py"]
    variables = {**job.environ, "PYTHONPATH": str(job.home)}
    with subprocess.Popen(words, cwd=job.directory, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        if code == 143:
            time.sleep(4)
            (first,) = psutil.Process(process.pid).children()
            for child in first.children(recursive=True):  # as a terminal or a scheduler does: to all of the job
                if "train.py" in child.cmdline() and "companion" not in " ".join(child.cmdline()):
                    child.terminate()
            first.terminate()
        process.communicate(timeout=60)
        assert process.returncode == code
    run = job.server.run()
    assert (run.state, run.exit_code) == ("failed", code)
    assert run.console_text().splitlines()[-1] == "line 2999"


def test_a_command_is_tracked_without_a_door_in_its_interpreter(job: Job) -> None:
    python = python_of("wandb-3.12")
    job.write("train.py", "import os, sys\nprint(sys.argv, os.getppid() > 1)\n")
    words = (python, "-m", "shim", "run", "--", "sh", "-c", f"{python} train.py --lr 1; {python} -m pip --version >&2")
    done = job.run(*words, shim=False, environ={"PYTHONPATH": str(install.SOURCE.parent)})
    assert done.stdout == "['train.py', '--lr', '1'] True\n"
    run = job.server.run()
    assert (Path(run.program).name, run.exit_code) == ("train.py", 0)
    (home,) = (Path(job.environ["HOME"]) / ".cache" / "wandb-shim").iterdir()
    assert home.stat().st_mode & 0o022 == 0
    before = sorted(path.stat().st_mtime_ns for path in home.rglob("*.py"))
    job.run(*words, shim=False, environ={"PYTHONPATH": str(install.SOURCE.parent)})
    assert sorted(path.stat().st_mtime_ns for path in home.rglob("*.py")) == before, "the next job shares it"
    assert len(job.server.runs) == 2
