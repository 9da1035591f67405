"""Which process of a job opens its run: real command lines, and the runs that the server has got when they are over."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.environments import borrowing_environment, python_of
from tests.jobs import Job
from tests.wandb_server.records import Run

pytestmark = pytest.mark.in_turn

# A program that needs little, and says what it found before its first line.
TRAIN = """\
import os, sys
early = {"wandb", "socket", "ssl", "wrapt"} & set(sys.modules)
sockets = [fd for fd in os.listdir("/proc/self/fd") if "socket:" in str(os.path.realpath(f"/proc/self/fd/{fd}"))]
print("training with", sys.argv[1:])
if os.environ.get("RANK", "0") != "0":
    print("rank", os.environ["RANK"], "found", sorted(early), "and", len(sockets), "sockets")
"""
ARGPARSE = "import argparse\nargparse.ArgumentParser(prog='train').parse_args()\nprint('trained')\n"

TORCHRUN = {"LOCAL_RANK": "1", "WORLD_SIZE": "2"}
STEP = {"SLURM_JOB_ID": "9", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}
BATCH = {"SLURM_JOB_ID": "9", "SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_LOCALID": "0"}


@pytest.fixture(scope="session")
def python() -> Path:
    """One interpreter, where it does not matter which."""
    return python_of("wandb-3.12")


def owns(job: Job, *command: str | Path, environ: Mapping[str, str] | None = None, stdin: str | None = None) -> Run:
    """Run a job that has one run, whose output and exit code are those it has without the shim."""
    bare = job.run(*command, shim=False, environ=environ, stdin=stdin, check=False)
    done = job.run(*command, environ=environ, stdin=stdin, check=False)
    assert (done.stdout, done.returncode) == (bare.stdout, bare.returncode), done.stderr
    return job.server.run()


def owns_none(job: Job, *command: str | Path, environ: Mapping[str, str] | None = None, stdin: str = "") -> str:
    """Run a job that the server never hears of, and that shows no trace of the shim."""
    bare = job.run(*command, shim=False, environ=environ, stdin=stdin)
    done = job.run(*command, environ=environ, stdin=stdin)
    assert (done.stdout, done.stderr) == (bare.stdout, bare.stderr)
    assert job.server.requests == []
    return done.stdout


@pytest.fixture
def scripts(job: Job) -> Job:
    """A job with the usual files in its directory."""
    for name in ("train.py", "pkg/train.py", "directory/__main__.py", "archive/__main__.py"):
        job.write(name, TRAIN)
    job.write("options.py", ARGPARSE)
    job.write("helper.py", "print('helping')\n")
    subprocess.run([sys.executable, "-m", "zipapp", "archive", "-o", "train.zip"], cwd=job.directory, check=True)
    return job


@pytest.mark.parametrize("words", [("-u", "train.py"), ("-mpkg.train",)], ids=" ".join)
def test_a_script_and_a_module_own_the_run(scripts: Job, interpreter: Path, words: tuple[str, ...]) -> None:
    run = owns(scripts, interpreter, *words, "--lr", "1")
    assert (run.exit_code, run.metadata["args"]) == (0, ["--lr", "1"])


@pytest.mark.parametrize("program", ["directory", "train.zip"])
def test_a_directory_and_a_zip_own_the_run(scripts: Job, python: Path, program: str) -> None:
    run = owns(scripts, python, program, "--lr", "1")
    assert run.metadata["args"] == ["--lr", "1"]


@pytest.mark.parametrize(
    "words",
    [
        ("-c", "print('hello')"),
        ("-i", "train.py"),
        ("-",),
        (),
        ("options.py", "--help"),
        ("-m", "json.tool"),
        ("-c", "from multiprocessing.resource_tracker import main; print('a child')"),
    ],
    ids=" ".join,
)
def test_what_is_no_training_opens_no_run(scripts: Job, interpreter: Path, words: tuple[str, ...]) -> None:
    owns_none(scripts, interpreter, *words, stdin="[1]" if "json.tool" in words else "print(1)\n")


def test_rank_1_imports_no_wandb_and_opens_no_socket(scripts: Job, interpreter: Path) -> None:
    out = owns_none(scripts, interpreter, "train.py", environ={**TORCHRUN, "RANK": "1"})
    assert out == "training with []\nrank 1 found [] and 0 sockets\n"


@pytest.mark.parametrize(
    ("environ", "owner"),
    [
        ({**TORCHRUN, "RANK": "0"}, True),
        ({**STEP, "SLURM_PROCID": "0"}, True),
        ({**STEP, "SLURM_PROCID": "1"}, False),
        (BATCH, True),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, False),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, False),
        ({"RANK": "1", "WORLD_SIZE": "2", "WANDB_SHIM_OWNER": "last"}, True),
        ({"WANDB_SHIM": "off"}, False),
        ({"WANDB_SHIM_INIT": "off"}, False),
        ({"WANDB_SHIM_INIT": "defer"}, False),
        ({"WANDB_MODE": "disabled"}, False),
        ({"WANDB_PROJECT": ""}, False),
    ],
    ids=str,
)
def test_the_environment_says_who_owns_the_run(
    scripts: Job, python: Path, environ: dict[str, str], owner: bool
) -> None:
    scripts.write("train.py", "print('trained')\n")
    if owner:
        owns(scripts, python, "train.py", environ=environ)
    else:
        owns_none(scripts, python, "train.py", environ=environ)


def test_always_makes_an_owner_of_a_command(job: Job, python: Path) -> None:
    owns(job, python, "-c", "print(1)", environ={"WANDB_SHIM_INIT": "always"})


def test_the_installers_and_the_cli_of_wandb_open_no_run(scripts: Job, python: Path) -> None:
    scripts.run(python, "-m", "pip", "list")
    scripts.run(python.parent / "pip", "list")
    scripts.run(python, "-m", "venv", "--without-pip", "made")
    scripts.run(python.parent / "wandb", "--version")
    scripts.run(python, "-m", "wandb", "status")
    assert scripts.server.runs == []


def test_pytest_opens_no_run_but_a_training_that_it_starts_does(scripts: Job, python: Path) -> None:
    scripts.write(
        "test_it.py", f"import os\n\ndef test_it():\n    assert os.system({str(python)!r} + ' train.py') == 0\n"
    )
    path = f"{scripts.home}:{sysconfig.get_path('purelib')}"
    done = scripts.run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", environ={"PYTHONPATH": path})
    assert "1 passed" in done.stdout
    assert Path(scripts.server.run().program).name == "train.py"


def test_uv_opens_no_run_but_what_it_runs_does(scripts: Job, python: Path, tmp_path: Path, repository: Path) -> None:
    own = borrowing_environment(python, tmp_path / "venv", packages_of="wandb-3.12")
    # A door of its own: uv asks interpreters with -I.
    scripts.run(
        sys.executable,
        "-m",
        "shim",
        "install",
        "--python",
        own,
        "--home",
        tmp_path / "home",
        environ={"PYTHONPATH": str(repository)},
    )
    uv = Path(sys.executable).parent / "uv"
    scripts.run(uv, "pip", "list", "--python", own, shim=False)
    scripts.run(uv, "venv", "--python", own, "made", shim=False)
    assert scripts.server.requests == []
    scripts.run(uv, "run", "--no-project", "--offline", "--python", own, "train.py", shim=False)
    assert Path(scripts.server.run().program).name == "train.py"


@pytest.mark.parametrize("path", [".venv/bin/tool", "./.venv/bin/../bin/tool", "linked/bin/tool"])
def test_a_console_script_by_another_path_opens_no_run(job: Job, python: Path, path: str) -> None:
    borrowing_environment(python, job.directory / ".venv")
    (job.directory / "linked").symlink_to(".venv")
    job.write(".venv/bin/tool", f"#!{job.directory}/.venv/bin/python\nprint('a tool')\n").chmod(0o755)
    owns_none(job, path)


KERNEL = """\
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
try:
    client.execute_interactive("print(6 * 7)")
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""


def test_a_notebook_kernel_opens_no_run(job: Job) -> None:
    done = job.run(python_of("notebook"), "-c", KERNEL)
    assert done.stdout == "42\n"
    assert job.server.requests == []


def test_two_jobs_from_one_shell_script_are_two_runs(scripts: Job, python: Path) -> None:
    scripts.run("/bin/sh", "-c", f"{python} train.py first && {python} -m pkg.train second")
    assert [run.metadata["args"] for run in scripts.server.runs] == [["first"], ["second"]]


STARTS_A_HELPER = """\
import subprocess, sys
print(subprocess.run([sys.executable, "helper.py"], check=True, capture_output=True, text=True))
"""


def test_a_helper_of_another_rank_opens_no_run(scripts: Job, python: Path) -> None:
    scripts.write("train.py", STARTS_A_HELPER)
    owns_none(scripts, python, "train.py", environ={**TORCHRUN, "RANK": "1"})


@pytest.mark.parametrize("environ", [{}, BATCH], ids=["alone", "in a Slurm job"])
def test_a_helper_of_the_owner_opens_no_run(scripts: Job, python: Path, environ: dict[str, str]) -> None:
    scripts.write("train.py", STARTS_A_HELPER)
    assert Path(owns(scripts, python, "train.py", environ=environ).program).name == "train.py"


def test_a_helper_started_while_the_package_is_imported_opens_no_run(scripts: Job, python: Path) -> None:
    scripts.write("pkg/__init__.py", STARTS_A_HELPER)
    assert owns(scripts, python, "-m", "pkg.train").program == "-m pkg.train"


def test_a_program_that_replaces_itself_keeps_its_one_run(scripts: Job, python: Path) -> None:
    scripts.write("first.py", "import os, sys\nos.execv(sys.executable, [sys.executable, 'train.py', 'second'])\n")
    run = owns(scripts, python, "first.py")
    assert (run.exit_code, run.complete) == (0, True)


FORKS = """\
import os, sys
pid = os.fork()
if not pid:
    sys.exit(3)
print("the child ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
sys.exit(5)
"""


def test_a_program_that_forks_and_exits_in_both_has_one_run_with_its_own_exit_code(job: Job, interpreter: Path) -> None:
    job.write("train.py", FORKS)
    done = job.run(interpreter, "train.py", check=False)
    assert (done.stdout, done.returncode) == ("the child ended with 3\n", 5)
    assert job.server.run().exit_code == 5
    assert "Traceback" not in done.stderr


POOLS = """\
import multiprocessing, sys

def work(number):
    return number * number, "wandb" in sys.modules

if __name__ == "__main__":
    for method in ("spawn", "forkserver", "fork"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            squares, wandb = zip(*pool.map(work, range(4)))
            print(method, squares, method != "fork" and any(wandb))
"""


def test_workers_of_multiprocessing_open_no_run(job: Job, interpreter: Path) -> None:
    job.write("train.py", POOLS)
    run = owns(job, interpreter, "train.py")
    assert (run.exit_code, run.console_text().count("(0, 1, 4, 9) False")) == (0, 3)


SUBINTERPRETER = """\
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
other = interpreters.create()
interpreters.run_string(other, "import os, logging; os.write(1, b'inside ')")
interpreters.destroy(other)
print("after it", flush=True)
sys.exit(3)
"""


def test_a_subinterpreter_owns_nothing_and_ends_nothing(job: Job, interpreter: Path) -> None:
    job.write("train.py", SUBINTERPRETER)
    run = owns(job, interpreter, "-W", "ignore", "train.py")
    assert (run.exit_code, "after it" in run.console_text()) == (3, True)
