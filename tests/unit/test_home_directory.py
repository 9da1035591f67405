"""Where wandb keeps what is its own when the user has no home."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from shim.companion.home_directory import VARIABLES, replace_missing


def test_a_home_that_can_be_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {"HOME": str(tmp_path)}
    replace_missing(environ)
    assert environ == {"HOME": str(tmp_path)}


def test_without_one_wandb_gets_a_private_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environ = {"HOME": str(tmp_path / "missing"), "WANDB_CACHE_DIR": "/elsewhere"}
    replace_missing(environ)
    replace_missing(environ)
    place = tmp_path / f"wandb-shim-{os.getuid()}"
    expected = {name: str(place / below) for name, below in VARIABLES.items()}
    assert environ == {**expected, "HOME": str(tmp_path / "missing"), "WANDB_CACHE_DIR": "/elsewhere"}
    assert place.stat().st_mode & 0o777 == 0o700


def test_where_only_the_variable_is_missing_wandb_keeps_its_places() -> None:
    environ: dict[str, str] = {}
    replace_missing(environ)
    assert environ == {name: os.path.expanduser(f"~/{below}") for name, below in VARIABLES.items()}


@pytest.mark.parametrize("prepared", ["link", "open to all", "file"])
def test_what_somebody_else_has_put_there_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place, theirs = tmp_path / f"wandb-shim-{os.getuid()}", tmp_path / "theirs"
    theirs.mkdir()
    if prepared == "link":
        place.symlink_to(theirs)
    elif prepared == "file":
        os.mkfifo(place)  # whoever opens that waits
    else:
        place.mkdir()
        place.chmod(0o777)
    environ: dict[str, str] = {"HOME": str(tmp_path / "missing")}
    replace_missing(environ)
    used = Path(environ["WANDB_CONFIG_DIR"]).parents[1]
    assert used not in (place, theirs)
    assert (used.parent, used.stat().st_mode & 0o777) == (tmp_path, 0o700)
