"""The host's login against a W&B server: the double answers as the real one does, 401 included."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from launcher import resolve_environment
from launcher.__main__ import main
from launcher.errors import LauncherError
from tests.wandb_server import API_KEY, WandbServer
from tests.wandb_server.fixture import wandb_server as wandb_server

EXPIRED = "expired0" * 5

Login = Callable[[str, str], dict[str, str]]


@pytest.fixture
def login(clean_environment: dict[str, str]) -> Login:
    """Write what `wandb login --host URL` writes: netrc and settings."""

    def write(url: str, key: str) -> dict[str, str]:
        home = Path(clean_environment["HOME"])
        (home / ".netrc").write_text(f"machine {urlsplit(url).netloc}\n  login user\n  password {key}\n")
        settings = home / ".config" / "wandb" / "settings"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(f"[default]\nbase_url = {url}\n")
        return {**clean_environment, "WANDB_PROJECT": "p"}

    return write


def test_a_self_hosted_login_is_found_and_accepted(wandb_server: WandbServer, login: Login) -> None:
    environment = resolve_environment(environ=login(wandb_server.url, API_KEY), verify=True)
    assert environment["WANDB_BASE_URL"].value == wandb_server.url
    assert environment["WANDB_API_KEY"].value == API_KEY
    assert environment.notes == ()
    assert [(call[1], call[3]) for call in wandb_server.requests] == [("/graphql", 200)]


def test_an_expired_key_is_an_error_before_the_job_is_queued(wandb_server: WandbServer, login: Login) -> None:
    environ = login(wandb_server.url, EXPIRED)
    with pytest.raises(LauncherError, match=r"rejects the API key \(HTTP 401\): run `wandb login --relogin") as caught:
        resolve_environment(environ=environ, verify=True)
    assert EXPIRED not in str(caught.value)
    offline = resolve_environment(environ=environ, env={"WANDB_MODE": "offline"}, verify=True)
    assert offline.get("WANDB_API_KEY") is None, "an offline job carries no key"
    assert len(wandb_server.requests) == 1, "and asks nobody"


def test_check_reports_the_expired_key(
    wandb_server: WandbServer, login: Login, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    for name, value in login(wandb_server.url, EXPIRED).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(os.environ["HOME"])
    assert main(["check"]) == 1
    assert "BAD  " + wandb_server.url + " rejects the API key" in capsys.readouterr().out
    login(wandb_server.url, API_KEY)
    assert main(["check"]) == 0
    assert "ok   key from wandb login (~/.netrc)" in capsys.readouterr().out
