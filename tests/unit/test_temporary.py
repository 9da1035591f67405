"""The companion's directory for temporary files: gone with it, but for runs that wandb had to keep there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from shim.companion import temporary


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_made", "_others"):
        monkeypatch.setattr(temporary, name, "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    temporary.use()


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    Path(tempfile.mkdtemp(), "file").touch()
    (Path(tempfile.gettempdir()) / "link").symlink_to(tmp_path)
    os.close(tempfile.mkstemp()[0])
    temporary.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_it_is_left() -> None:
    made = Path(tempfile.gettempdir())
    run = made / "wandb" / "offline-run-1"
    run.mkdir(parents=True)
    (made / "tmp").mkdir()
    temporary.remove()
    assert run.is_dir()
    assert [path.name for path in made.iterdir()] == ["wandb"]


def test_what_is_to_outlive_it_is_made_beside_it(tmp_path: Path) -> None:
    assert temporary.of_others() == str(tmp_path)
