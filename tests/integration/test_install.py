"""`python -m shim`: baking twice is baking once, taking out leaves no trace, a refusal is one line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import interpreters
from tests.benchmarks import places
from tests.environments import REPOSITORY, borrowing_environment

STARTED = """\
import sys
from importlib.util import find_spec
print("_wandb_shim" in sys.modules and find_spec("_wandb_shim.hooks") is not None)
"""


@pytest.fixture(scope="session", params=interpreters.every_python())
def plain(request: pytest.FixtureRequest, places_root: Path) -> Path:
    return places.baked(request.param, places_root).plain


@pytest.fixture(scope="session")
def last(places_root: Path) -> places.Baked:
    """One Python: Debian's own where there is one."""
    return places.baked(list(interpreters.every_python())[-1], places_root)


@pytest.fixture(scope="session")
def mount(last: places.Baked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home without doors, made where one more Python is on PATH."""
    home = tmp_path_factory.mktemp("mount") / "deep" / "home"
    path = f"{last.plain.parent}:{os.environ['PATH']}"
    done = shim("install", "--home-only", "--home", home, environ={"PATH": path})
    assert done.stdout == f"shim: {home}; to use it: PYTHONPATH={home}\n"
    return home


@pytest.fixture
def twin(plain: Path, tmp_path: Path) -> Path:
    return places.twin(plain, tmp_path / "twin")


@pytest.fixture
def one(last: places.Baked, tmp_path: Path) -> Path:
    return places.twin(last.plain, tmp_path / "twin")


def shim(
    *arguments: str | Path, python: Path | None = None, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m shim`, from the clone, or as an interpreter that has a door does it."""
    return subprocess.run(
        [python or sys.executable, "-m", "shim", *arguments],
        cwd="/" if python else REPOSITORY,
        env={"PATH": os.environ["PATH"], **(environ or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str], status: int) -> Any:
    """The JSON that a command printed."""
    assert (done.returncode, done.stderr) == (status, "")
    return json.loads(done.stdout)


def refused(*arguments: str | Path) -> str:
    """The one line with which a command is refused."""
    done = shim(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("wandb-shim: ")
    return lines[0]


def started(python: Path, environ: Mapping[str, str] | None = None) -> bool:
    done = subprocess.run([python, "-c", STARTED], env=environ or {}, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout == "True\n"


def listing(*roots: Path) -> dict[str, str]:
    """Every directory, link and file below, with what is in it; what links lead to is not ours to change."""

    def entries(root: Path) -> Iterator[tuple[str, str]]:
        for directory, directories, files in os.walk(root):
            for name in (*directories, *files):
                path = Path(directory, name)
                if path.is_symlink():
                    yield str(path), f"-> {os.readlink(path)}"
                else:
                    yield str(path), "directory" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()

    return {path: content for root in roots for path, content in entries(root)}


def test_uninstall_restores_every_file_link_and_bytecode(twin: Path, tmp_path: Path) -> None:
    root, home = tmp_path / "twin", tmp_path / "home"
    assert not started(twin)  # bytecode of a sitecustomize that is there already is there from here on
    before = listing(root)
    places.shim("install", "--home", home, "--python", twin)
    assert started(twin)
    assert listing(root) != before
    places.shim("uninstall", "--home", home)
    assert listing(root) == before
    assert not home.exists()
    assert not started(twin)


def test_installing_again_changes_no_byte(twin: Path, tmp_path: Path) -> None:
    home, venv = tmp_path / "home", borrowing_environment(twin, tmp_path / "venv")
    arguments = ("install", "--home", home, "--python", twin, "--python", venv)
    places.shim(*arguments)
    assert (started(twin), started(venv)) == (True, True)
    before = listing(tmp_path)
    places.shim("install", "--home", home, "--python", twin)
    places.shim(*arguments)
    assert listing(tmp_path) == before


def test_a_newer_release_leaves_nothing_of_the_older_one(one: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    places.shim("install", "--home", home, "--python", one)
    (home / "shim" / "gone_in_the_next_release.py").touch()
    places.shim("install", "--home", home, "--python", one)
    assert not (home / "shim" / "gone_in_the_next_release.py").exists()


def test_several_interpreters_share_one_home_and_leave_it_together(plain: Path, twin: Path, tmp_path: Path) -> None:
    venv, home = borrowing_environment(plain, tmp_path / "venv"), tmp_path / "home"
    assert (started(twin), started(venv)) == (False, False)
    before = listing(tmp_path / "twin", tmp_path / "venv")
    done = shim("install", "--home", home, "--python", twin, "--python", venv)
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["shim", "door", "door"]
    assert (started(twin), started(venv)) == (True, True)
    doors = json.loads((home / "doors.json").read_text())["doors"]
    assert [door["kind"] for door in doors] == ["stdlib", "venv"]
    assert all(Path(file).exists() for door in doors for file in door["files"])
    places.shim("uninstall", "--home", home)
    assert listing(tmp_path / "twin", tmp_path / "venv") == before


def test_a_second_install_adds_a_door_to_the_first(plain: Path, twin: Path, tmp_path: Path) -> None:
    venv, home = borrowing_environment(plain, tmp_path / "venv"), tmp_path / "home"
    places.shim("install", "--home", home, "--python", twin)
    places.shim("install", "--home", home, "--python", venv)
    assert (started(twin), started(venv)) == (True, True)
    places.shim("uninstall", "--home", home)
    assert (started(twin), started(venv)) == (False, False)


def test_a_venv_gets_a_home_of_its_own_and_its_base_is_not_touched(plain: Path, tmp_path: Path) -> None:
    venv = borrowing_environment(plain, tmp_path / "venv")
    stdlib = places.stdlib_of(plain)
    before, base = listing(tmp_path / "venv"), listing(stdlib / "__pycache__")
    done = shim("install", "--python", venv)
    home = tmp_path / "venv" / "share" / "wandb-shim"
    assert done.stdout.startswith(f"shim: {home}\n")
    assert started(venv)
    assert listing(stdlib / "__pycache__") == base
    places.shim("uninstall", "--home", home)
    assert listing(tmp_path / "venv") == before


def test_a_home_only_is_reached_through_pythonpath(plain: Path, mount: Path) -> None:
    assert {path.name for path in mount.iterdir()} == {"__pycache__", "shim", "sitecustomize.py", "vendor"}
    assert started(plain, {"PYTHONPATH": str(mount)})


def test_a_mount_is_compiled_and_without_it_the_doctor_has_no_impossible_remedy(
    last: places.Baked, mount: Path, tmp_path: Path
) -> None:
    home, quiet = tmp_path / "home", {"PYTHONDONTWRITEBYTECODE": "1"}
    assert "ok  bytecode  compiled\n" in shim("doctor", python=last.plain, environ={"PYTHONPATH": str(mount)}).stdout
    shutil.copytree(mount, home, ignore=shutil.ignore_patterns("__pycache__"))
    (home / "shim" / "owner.py").write_text("x = 1\n")
    mounted = {**quiet, "PYTHONPATH": f"{REPOSITORY}:{home}"}
    found = said(shim("doctor", "--json", python=last.plain, environ=mounted), 0)
    told = {finding["name"]: finding for finding in found}
    assert (told["bytecode"]["ok"], "none for Python" in told["bytecode"]["text"]) == (True, True)
    assert told["home"]["hint"] == f"`shim install --home-only` where {home}/shim comes from"


def test_uninstall_removes_the_directories_that_install_has_made(one: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    home = tmp_path / "there" / "deep" / "home"
    for _ in range(2):
        places.shim("install", "--home", home, "--python", one)
    places.shim("uninstall", "--home", home)
    assert list((tmp_path / "there").iterdir()) == []
    places.shim("install", "--home", home, "--python", one)
    (home.parent / "of somebody").touch()
    places.shim("uninstall", "--home", home)
    assert [path.name for path in (tmp_path / "there").rglob("*")] == ["deep", "of somebody"]


def test_what_is_no_python_is_refused(one: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexit 0\n")
    silent.chmod(0o755)
    old = tmp_path / "old"
    facts = dict.fromkeys(("executable", "prefix", "base_prefix", "stdlib", "purelib"), "/x") | {"version": "3.9.1"}
    old.write_text(f"#!/bin/sh\necho '{json.dumps(facts)}'\n")
    old.chmod(0o755)
    for python in (tmp_path / "nothing", tmp_path, Path("/bin/false"), Path("/bin/ls"), silent, old):
        assert str(python) in refused("install", "--home", home, "--python", python)
        assert str(python) in refused("install", "--home", home, "--python", one, "--python", python)
    assert not home.exists()
    assert not started(one)


def test_a_home_that_cannot_be_written_is_refused(one: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for home in (Path("/proc/x"), file, file / "home"):
        assert str(home) in refused("install", "--home", home, "--python", one)
        assert str(home) in refused("install", "--home", home, "--home-only")
    assert not started(one)


def test_the_sources_are_refused_as_a_home(one: Path) -> None:
    assert "sources" in refused("install", "--home", REPOSITORY, "--python", one)
    assert "sources" in refused("install", "--home", REPOSITORY, "--home-only")


def test_a_second_home_for_the_same_python_is_refused(one: Path, tmp_path: Path) -> None:
    venv = borrowing_environment(one, tmp_path / "venv")
    for python in (one, venv):
        places.shim("install", "--home", tmp_path / f"first-{python.name}", "--python", python)
        assert "another home" in refused("install", "--home", tmp_path / "second", "--python", python)
        places.shim("uninstall", "--home", tmp_path / f"first-{python.name}")
        assert not started(python)


def test_a_door_to_a_home_that_was_deleted_by_hand_can_be_replaced(one: Path, tmp_path: Path) -> None:
    assert not started(one)
    before = listing(tmp_path / "twin")
    for home in ("first", "first", "second"):
        places.shim("install", "--home", tmp_path / home, "--python", one)
        assert started(one)
        if home == "first":
            shutil.rmtree(tmp_path / home)
            assert not started(one)
    places.shim("uninstall", "--home", tmp_path / "second")
    assert listing(tmp_path / "twin") == before


def test_an_install_that_fails_halfway_can_be_taken_out(last: places.Baked, one: Path, tmp_path: Path) -> None:
    """The second interpreter has a directory where its sitecustomize would be kept."""
    stdlib = places.stdlib_of(places.twin(last.plain, tmp_path / "other"))
    (stdlib / "sitecustomize.py").touch()
    (stdlib / "wandb_shim_displaced_sitecustomize.py" / "x").mkdir(parents=True)
    assert not started(one)
    home, before = tmp_path / "home", listing(tmp_path / "twin")
    other = tmp_path / "other" / "bin" / "python3"
    refused("install", "--home", home, "--python", one, "--python", other)
    if started(one):
        places.shim("uninstall", "--home", home)
    assert listing(tmp_path / "twin") == before


def test_uninstall_where_nothing_is_installed_is_refused(tmp_path: Path) -> None:
    assert "no shim is installed" in refused("uninstall", "--home", tmp_path)


def test_uninstall_works_after_a_door_or_a_venv_was_removed_by_hand(one: Path, tmp_path: Path) -> None:
    venv, home = borrowing_environment(one, tmp_path / "venv"), tmp_path / "home"
    places.shim("install", "--home", home, "--python", one, "--python", venv)
    shutil.rmtree(tmp_path / "venv")
    (places.stdlib_of(one) / "sitecustomize.py").unlink()
    places.shim("uninstall", "--home", home)
    assert not home.exists()


def test_the_doctor_finds_nothing_bad_in_a_baked_interpreter(last: places.Baked, tmp_path: Path) -> None:
    venv = borrowing_environment(last.python, tmp_path / "venv", packages_of=f"wandb-{last.minor}")
    findings = said(shim("doctor", "--json", "--strict", python=venv), 0)
    assert {finding["name"]: finding["ok"] for finding in findings} == dict.fromkeys(
        # click comes with wandb, and is a library that the shim patches
        ("shim", "started", "home", "bytecode", "wandb", "wrapt", "click", "tracking", "server"),
        True,
    )
    texts = {finding["name"]: finding["text"] for finding in findings}
    assert str(last.home) in texts["started"]
    assert texts["home"].endswith("is whole")
    assert not [finding for finding in findings if finding["hint"]], "there is nothing to do"
    nobody = {"WANDB_PROJECT": "p", "WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    findings = said(shim("doctor", "--json", "--strict", python=venv, environ=nobody), 1)
    assert [finding["name"] for finding in findings if not finding["ok"]] == ["server"]
    assert "k" * 40 not in shim("doctor", python=venv, environ=nobody).stdout


def test_the_doctor_is_strict_only_when_asked(last: places.Baked) -> None:
    assert said(shim("doctor", "--json"), 0)[0] == said(shim("doctor", "--json", "--strict"), 1)[0]
    report = shim("doctor").stdout
    assert report.splitlines()[1].startswith("BAD started")
    assert "-m shim install" in report
    off = {"PYTHONPATH": str(REPOSITORY), "WANDB_SHIM": "off", "WANDB_PROJECT": "p", "WANDB_MODE": "offline"}
    assert "off: WANDB_SHIM=off" in shim("doctor", python=last.python, environ=off).stdout


def test_a_damaged_home_and_one_of_another_version_are_bad(one: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shim("install", "--home", home, "--python", one)
    for damage, words in ((b"x = 1\n", "is of another version than"), (b"def", "is damaged: owner.py")):
        (home / "shim" / "owner.py").write_bytes(damage)
        found = said(shim("doctor", "--json", python=one, environ={"PYTHONPATH": str(REPOSITORY)}), 0)
        (finding,) = (finding for finding in found if finding["name"] == "home")
        assert (finding["ok"], words in finding["text"]) == (False, True), finding
    shim("uninstall", "--home", home)


def test_explain_tells_a_launcher_from_a_training_script(last: places.Baked, tmp_path: Path) -> None:
    venv = borrowing_environment(last.python, tmp_path / "venv")
    torchrun = venv.with_name("torchrun")
    torchrun.write_text(f"#!{venv}\n")
    torchrun.chmod(0o755)
    environ = {"PATH": f"{venv.parent}:{os.environ['PATH']}", "WANDB_PROJECT": "p"}
    ranks = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}
    for python in (None, venv):
        found = said(shim("explain", "--json", "--", "torchrun", "train.py", python=python, environ=environ), 0)
        assert (found["role"], found["owner"]) == ("launcher", False)
        found = said(shim("explain", "--json", "--", "python", "-m", "pkg", "-h", python=python, environ=environ), 0)
        assert (found["role"], found["owner"]) == ("tool", False)
        owner = shim("explain", "--", "python", "train.py", "--lr", "1", python=python, environ=environ)
        assert owner.stdout.startswith("owns the run: training: a script: train.py")
        other = shim("explain", "--", "python", "train.py", python=python, environ=environ | ranks)
        assert other.stdout.startswith("opens no run: training: ")
        assert "rank 1 of 2" in other.stdout
    assert "Python program" in shim("explain", "--", "ls", "-l", environ=environ).stdout
    assert "no run, WANDB_PROJECT is not set" in shim("explain", "--", "python", "train.py").stdout
