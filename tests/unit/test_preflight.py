"""Is there a key, and does the server accept it: decided from the environment and one request."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.credentials import find_credentials
from launcher.errors import LauncherError
from shim import preflight
from shim.preflight import Outlook, key_from_file, look
from tests.wandb_server import API_KEY, Fault, WandbServer


@pytest.fixture(scope="module")
def server() -> Iterator[WandbServer]:
    with WandbServer.start() as server:
        yield server


@pytest.fixture(autouse=True)
def well(server: WandbServer) -> None:
    server.clear_faults()


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has never logged in."""
    return {"HOME": str(tmp_path)}


def test_a_good_key_and_a_server_that_answers_are_online(server: WandbServer) -> None:
    assert look({"WANDB_API_KEY": API_KEY}, server.url) == Outlook(online=True)
    assert look({"WANDB_API_KEY": API_KEY}, server.url + "/") == Outlook(online=True)


def test_a_key_from_a_file_counts(server: WandbServer, home: dict[str, str]) -> None:
    assert look(home, server.url, file_key=API_KEY).online


def test_offline_mode_asks_nobody(home: dict[str, str]) -> None:
    assert look({**home, "WANDB_MODE": "offline"}, "http://nosuch.invalid") == Outlook(False, "WANDB_MODE=offline")


def test_no_key_is_offline_and_says_where_to_put_one(server: WandbServer, home: dict[str, str]) -> None:
    before = len(server.requests)
    outlook = look(home, server.url)
    assert not outlook.online
    assert all(word in outlook.reason for word in ("no API key", "WANDB_API_KEY", "wandb login"))
    assert len(server.requests) == before


def test_a_problem_with_the_key_file_is_the_reason(server: WandbServer, home: dict[str, str]) -> None:
    assert look(home, server.url, problem="it is empty") == Outlook(False, "it is empty")
    assert look({"WANDB_API_KEY": API_KEY}, server.url, problem="it is empty").online


def test_an_identity_token_needs_no_key(server: WandbServer, home: dict[str, str]) -> None:
    server.set_fault(Fault("status", 401))  # it is wandb that exchanges the token
    assert look({**home, "WANDB_IDENTITY_TOKEN_FILE": "/token"}, server.url).online


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Fault("status", 401), "rejects the API key"),
        (Fault("status", 403), "rejects the API key"),
        (Fault("status", 500), "HTTP 500"),
        (Fault("status", 503), "HTTP 503"),
        (Fault("reset"), "reset"),
        (Fault("drop"), "answer"),
    ],
)
def test_a_server_that_fails_is_offline(server: WandbServer, fault: Fault, word: str) -> None:
    server.set_fault(fault)
    outlook = look({"WANDB_API_KEY": API_KEY}, server.url)
    assert (outlook.online, word in outlook.reason) == (False, True), outlook
    assert API_KEY not in outlook.reason


@pytest.mark.parametrize("status", [404, 429])
def test_what_wandb_can_judge_better_is_left_to_it(server: WandbServer, status: int) -> None:
    server.set_fault(Fault("status", status))
    assert look({"WANDB_API_KEY": API_KEY}, server.url).online


def test_a_slow_server_is_waited_for(server: WandbServer) -> None:
    server.set_fault(Fault("slow", seconds=1.0))
    assert look({"WANDB_API_KEY": API_KEY}, server.url).online


def test_the_wait_is_bounded(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "BOUND", 0.5)
    server.set_fault(Fault("slow", seconds=2.0))
    start = time.monotonic()
    outlook = look({"WANDB_API_KEY": API_KEY}, server.url)
    assert time.monotonic() - start < 1.5
    assert "no answer within" in outlook.reason


@pytest.mark.parametrize("url", ["", "nonsense", "http://", "http://[", "http://127.0.0.1:99999", "file:///etc/passwd"])
def test_a_base_url_that_is_none_is_offline_with_a_reason(url: str) -> None:
    outlook = look({"WANDB_API_KEY": API_KEY}, url)
    assert not outlook.online
    assert outlook.reason


def test_a_key_file_is_read_without_its_newline(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(" secret\n")
    environ = {"WANDB_API_KEY_FILE": str(tmp_path / "key")}
    assert key_from_file(environ) == ("secret", "")
    assert key_from_file({**environ, "WANDB_API_KEY": "other"}) == (None, "")
    assert key_from_file({}) == (None, "")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"], ids=["missing", "empty", "blank", "binary"])
def test_a_key_file_without_a_key_is_a_problem(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    key, problem = key_from_file({"WANDB_API_KEY_FILE": str(file)})
    assert (key, problem.startswith(f"WANDB_API_KEY_FILE={file}")) == (None, True)


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "a directory", "a large file"])
def test_a_key_file_that_is_no_plain_small_file_is_a_problem_at_once(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "key"
    if kind == "a FIFO":
        os.mkfifo(file)
    elif kind == "a directory":
        file.mkdir()
    elif kind == "a large file":
        file.write_text("k" * (64 * 1024 + 1))
    path = "/dev/zero" if kind == "a device" else str(file)
    key, problem = key_from_file({"WANDB_API_KEY_FILE": path})
    assert key is None
    assert ("larger than 64 KiB" if kind == "a large file" else "is no plain file") in problem
    with pytest.raises(LauncherError, match=f"WANDB_API_KEY_FILE={path} is"):
        find_credentials({"WANDB_API_KEY_FILE": path})


def test_a_blank_key_beside_a_file_leaves_it_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    environ = {"WANDB_API_KEY_FILE": str(tmp_path / "key"), "WANDB_API_KEY": " \n"}
    assert key_from_file(environ) == ("secret", "")
