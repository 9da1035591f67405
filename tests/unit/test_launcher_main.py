from __future__ import annotations

import json
import subprocess
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
    "a line end for docker": (["env", "--format", "docker", "--env", "A=x\ny"], "A (from --env) has a line end"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_env_refuses_with_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = REFUSED[case]
    assert main(arguments) == 1
    seen = capsys.readouterr()
    assert words in seen.err
    assert KEY not in seen.err
    assert len(seen.err.splitlines()) == 1
    assert seen.out == ""


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


def test_help_says_where_secrets_go(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["env", "--help"])
    assert "left out of every format unless --reveal" in capsys.readouterr().out
