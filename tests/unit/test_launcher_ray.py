from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import launcher
from launcher import ray_runtime_env
from launcher.errors import LauncherError, LauncherWarning

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_PROJECT", "p")


@pytest.fixture
def at_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is on the driver's node, not here."""
    monkeypatch.delenv("WANDB_API_KEY")


@pytest.mark.usefixtures("at_the_driver")
def test_the_runtime_env_has_everything_but_the_key() -> None:
    profile = {"executor": "slurm", "account": "a", "env_vars": {"A": "Köln\n'x'"}}
    assert ray_runtime_env(profile, env={"B": "100$"}) == {
        "env_vars": {"WANDB_PROJECT": "p", "A": "Köln\n'x'", "B": "100$", "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1"}
    }


def test_a_key_file_is_named_and_not_read(tmp_path: Path) -> None:
    env_vars = ray_runtime_env(key_file=tmp_path / "on-the-node")["env_vars"]
    assert env_vars["WANDB_API_KEY_FILE"] == str(tmp_path / "on-the-node")
    assert KEY not in env_vars.values()


def test_how_the_key_gets_to_the_workers_is_said() -> None:
    with pytest.warns(LauncherWarning, match=r"the W&B key \(environment\) is not in a runtime_env.*key_file=") as said:
        assert KEY not in str(ray_runtime_env())
    assert KEY not in str(said[0].message)


def test_no_key_is_needed_on_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    assert ray_runtime_env()["env_vars"]["WANDB_PROJECT"] == "p"


@pytest.mark.usefixtures("at_the_driver")
@pytest.mark.parametrize("value", ["$HOME", "a${X}b"])
def test_what_ray_would_change_is_refused_by_name(value: str) -> None:
    with pytest.raises(LauncherError, match=r"^NOTE \(from --env\) has .* which Ray replaces"):
        ray_runtime_env(env={"NOTE": value})


@pytest.mark.usefixtures("at_the_driver")
def test_other_secrets_are_warned_about() -> None:
    with pytest.warns(LauncherWarning, match="HF_TOKEN: Ray shows"):
        ray_runtime_env(env={"HF_TOKEN": "x"})


def test_the_import_is_light_and_every_public_name_is_there() -> None:
    program = (
        "import sys, launcher; heavy = {'nemo_run', 'wandb', 'tomllib', 'tomli', 'urllib.request', 'dataclasses'};"
        "print(sorted(heavy & set(sys.modules)));"
        "print(all(callable(getattr(launcher, name)) for name in launcher.__all__));"
        "print(sorted({'nemo_run', 'wandb'} & set(sys.modules)))"
    )
    folder = Path(launcher.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True", "[]"]
    assert set(launcher.__all__) <= set(dir(launcher))
    with pytest.raises(AttributeError, match="nothing"):
        launcher.nothing  # noqa: B018
