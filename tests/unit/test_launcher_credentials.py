from __future__ import annotations

from pathlib import Path

import pytest

from launcher.credentials import Credentials, find_credentials, find_server, missing_key
from launcher.errors import LauncherError
from shim.login import Server

KEY = "0123456789abcdef0123456789abcdef01234567"
LOCAL = "http://127.0.0.1:8080"


def host_with(home: Path, netrc: str = "", **environ: str) -> dict[str, str]:
    if netrc:
        (home / ".netrc").write_text(netrc)
        (home / ".netrc").chmod(0o600)
    return {"HOME": str(home), **environ}


def entry(machine: str, key: str = KEY) -> str:
    return f"machine {machine}\n  login user\n  password {key}\n"


# server asked for, machine of the netrc entry, whether its key is the server's
NETRC_ENTRIES = [
    (None, "api.wandb.ai", True),
    (None, "api.forge.coreweave.com", True),
    ("https://api.wandb.ai", "api.forge.coreweave.com", True),
    ("https://api.forge.coreweave.com", "api.wandb.ai", True),
    (LOCAL, "127.0.0.1:8080", True),  # wandb >= 0.23.1
    (LOCAL, "127.0.0.1", True),  # wandb <= 0.22.3
    (LOCAL, "127.0.0.1:9090", False),
    (LOCAL, "api.wandb.ai", False),
    ("https://wandb.example.com", "wandb.example.com", True),
    ("https://wandb.example.com", "api.wandb.ai", False),
    (None, "wandb.example.com", False),
]


@pytest.mark.parametrize(("base_url", "machine", "found"), NETRC_ENTRIES)
def test_the_netrc_entry_of_the_right_server_counts(
    tmp_path: Path, base_url: str | None, machine: str, found: bool
) -> None:
    credentials = find_credentials(host_with(tmp_path, entry(machine)), base_url)
    assert credentials == (Credentials(KEY, "wandb login (~/.netrc)", "netrc") if found else None)


def test_the_entry_with_the_port_wins(tmp_path: Path) -> None:
    netrc = entry("127.0.0.1", "old") + entry("127.0.0.1:8080", "new")
    credentials = find_credentials(host_with(tmp_path, netrc), LOCAL)
    assert credentials is not None
    assert credentials.key == "new"


def test_the_netrc_variable_names_another_file(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(entry("api.wandb.ai", "other"))
    credentials = find_credentials(host_with(tmp_path, entry("api.wandb.ai"), NETRC=str(other)))
    assert credentials is not None
    assert credentials.key == "other"


def test_environment_then_key_file_then_identity_then_netrc(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("from-file\n")
    environ = host_with(
        tmp_path,
        entry("api.wandb.ai", "from-netrc"),
        WANDB_API_KEY="from-env",
        WANDB_API_KEY_FILE=str(key_file),
        WANDB_IDENTITY_TOKEN_FILE="/token",
    )
    order = []
    for drop in ("WANDB_API_KEY", "WANDB_API_KEY_FILE", "WANDB_IDENTITY_TOKEN_FILE", "NETRC"):
        found = find_credentials(environ)
        order.append((found.place, found.key) if found else None)
        environ.pop(drop, None)
        if drop == "NETRC":
            (tmp_path / ".netrc").unlink()
    assert order == [("environment", "from-env"), ("file", "from-file"), ("identity", None), ("netrc", "from-netrc")]
    assert find_credentials(environ) is None


def test_broken_files_are_named_and_never_quoted(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match=r"\.netrc, line 1: cannot be read as a netrc file") as caught:
        find_credentials(host_with(tmp_path, f"password {KEY} machine x\n"))
    assert KEY not in str(caught.value)
    (tmp_path / "empty").touch()
    for name, words in (("gone", "cannot be read"), ("empty", "is empty")):
        with pytest.raises(LauncherError, match=words):
            find_credentials({"WANDB_API_KEY_FILE": str(tmp_path / name)})


def test_the_key_is_not_in_the_printed_form() -> None:
    assert KEY not in repr(Credentials(KEY, "environment", "environment"))


def test_a_host_without_login_is_told_what_to_do(tmp_path: Path) -> None:
    message = str(missing_key(host_with(tmp_path), None))
    assert "run `wandb login`" in message
    assert "WANDB_MODE=offline" in message
    message = str(missing_key(host_with(tmp_path, entry("api.wandb.ai")), LOCAL))
    assert "no API key for 127.0.0.1:8080" in message
    assert "there is one for api.wandb.ai" in message
    assert f"`wandb login --host {LOCAL}`" in message


def test_the_server_is_that_of_the_environment_else_of_the_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    (work / "wandb").mkdir(parents=True)
    monkeypatch.chdir(work)
    assert find_server(host_with(tmp_path)) == Server()
    settings = tmp_path / ".config" / "wandb" / "settings"
    settings.parent.mkdir(parents=True)
    settings.write_text("[default]\nbase_url = https://wandb.example.com/\n")
    expected = Server("https://wandb.example.com", "wandb login (~/.config/wandb/settings, line 2)")
    assert find_server(host_with(tmp_path)) == expected
    (work / "wandb" / "settings").write_text("[default]\nbase_url = https://workspace.example.com\n")
    assert find_server(host_with(tmp_path)).url == "https://workspace.example.com"
    (work / "wandb" / "settings").write_text("not = ini\n")
    assert find_server(host_with(tmp_path)) == expected
    assert find_server(host_with(tmp_path, WANDB_BASE_URL=LOCAL + "/")) == Server(LOCAL, "environment")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    assert find_server(host_with(tmp_path, WANDB_CONFIG_DIR=str(moved))) == Server()
