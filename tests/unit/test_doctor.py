"""What the doctor says of an environment: BAD exactly where a job would not be tracked as its variables want."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim import doctor
from shim.__main__ import main
from tests.wandb_server import API_KEY, Fault, WandbServer

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[WandbServer]:
    with WandbServer.start() as server:
        yield server


@pytest.fixture
def environ(server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    server.clear_faults()
    monkeypatch.chdir(tmp_path)
    return {
        "HOME": str(tmp_path),
        "WANDB_PROJECT": "p",
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": API_KEY,
    }


def bad(environ: dict[str, str]) -> dict[str, str]:
    """The findings about an environment that are BAD, by name."""
    names = ("variable", "tracking", "rank", "server")
    return {
        finding.name: finding.text for finding in doctor.examine(environ) if not finding.ok and finding.name in names
    }


def test_a_job_that_will_be_tracked_has_nothing_bad(environ: dict[str, str]) -> None:
    assert bad(environ) == {}
    assert bad({**environ, "RANK": "0", "WORLD_SIZE": "8"}) == {}
    assert bad({"HOME": environ["HOME"]}) == {}, "without a project tracking is not wanted"


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"WANDB_SHIM": "off"}, "tracking", "off: WANDB_SHIM=off, although WANDB_PROJECT=p"),
        ({"WANDB_SHIM_INIT": "off"}, "tracking", "off: WANDB_SHIM_INIT=off"),
        ({"WANDB_MODE": "disabled"}, "tracking", "off: WANDB_MODE=disabled"),
        ({"RANK": "3", "WORLD_SIZE": "8"}, "rank", "3 of 8, by the variables of torchrun; the run is rank 0's"),
        ({"WANDB_SHIM_LOGS": "info"}, "variable", "WANDB_SHIM_LOGS is no variable of the shim"),
        ({"WANDB_SHIM_SKIP": "nothing"}, "variable", "WANDB_SHIM_SKIP names nothing"),
        ({"WANDB_SHIM_INIT": "alwys"}, "variable", "is not one of"),
        ({"WANDB_BASE_URL": "wandb.example.com"}, "server", "wandb.example.com is no address of a server"),
        ({"WANDB_API_KEY": "f" * 40}, "server", "rejects the API key"),
        ({"WANDB_API_KEY": ""}, "server", "no API key for"),
        ({"WANDB_API_KEY": "", "WANDB_API_KEY_FILE": "/dev/zero"}, "server", "is no plain file"),
    ],
)
def test_what_keeps_a_job_from_being_tracked_is_bad(
    environ: dict[str, str], changes: dict[str, str], name: str, words: str
) -> None:
    found = bad({**environ, **changes})
    assert words in found[name]
    assert list(found) == [name]


def test_a_deliberate_offline_mode_is_well(environ: dict[str, str], server: WandbServer) -> None:
    before = len(server.requests)
    found = {finding.name: finding for finding in doctor.examine({**environ, "WANDB_MODE": "offline"})}
    assert found["server"].ok
    assert found["server"].text == f"WANDB_MODE=offline: {server.url} is not asked"
    assert len(server.requests) == before


def test_a_server_that_is_none_is_bad_and_named_once(environ: dict[str, str], server: WandbServer) -> None:
    server.set_fault(Fault("status", 404))
    text = bad(environ)["server"]
    assert "answers HTTP 404: it is no W&B server" in text
    assert text.count(server.url) == 1


def namesakes(*path: Path | str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, str]]:
    """What the doctor says of others that are called as ours are, where the path is this one."""
    monkeypatch.setattr(sys, "path", [str(entry) for entry in path])
    return [(finding.ok, finding.text) for finding in doctor.examine({}) if finding.name == "name"]


@pytest.mark.parametrize("name", ["shim", "launcher"])
def test_whatever_else_is_called_as_ours_is_named_and_bad_where_it_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / f"{name}.py").touch()
    said = f"another `{name}` is in {theirs}"
    assert namesakes(*sys.path, REPOSITORY, theirs, monkeypatch=monkeypatch) == [(True, said)]
    assert namesakes(theirs, REPOSITORY, *sys.path, monkeypatch=monkeypatch) == [(False, said)]


def test_without_another_or_with_one_of_the_jobs_own_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shim.py").touch()
    (tmp_path / "namespace" / "shim").mkdir(parents=True)
    assert namesakes("", tmp_path, tmp_path / "namespace", REPOSITORY, *sys.path, monkeypatch=monkeypatch) == []


def test_a_distribution_that_has_written_over_ours_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wandb_shim", "other"):
        told = tmp_path / f"{name}-1.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1\n")
        (told / "RECORD").write_text("shim/__init__.py,,\n")
    (tmp_path / "shim").mkdir()
    for file in ("__init__.py", "sitecustomize.py"):
        (tmp_path / "shim" / file).touch()
    assert namesakes(tmp_path, *sys.path, monkeypatch=monkeypatch) == [
        (False, f"another `shim` is in {tmp_path} by other")
    ]


def test_a_damaged_distribution_is_named_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("damaged", "broken"):
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}-1.dist-info" / "RECORD").write_text("shim/__init__.py,,\n")
    (tmp_path / "shim.py").touch()
    ((_, text),) = namesakes(tmp_path, *sys.path, monkeypatch=monkeypatch)
    assert text == f"another `shim` is in {tmp_path} by a distribution without a name"


def test_a_directory_of_run_files_is_no_wandb(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    command = [sys.executable, "-m", "shim", "doctor"]
    named = {**os.environ, **environ, "PYTHONPATH": str(REPOSITORY), "WANDB_BASE_URL": "", "WANDB_MODE": "offline"}
    done = subprocess.run(command, cwd=tmp_path, env=named, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    assert "https://api.wandb.ai" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(environ: dict[str, str]) -> None:
    line = f"{sys.executable} -m shim variables | true; {sys.executable} -m shim variables | head -n 1"
    named = {**os.environ, **environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["bash", "-c", line], env=named, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from shim import __version__

    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"wandb-shim {__version__}\n"
