from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher import secrets
from launcher.credentials import Credentials
from launcher.errors import LauncherError
from launcher.executors import shell_quoted
from launcher.key_files import write_key_file
from launcher.secrets import Key, deliver, slurm_cleanup

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def key(place: str = "environment", secret: str = "", inherited: str = "") -> Key:
    return Key(Credentials(KEY, "test", place), secret, inherited)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_file_is_private_whatever_the_umask(cache: Path) -> None:
    before = os.umask(0)
    try:
        path = write_key_file(KEY)
    finally:
        os.umask(before)
    assert path.read_text() == KEY + "\n"
    assert [mode(item) for item in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]
    assert path.is_relative_to(cache)


def test_a_key_file_goes_with_its_process_and_an_old_one_with_the_next(tmp_path: Path) -> None:
    program = "from launcher.key_files import write_key_file; print(write_key_file('k', keep={keep}))"
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(keep: bool) -> Path:
        command = [sys.executable, "-c", program.format(keep=keep)]
        done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
        return Path(done.stdout.strip())

    assert not run(keep=False).parent.exists()
    kept = run(keep=True)
    assert kept.exists()
    run(keep=False)
    assert kept.exists(), "not yet old"
    long_ago = time.time() - 31 * 24 * 3600
    os.utime(kept.parent, (long_ago, long_ago))
    run(keep=False)
    assert not kept.parent.exists()


@pytest.mark.parametrize("place", ["environment", "file", "netrc"])
def test_a_local_job_inherits_the_key_and_nothing_is_written(cache: Path, place: str) -> None:
    assert deliver("local", key(place), {}) == secrets.Delivery()
    assert not cache.exists()


def test_a_local_job_gets_a_given_key_in_a_file() -> None:
    delivery = deliver("local", key("given"), {})
    assert Path(delivery.env["WANDB_API_KEY_FILE"]).read_text() == KEY + "\n"
    with pytest.raises(LauncherError, match="differs from the one in this process's environment"):
        deliver("local", key("given", inherited="other"), {})


def test_docker_mounts_the_file_read_only_beside_other_volumes() -> None:
    delivery = deliver("docker", key(), {"volumes": ["/a:/a"]})
    assert delivery.env == {"WANDB_API_KEY_FILE": "/run/secrets/wandb_api_key"}
    first, second = delivery.fields["volumes"]
    source, target, access = second.split(":")
    assert (first, target, access) == ("/a:/a", "/run/secrets/wandb_api_key", "ro")
    assert Path(source).read_text() == KEY + "\n"


# executor, its fields so far, the profile's wandb_secret, the fields added, words of the warning or "" for none
REFERENCES: list[tuple[str, dict[str, object], str, dict[str, object], str]] = [
    ("lepton", {}, "mine", {"secret_vars": {"WANDB_API_KEY": "mine"}}, ""),
    ("lepton", {"secret_vars": {"A": "b"}}, "", {"secret_vars": {"A": "b", "WANDB_API_KEY": "WANDB_API_KEY"}}, "lep "),
    ("lepton", {"secret_vars": {"WANDB_API_KEY": "b"}}, "", {}, ""),
    (
        "dgxcloud",
        {},
        "mine",
        {
            "custom_spec": {
                "environmentVariables": [{"name": "WANDB_API_KEY", "secret": {"name": "mine", "key": "WANDB_API_KEY"}}]
            }
        },
        "",
    ),
    (
        "dgxcloud",
        {"custom_spec": {"environmentVariables": [{"name": "WANDB_API_KEY", "secret": {}}]}},
        "",
        {},
        "",
    ),
]


@pytest.mark.parametrize(("kind", "fields", "secret", "added", "warning"), REFERENCES)
def test_engines_with_secrets_get_a_reference(
    kind: str, fields: dict[str, object], secret: str, added: dict[str, object], warning: str, cache: Path
) -> None:
    delivery = deliver(kind, key(secret=secret), fields)
    assert delivery.fields == added
    assert delivery.env == {}
    assert warning in delivery.warning
    assert bool(warning) == bool(delivery.warning)
    assert not cache.exists()


def test_kuberay_mounts_its_secret_as_a_file_beside_other_volumes() -> None:
    delivery = deliver("kuberay", key(), {"volumes": [{"name": "a"}], "volume_mounts": [{"name": "a"}]})
    assert delivery.env == {"WANDB_API_KEY_FILE": "/run/secrets/wandb-shim/WANDB_API_KEY"}
    first, volume = delivery.fields["volumes"]
    _, mount = delivery.fields["volume_mounts"]
    assert first == {"name": "a"}
    assert volume["secret"] == {"secretName": "wandb"}
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/run/secrets/wandb-shim")
    assert "kubectl create secret generic wandb" in delivery.warning
    assert deliver("kuberay", key(secret="mine"), {}).warning == ""
    by_hand = {"container_kwargs": {"envFrom": [{"secretRef": {"name": "mine"}}]}}
    assert deliver("kuberay", key(secret="mine"), by_hand) == secrets.Delivery()


def test_what_remains_readable_is_said() -> None:
    assert "stays on the cluster" in deliver("skypilot", key(), {}).warning
    plain = deliver("dgxcloud", key(), {})
    assert "_executor.yaml" in plain.warning
    assert 'wandb_secret = "wandb"' in plain.warning
    assert KEY not in repr(plain), "its printed form is redacted"


def test_without_a_key_only_engines_with_secrets_have_something_to_do() -> None:
    nobody = Key(None)
    assert [
        kind for kind in ("local", "docker", "slurm", "skypilot", "dgxcloud") if deliver(kind, nobody, {}).fields
    ] == []
    assert deliver("lepton", nobody, {}).fields
    assert deliver("kuberay", nobody, {}).fields
    assert deliver("dgxcloud", Key(None, secret="wandb"), {}).fields


# how the script ends, what scontrol answers (None: nothing), whether the key is still there afterwards
ENDINGS = {
    "success": ("exit 0", "JobState=RUNNING Restarts=0", False),
    "failure": ("exit 3", "JobState=RUNNING Restarts=0", False),
    "failure, requeued by nemo-run's template": ("exit 3", "JobState=COMPLETING Restarts=1", True),
    "failure, already pending again": ("exit 3", "JobState=PENDING Reason=BeginTime Restarts=1", True),
    "preempted and requeued": ("kill -TERM $$; sleep 1", "JobState=COMPLETING\n   Requeue=1 Restarts=1", True),
    "cancelled": ("kill -TERM $$; sleep 1", "JobState=COMPLETING Restarts=0", False),
    "scontrol gives no answer": ("exit 3", None, True),
    "ended by a signal, scontrol gives no answer": ("kill -TERM $$; sleep 1", None, True),
    "errexit": ("set -e; false; true", "JobState=RUNNING Restarts=0", False),
    "unset variable": ("set -u; echo $NOT_SET", "JobState=RUNNING Restarts=0", False),
    "the script sets a trap of its own": ("trap 'echo theirs' EXIT; exit 0", "Restarts=0", False),
    "with two dashes": ("trap -- 'echo theirs' EXIT; exit 0", "Restarts=0", False),
    "traps in subshells are not the end": ("(trap 'true' EXIT); x=$(true); test -e KEY/key; exit", "Restarts=0", False),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_on_slurm_the_key_goes_when_the_job_has_ended_for_good(case: str, tmp_path: Path) -> None:
    ending, answer, kept = ENDINGS[case]
    folder = tmp_path / "a b"
    folder.mkdir()
    (folder / "key").write_text(KEY)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "scontrol").write_text("#!/bin/sh\n" + (f"cat <<'X'\n{answer}\nX\n" if answer else "exit 1\n"))
    (tools / "scontrol").chmod(0o755)
    script = "set -evx\nset +e\ntrap 'echo before' EXIT\n" + slurm_cleanup(str(folder)) + "\n"
    script += ending.replace("KEY/key", f"'{folder}/key'") + "\n"
    environ = {"PATH": f"{tools}:/usr/bin:/bin", "SLURM_JOB_ID": "7"}
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True)
    assert folder.exists() == kept, done.stderr
    assert ("theirs" if "theirs" in ending else "before") in done.stdout, "earlier and later traps still run"
    assert "wandb_shim_arm" not in done.stderr.replace(script, ""), "and the log is not filled with ours"
    expected = {"exit 0": 0, "exit 3": 3}.get(ending.rpartition("; ")[2])
    assert expected is None or done.returncode == expected


def test_the_second_run_of_a_requeued_job_removes_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "key"
    folder.mkdir()
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho JobState=RUNNING Restarts=1\n")
    (tmp_path / "scontrol").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}
    subprocess.run(["bash", "-c", slurm_cleanup(str(folder)) + "\nexit 3"], env=environ, check=False)
    assert not folder.exists()


NASTY = [
    "",
    "a b",
    "it's",
    '"x"',
    "$HOME",
    "$$",
    "${x}",
    "$",
    "a$",
    "$(id)",
    "`id`",
    "\\",
    "a\nb\n",
    "Köln 東京 🚀",
    "*",
    "!x",
]


@pytest.mark.parametrize("value", NASTY)
def test_a_quoted_value_survives_the_shell_with_and_without_a_template(value: str) -> None:
    from string import Template

    quoted = shell_quoted(value)
    assert Template(quoted).safe_substitute(HOME="x", x="y") == quoted
    done = subprocess.run(["bash", "-c", f"export A={quoted}\nprintf '%s.' \"$A\""], capture_output=True, check=True)
    assert done.stdout.decode() == value + "."
