"""Whatever is wrong with W&B, the job runs as without the shim, says what to do in one line, and keeps its data."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Fault

pytestmark = pytest.mark.in_turn

SCRIPT = "import sys\nprint('trained')\nprint('noted', file=sys.stderr)\nsys.exit(3)\n"
BOUND_S = 30.0  # for a whole job of a fraction of a second, on a machine that is busy
LONG_LINE = "trained for a long time"


def newest() -> Path:
    return python_of("wandb-3.12")


def untouched(
    job: Job, python: Path, environ: Mapping[str, str | None] | None = None, bound: float = BOUND_S
) -> tuple[str, ...]:
    """Run the script, see that nothing is different for it, and return what the shim says."""
    job.write("train.py", SCRIPT)
    start = time.monotonic()
    done = job.run(python, "train.py", environ=environ, check=False, timeout=70)
    assert time.monotonic() - start < bound
    assert (done.returncode, done.stdout) == (3, "trained\n"), done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert "noted" in lines
    return tuple(line.removeprefix("wandb-shim: ") for line in lines if line.startswith("wandb-shim: "))


def kept_offline(job: Job, said: tuple[str, ...], *words: str) -> Path:
    """See that one line names the cause and the remedy, and that the run of that name is on disk."""
    (line,) = said
    for word in words:
        assert word in line, line
    command, _, directory = line.rpartition("wandb sync ")
    assert command, line
    (log,) = Path(directory).glob("run-*.wandb")
    assert b"trained" in log.read_bytes()
    assert [path for path in (job.directory / "wandb").iterdir() if "run-" in path.name and path.is_dir()] == [
        Path(directory)
    ]
    return Path(directory)


def test_without_a_key_the_run_is_kept_offline(job: Job, interpreter: Path) -> None:
    said = untouched(job, interpreter, {"WANDB_API_KEY": None})
    kept_offline(job, said, "no API key", "WANDB_API_KEY", "wandb login")
    assert not job.server.runs


def test_a_run_that_was_kept_offline_can_be_synced(job: Job) -> None:
    directory = kept_offline(job, untouched(job, newest(), {"WANDB_API_KEY": None}), "no API key")
    job.run(newest().with_name("wandb"), "sync", directory)
    run = job.server.run()
    assert (run.exit_code, run.metadata["program"]) == (3, str(job.directory / "train.py"))
    assert run.console_text().splitlines() == ["trained", "noted"]


@pytest.mark.parametrize("content", [None, "", " \n"], ids=["missing", "empty", "blank"])
def test_a_key_file_without_a_key_is_named(job: Job, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    said = untouched(job, newest(), {"WANDB_API_KEY": None, "WANDB_API_KEY_FILE": str(file)})
    kept_offline(job, said, f"WANDB_API_KEY_FILE={file}")


@pytest.mark.parametrize("release", ["wandb-0.19.11", "wandb-0.23.1", "wandb-3.12"])
def test_the_key_may_lie_in_a_file(job: Job, tmp_path: Path, release: str) -> None:
    file = tmp_path / "key"
    file.write_text(job.environ["WANDB_API_KEY"] + "\n")
    said = untouched(job, python_of(release), {"WANDB_API_KEY": None, "WANDB_API_KEY_FILE": str(file)})
    assert [line.partition(" ")[0] for line in said] == ["run"]
    assert job.server.run().exit_code == 3


def test_a_key_with_white_space_around_it_is_taken_without(job: Job) -> None:
    said = untouched(job, newest(), {"WANDB_API_KEY": f" {job.environ['WANDB_API_KEY']}\n"})
    assert [line.partition(" ")[0] for line in said] == ["run"]
    assert job.server.run().exit_code == 3


def test_a_rejected_key_is_named(job: Job) -> None:
    said = untouched(job, newest(), {"WANDB_API_KEY": "f" * 40})
    kept_offline(job, said, "rejects the API key", "401", "wandb login --relogin")
    assert "f" * 40 not in said[0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that accepts and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield int(server.getsockname()[1])


@pytest.mark.parametrize("url", ["http://nosuch.invalid", "closed"])
def test_a_server_that_cannot_be_reached_is_named(job: Job, url: str) -> None:
    url = f"http://127.0.0.1:{free_port()}" if url == "closed" else url
    said = untouched(job, newest(), {"WANDB_BASE_URL": url})
    kept_offline(job, said, url, "cannot be reached")


def test_a_server_that_never_answers_is_not_waited_for(job: Job) -> None:
    with silent_port() as port:
        said = untouched(job, newest(), {"WANDB_BASE_URL": f"http://127.0.0.1:{port}"})
    kept_offline(job, said, str(port), "answer")


@pytest.mark.parametrize("url", ["not-a-url", "http://", "ftp://127.0.0.1/x"])
def test_a_base_url_that_is_none_is_one_warning(job: Job, url: str) -> None:
    said = untouched(job, newest(), {"WANDB_BASE_URL": url})
    assert len(said) == 1, said


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Fault("status", 401), "HTTP 401"),
        (Fault("status", 403), "HTTP 403"),
        (Fault("status", 500), "HTTP 500"),
        (Fault("reset"), "reset"),
        (Fault("drop"), "answer"),
    ],
    ids=lambda value: f"{value.kind} {value.status}" if isinstance(value, Fault) else "",
)
def test_a_server_that_fails_is_named(job: Job, fault: Fault, word: str) -> None:
    job.server.set_fault(fault)
    kept_offline(job, untouched(job, newest()), job.server.url, word)


@pytest.mark.parametrize("release", ["wandb-3.12", "wandb-0.25.1", "wandb-0.19.11"])
def test_a_server_that_takes_no_run_costs_a_bounded_wait(job: Job, release: str) -> None:
    job.server.set_fault(Fault("status", 500, match="UpsertBucket"))
    environ = {"WANDB_INIT_TIMEOUT": "3", "WANDB_FINISH_TIMEOUT": "3"}
    said = untouched(job, python_of(release), environ, bound=60)
    assert len(said) == 1, said
    assert "wandb sync" in said[0]


def test_a_server_that_refuses_the_run_is_named(job: Job) -> None:
    job.server.set_fault(Fault("status", 403, match="UpsertBucket"))
    said = untouched(job, newest())
    assert len(said) == 1, said
    assert "wandb sync" in said[0]


@pytest.mark.parametrize("release", ["wandb-3.12", "wandb-0.23.1", "wandb-0.19.11"])
def test_the_run_of_a_job_with_an_identity_is_kept_offline_too(job: Job, release: str) -> None:
    job.server.set_fault(Fault("status", 403, match="UpsertBucket"))
    said = untouched(job, python_of(release), {"KUBERNETES_JOB_UID": "a-b"})
    assert len(said) == 1, said
    assert "wandb sync" in said[0]


def test_where_wandb_cannot_start_the_script_does(job: Job) -> None:
    job.write("train.py", SCRIPT)
    command = f"ulimit -v 600000; exec {newest()} train.py"  # too little for wandb's service, as some schedulers set it
    start = time.monotonic()
    done = job.run("bash", "-c", command, check=False, timeout=90)
    assert (done.returncode, done.stdout) == (3, "trained\n"), done.stderr
    assert time.monotonic() - start < BOUND_S
    assert "no run was opened" in done.stderr


def test_without_stderr_nothing_is_said_on_stdout(job: Job) -> None:
    job.write("train.py", SCRIPT)
    command = ("bash", "-c", f"exec {newest()} train.py 2>&-")
    plain = job.run(*command, shim=False, check=False)
    done = job.run(*command, check=False)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)


def test_a_server_that_asks_for_patience_gets_it(job: Job) -> None:
    job.server.set_fault(Fault("status", 429, times=2))
    said = untouched(job, newest())
    assert [line.partition(" ")[0] for line in said] == ["run"]
    assert job.server.run().exit_code == 3


@pytest.mark.parametrize("release", ["wandb-3.12", "wandb-0.25.1", "wandb-0.19.11"])
@pytest.mark.parametrize("kind", ["drop", "hang"])
def test_a_server_that_dies_during_the_run_does_not_keep_the_job(job: Job, release: str, kind: str) -> None:
    job.write("train.py", "import time\nprint('started', flush=True)\ntime.sleep(1)\n" + SCRIPT)
    job.server.set_fault(Fault("drop" if kind == "drop" else "hang", after=8))
    start = time.monotonic()
    done = job.run(python_of(release), "train.py", environ={"WANDB_FINISH_TIMEOUT": "2"}, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (3, "started\ntrained\n"), done.stderr
    assert time.monotonic() - start < BOUND_S
    assert "Traceback" not in done.stderr


def test_sigterm_ends_a_job_that_waits_for_a_dead_server(job: Job) -> None:
    job.server.set_fault(Fault("hang", after=8))
    job.write("train.py", "import os, subprocess\nsubprocess.Popen(['sh', '-c', f'sleep 3; kill {os.getpid()}'])\n")
    start = time.monotonic()
    done = job.run(newest(), "train.py", check=False, timeout=60)
    assert (done.returncode, time.monotonic() - start < BOUND_S) == (-15, True), done.stderr


@pytest.mark.parametrize("leftover", [False, True], ids=["nothing", "a directory of run files"])
def test_without_wandb_the_job_runs_untracked(job: Job, leftover: bool) -> None:
    if leftover:
        job.write("wandb/run-1/output.log", "")
    (line,) = untouched(job, python_of("bare-3.12"))
    assert "wandb package is not installed" in line


@pytest.mark.matrix
def test_a_wandb_that_is_too_old_is_one_line_and_the_scripts_own_run_is_its_own(job: Job) -> None:
    python = python_of("wandb-0.15")
    (line,) = untouched(job, python)
    assert "wandb 0.15.12 is too old" in line
    job.write("train.py", "import wandb\nwandb.init()\nwandb.log({'x': 1})\n")
    done = job.run(python, "train.py", environ={"WANDB_MODE": "offline"})
    assert done.stderr.count("wandb-shim: ") == 1
    assert len(list((job.directory / "wandb").glob("offline-run-*/*.wandb"))) == 1


def test_without_wrapt_the_shim_brings_its_own(job: Job) -> None:
    job.write("train.py", "import wandb\nrun = wandb.init(config={'lr': 1})\nrun.log({'loss': 2})\n")
    job.run(python_of("no-wrapt"), "train.py")
    run = job.server.run()
    assert (run.config["lr"], run.summary["loss"]) == (1, 2)


def test_a_directory_that_cannot_be_written_is_no_failure(job: Job) -> None:
    for directory in ("/proc/nowhere", "/dev/null"):
        said = untouched(job, newest(), {"WANDB_DIR": directory})
        assert said


def test_values_that_nobody_understands_are_one_warning_each(job: Job) -> None:
    said = untouched(job, newest(), {"WANDB_SHIM_INIT": "maybe", "WANDB_SHIM_OWNER": "me", "WANDB_SHIM_LOG": "loud"})
    assert [line.partition("=")[0] for line in said if not line.startswith("run ")] == [
        "WANDB_SHIM_INIT",
        "WANDB_SHIM_OWNER",
        "WANDB_SHIM_LOG",
    ]
    assert job.server.run().exit_code == 3


def test_an_invalid_setting_of_wandb_is_one_warning(job: Job) -> None:
    said = untouched(job, newest(), {"WANDB_MODE": "sometimes"})
    assert len(said) == 1, said


def test_offline_mode_is_no_warning_under_wandb_silent(job: Job) -> None:
    assert untouched(job, newest(), {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}) == ()
    assert len(list((job.directory / "wandb").glob("offline-run-*"))) == 1


def test_nothing_of_wandb_is_left_running(job: Job) -> None:
    untouched(job, newest(), {"WANDB_API_KEY": None})
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(job.directory) not in listing
