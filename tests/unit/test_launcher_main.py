from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from launcher.__main__ import main

KEY = "0123456789abcdef0123456789abcdef01234567"

TOML = """
[wandb]
project = "nemotron"
notes = "two words"

[base]
account = "research"

[cluster]
extends = "base"
executor = "slurm"
container_image = "image:1"

[pods]
executor = "kuberay"
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    (tmp_path / "env.toml").write_text(TOML)
    return tmp_path


def test_env_shows_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--profile", "cluster", "--env", "MINE=a=b"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "VARIABLE        VALUE               FROM",
        "WANDB_PROJECT   nemotron            env.toml [wandb]",
        "WANDB_NOTES     two words           env.toml [wandb]",
        "WANDB_BASE_URL  http://127.0.0.1:9  environment",
        "WANDB_API_KEY   ********            environment",
        "WANDB_DOCKER    image:1             env.toml [cluster]",
        "MINE            a=b                 --env",
    ]


def test_env_in_every_format_leaves_the_key_out_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("shell", "dotenv", "docker", "json", "table"):
        assert main(["env", "--format", name]) == 0
        seen = capsys.readouterr()
        assert KEY not in seen.out + seen.err
        assert ("left out: WANDB_API_KEY" in seen.err) == (name in ("shell", "dotenv", "json"))
        assert main(["env", "--format", name, "--reveal"]) == 0
        seen = capsys.readouterr()
        assert KEY in seen.out
        assert seen.err == ""


def test_env_can_be_sourced(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--format", "shell", "--reveal"]) == 0
    script = capsys.readouterr().out + 'printf "%s|%s" "$WANDB_NOTES" "$WANDB_API_KEY"'
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.stdout == f"two words|{KEY}"


# arguments, words on stderr
REFUSED = {
    "a key on the command line": (["env", "--env", f"WANDB_API_KEY={KEY}"], "every user of this host can read"),
    "no value": (["env", "--env", "A"], "--env A: write NAME=VALUE"),
    "unknown profile": (["env", "--profile", "clustr"], 'did you mean "cluster"?'),
    "unknown field": (["env", "--profile", "wrong"], 'line 19: slurm profiles have no field "nodez"'),
    "unknown executor": (["env", "--profile", "other"], 'line 22: unknown executor "slrum"; did you mean "slurm"?'),
    "a line end for docker": (["env", "--format", "docker", "--env", "A=x\ny"], "A (from --env) has a line end"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_env_refuses_with_one_line(case: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = REFUSED[case]
    wrong = "\n[wrong]\nextends = 'cluster'\nnodez = 2\n\n[other]\nexecutor = 'slrum'\n"
    (project / "env.toml").write_text(TOML + wrong)
    assert main(arguments) == 1
    seen = capsys.readouterr()
    assert words in seen.err
    assert KEY not in seen.err
    assert len(seen.err.splitlines()) == 1
    assert seen.out == ""


# what env.toml has in it, words on stderr
FILES: dict[str, tuple[str | bytes, str]] = {
    "a misspelt section": ("[wand]\nproject = 'p'\n", "env.toml, line 1: [wand] is no profile; did you mean [wandb]?"),
    "deep": (f"a = {'[' * 3000}{']' * 3000}\n", "nested too deep"),
    "no UTF-8": (b"a = '\xff'\n", "not valid UTF-8 at byte 5"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_wrong_is_one_line(case: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, words = FILES[case]
    (project / "env.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["env"]) == 1
    seen = capsys.readouterr()
    assert words in seen.err
    assert len(seen.err.splitlines()) == 1


def test_a_byte_order_mark_is_no_mistake(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "env.toml").write_bytes(b"\xef\xbb\xbf" + TOML.encode())
    assert main(["env"]) == 0
    assert "nemotron" in capsys.readouterr().out


def test_a_home_that_nobody_has_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WANDB_SHIM_ENV_FILE", "~nosuchuser/env.toml")
    assert main(["env"]) == 1
    assert "~nosuchuser/env.toml: no such file, named by WANDB_SHIM_ENV_FILE" in capsys.readouterr().err


def test_env_says_what_stays_on_this_host(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WANDB_DIR", "/here")
    assert main(["env"]) == 0
    seen = capsys.readouterr()
    assert "/here" not in seen.out
    assert "these name something of this host and stay here: WANDB_DIR" in seen.err


@pytest.mark.parametrize(("name", "shown"), [("table", "K\\xf6ln"), ("shell", "Köln"), ("json", "Köln")])
def test_a_stdout_that_takes_ascii_only_is_no_error(project: Path, name: str, shown: str) -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[2]), "NOTE": "Köln"}
    command = [sys.executable, "-m", "launcher", "env", "--format", name, "--env", "NOTE=Köln"]
    done = subprocess.run(command, env=environ, capture_output=True, check=True, cwd=project)
    assert shown in done.stdout.decode()
    assert b"Traceback" not in done.stderr


def test_env_needs_no_key_where_the_engine_has_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    assert main(["env", "--profile", "pods", "--format", "json"]) == 0
    names = [item["name"] for item in json.loads(capsys.readouterr().out)["variables"]]
    assert "WANDB_API_KEY" not in names
    assert main(["env", "--profile", "cluster"]) == 1
    assert "wandb login --host http://127.0.0.1:9" in capsys.readouterr().err


def test_check_says_what_is_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    said = capsys.readouterr().out
    for line in (
        f"ok   {project}/env.toml",
        "ok   [cluster]: slurm",
        "ok   [pods]: kuberay",
        "note the key could not be checked from here: http://127.0.0.1:9 cannot be reached",
        "ok   key from environment for http://127.0.0.1:9",
    ):
        assert line in said
    assert "[base]" not in said
    assert KEY not in said


def test_check_fails_for_a_mistake_in_any_profile(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "env.toml").write_text(TOML + "\n[other]\nextends = 'cluster'\nnodez = 2\n")
    assert main(["check"]) == 1
    assert "BAD  " in (said := capsys.readouterr().out)
    assert 'line 19: slurm profiles have no field "nodez"; did you mean "nodes"?' in said
    assert main(["check", "--profile", "cluster"]) == 0


@pytest.mark.parametrize("url", ["wandb.example.com", "http://[::1", "http://h:abc"])
def test_check_fails_for_an_address_that_is_none(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", url)
    assert main(["check"]) == 1
    assert f"BAD  environment: WANDB_BASE_URL={url} is no address of a server" in capsys.readouterr().out


def test_check_fails_for_a_port_that_speaks_no_http(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")
                connection.recv(65536)

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("WANDB_BASE_URL", url)
        assert main(["check"]) == 1
        thread.join()
    assert f"BAD  environment: WANDB_BASE_URL={url} does not answer as a W&B server" in capsys.readouterr().out


def test_help_says_where_secrets_go(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["env", "--help"])
    assert "left out of every format unless --reveal" in capsys.readouterr().out
