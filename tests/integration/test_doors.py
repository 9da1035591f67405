"""Every way to start an interpreter leads to the shim, once, and none of them minds that the shim is gone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import uv

from tests import interpreters
from tests.benchmarks import places
from tests.environments import INSTALLER_SETTINGS, WANDB, borrowing_environment
from tests.jobs import Job

# How often the shim was started: each start puts a finder of its own in front.
STARTS = "import sys; print(sum(getattr(finder, '__name__', '') == '_wandb_shim' for finder in sys.meta_path))"
ONCE = "1\n"
NEVER = "0\n"

TRAIN = "import sys\nprint('training', sys.argv[1:])\n"


@pytest.fixture(scope="session")
def debian(places_root: Path) -> places.Baked:
    """A Python with a sitecustomize of its own, where there is one."""
    return places.baked(list(interpreters.every_python())[-1], places_root)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(STARTS)
    return path


def output(*command: str | Path, environ: Mapping[str, str]) -> str:
    """What a command printed to stdout and stderr; it must succeed."""
    done = subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize(
    "options", [(), ("-E",), ("-I",), ("-s",), ("-E", "-s"), ("-O",), ("-X", "utf8")], ids=" ".join
)
def test_the_stdlib_door_opens_whatever_the_options(
    options: tuple[str, ...], baked: places.Baked, script: Path, clean_environment: dict[str, str]
) -> None:
    for python in (baked.python, baked.venv_before, baked.venv_after):
        assert output(python, *options, script, environ=clean_environment) == ONCE


def test_the_stdlib_door_opens_whatever_the_environment(baked: places.Baked, script: Path, tmp_path: Path) -> None:
    for python in (baked.python, baked.venv_before, baked.venv_after):
        assert output("env", "-i", python, script, environ={}) == ONCE
        assert output(python, script, environ={"PYTHONPATH": str(tmp_path)}) == ONCE
        assert output(python, script, environ={"PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1"}) == ONCE


def test_without_site_there_is_no_door(baked: places.Baked, script: Path) -> None:
    assert output(baked.python, "-S", script, environ={}) == NEVER


def test_children_with_an_empty_environment_start_with_the_shim(baked: places.Baked, script: Path) -> None:
    parent = f"import subprocess, sys; subprocess.run([sys.executable, {str(script)!r}], env={{}}, check=True)"
    assert output(baked.venv_after, "-I", "-c", parent, environ={}) == ONCE


def test_an_environment_that_uv_makes_for_one_command_starts_with_the_shim(
    baked: places.Baked, script: Path, clean_environment: dict[str, str]
) -> None:
    command = (uv.find_uv_bin(), "run", "--quiet", "--isolated", "--no-project", "--python", baked.python, "python")
    assert output(*command, script, environ=clean_environment) == ONCE
    assert output(*command, "-I", script, environ={"HOME": clean_environment["HOME"], **INSTALLER_SETTINGS}) == ONCE


def test_the_shim_starts_once_through_all_doors_together(baked: places.Baked, script: Path) -> None:
    """Two doors of a virtual environment (CPython runs .pth files twice there), its base's, and PYTHONPATH."""
    environ = {"PYTHONPATH": str(baked.home)}
    assert output(baked.python, script, environ=environ) == ONCE
    assert output(baked.venv_after, script, environ=environ) == ONCE
    assert output(baked.venv_door, script, environ=environ) == ONCE


def test_a_venv_with_a_door_of_its_own_on_a_baked_base_starts_once(
    baked: places.Baked, script: Path, tmp_path: Path
) -> None:
    python = borrowing_environment(baked.python, tmp_path / "venv")
    places.shim("install", "--python", python)
    for environ in ({}, {"PYTHONPATH": str(baked.home)}):
        assert output(python, script, environ=environ) == ONCE


@pytest.mark.parametrize("options", [(), ("-E",), ("-I",), ("-s",)], ids=" ".join)
def test_the_door_of_a_venv_opens_although_its_base_has_none(
    options: tuple[str, ...], baked: places.Baked, script: Path
) -> None:
    assert output(baked.venv_door, *options, script, environ={}) == ONCE
    assert output(baked.plain, *options, script, environ={}) == NEVER


@pytest.mark.parametrize("removed", ["share", "share/wandb-shim/shim"])
def test_the_door_of_a_venv_survives_the_removal_of_the_home(
    removed: str, baked: places.Baked, script: Path, tmp_path: Path
) -> None:
    python = borrowing_environment(baked.plain, tmp_path / "venv")
    places.shim("install", "--python", python)
    assert output(python, script, environ={}) == ONCE
    shutil.rmtree(tmp_path / "venv" / removed)
    forgotten(python, script)


def test_the_stdlib_door_survives_the_removal_of_the_home(baked: places.Baked, script: Path, tmp_path: Path) -> None:
    python = places.twin(baked.plain, tmp_path / "twin")
    places.shim("install", "--home", tmp_path / "image", "--python", python)
    assert output(python, script, environ={}) == ONCE
    shutil.rmtree(tmp_path / "image")
    forgotten(python, script)


def forgotten(python: Path, script: Path) -> None:
    """The door leads to nothing any more, and nobody notices: neither a script that would be tracked nor an import."""
    script.write_text("import importlib.util\nprint(importlib.util.find_spec('shim'))\n")
    assert output(python, script, environ={"WANDB_PROJECT": "p"}) == "None\n"


def test_a_shim_that_cannot_start_is_one_line_on_stderr(baked: places.Baked, script: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(baked.home, home)
    (home / "shim" / "bootstrap.py").write_text("1 / 0\n")
    environ = {"PYTHONPATH": str(home), "WANDB_PROJECT": "p"}
    said = subprocess.run([baked.plain, script], env=environ, capture_output=True, text=True, check=True)
    assert said.stdout == ONCE
    assert said.stderr == "wandb-shim: not started: ZeroDivisionError: division by zero\n"
    # Nor does the line go to stdout where nobody listens on stderr.
    assert output("sh", "-c", f"{baked.plain} {script} 2>&-", environ=environ) == ONCE


def test_every_python_tracks_a_script_that_is_isolated_from_its_environment(baked: places.Baked, job: Job) -> None:
    venv = borrowing_environment(baked.python, job.directory.parent / "venv", packages_of=f"wandb-{baked.minor}")
    job.write("train.py", TRAIN)
    environ = {name: value for name, value in job.environ.items() if name.startswith("WANDB_")}
    words = [f"{name}={value}" for name, value in environ.items()]
    done = job.run("env", "-i", *words, venv, "-I", "train.py", "--lr", "1", shim=False)
    assert done.stdout == "training ['--lr', '1']\n"
    run = job.server.run()
    assert (run.project, run.exit_code, run.state) == ("proj", 0, "finished")


@pytest.mark.parametrize("options", [("-E",), ("-I",), ("-s",), ()], ids=" ".join)
def test_a_python_with_a_sitecustomize_of_its_own_tracks_under_all_options(
    options: tuple[str, ...], debian: places.Baked, job: Job
) -> None:
    venv = borrowing_environment(debian.python, job.directory.parent / "venv", packages_of=f"wandb-{debian.minor}")
    job.write("train.py", TRAIN)
    job.run(venv, *options, "train.py", shim=False, environ={"PYTHONPATH": str(job.directory)})
    assert job.server.run().exit_code == 0


def test_a_script_in_an_environment_that_uv_makes_for_it_is_tracked(debian: places.Baked, job: Job) -> None:
    job.write("train.py", TRAIN)
    command = (uv.find_uv_bin(), "run", "--quiet", "--isolated", "--no-project", "--python", debian.python)
    job.run(*command, "--with", WANDB, "--with", "wrapt==2.5.2", "train.py", shim=False)
    assert job.server.run().exit_code == 0
