from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher.credentials import Credentials
from launcher.errors import LauncherError
from launcher.executors import EXECUTORS
from launcher.executors.base import Cargo, Delivery, shell_quoted
from launcher.executors.slurm import closing_lines, job_lines
from launcher.key_files import write_key_file

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def key(place: str = "environment", secret: str = "", inherited: str = "") -> Cargo:
    return Cargo(Credentials(KEY, "test", place), secret, {"WANDB_API_KEY": inherited} if inherited else {})


def deliver(kind: str, cargo: Cargo, fields: dict[str, object]) -> Delivery:
    return EXECUTORS[kind].deliver(cargo, fields)


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
    assert deliver("local", key(place), {}) == Delivery()
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
    by_hand: dict[str, object] = {"container_kwargs": {"envFrom": [{"secretRef": {"name": "mine"}}]}}
    assert deliver("kuberay", key(secret="mine"), by_hand) == Delivery()


def test_what_remains_readable_is_said() -> None:
    assert "stays on the cluster" in deliver("skypilot", key(), {}).warning
    plain = deliver("dgxcloud", key(), {})
    assert "_executor.yaml" in plain.warning
    assert 'wandb_secret = "wandb"' in plain.warning
    assert KEY not in repr(plain), "its printed form is redacted"


def test_without_a_key_only_engines_with_secrets_have_something_to_do() -> None:
    nobody = Cargo()
    assert [
        kind
        for kind in ("local", "docker", "slurm", "skypilot", "skypilot-jobs", "dgxcloud")
        if deliver(kind, nobody, {}).fields
    ] == []
    assert deliver("lepton", nobody, {}).fields
    assert deliver("kuberay", nobody, {}).fields
    assert deliver("dgxcloud", Cargo(secret="wandb"), {}).fields


# Slurm's tools as a job sees them: `jobs/N` is the script of job N, `show/N` what scontrol shows of it.
SQUEUE = """#!/bin/sh
ls {root}/jobs || exit 1
"""
SCONTROL = """#!/bin/sh
case "$1" in
    show) cat "{root}/show/$3" ;;
    write) test -s "{root}/jobs/$3" && cat "{root}/jobs/$3" ;;
esac
"""


class Cluster:
    """A folder with a key, and stand-ins for Slurm's tools."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "a b"
        self.folder.mkdir()
        (self.folder / "key").write_text(KEY)
        for name in ("bin", "jobs", "show"):
            (root / name).mkdir()
        for name, text in (("squeue", SQUEUE), ("scontrol", SCONTROL)):
            (root / "bin" / name).write_text(text.format(root=root))
            (root / "bin" / name).chmod(0o755)

    def queue(self, number: str, script: str | None, shown: str = "") -> None:
        """Have a job in the queue; one without a script is interactive."""
        (self.root / "jobs" / number).write_text(script or "")
        (self.root / "show" / number).write_text(shown or ("BatchFlag=0" if script is None else "BatchFlag=1"))

    def close(self) -> None:
        """Do what the launching process has done at its end."""
        self.run(closing_lines(str(self.folder)), {})

    def run(self, script: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": f"{self.root}/bin:/usr/bin:/bin", **environ}
        return subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=False)

    def job(self, number: str, ending: str = "exit 0", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one that was submitted with the key."""
        script = f"set -evx\nset +e\ntrap 'echo before' EXIT\n{job_lines(str(self.folder))}\n{ending}\n"
        return self.run(script, {"SLURM_JOB_ID": number, **environ})


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


# how the script ends, what scontrol shows (None: nothing), whether the key is still there afterwards
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
def test_on_slurm_the_key_goes_when_the_job_has_ended_for_good(case: str, cluster: Cluster) -> None:
    ending, shown, kept = ENDINGS[case]
    cluster.queue("7", f"names {cluster.folder}", shown or "")
    if shown is None:
        (cluster.root / "show" / "7").unlink()
    (cluster.folder / "closed").touch()
    done = cluster.job("7", ending.replace("KEY/key", f"'{cluster.folder}/key'"))
    assert cluster.folder.exists() == kept, done.stderr
    assert ("theirs" if "theirs" in ending else "before") in done.stdout, "earlier and later traps still run"
    traced = done.stderr.partition("_wandb_shim_flags=")[2]
    assert "wandb_shim_arm" not in traced.partition("wandb_shim_arm\n")[2], "the log is not filled with ours"
    assert KEY not in done.stderr + done.stdout
    expected = {"exit 0": 0, "exit 3": 3}.get(ending.rpartition("; ")[2])
    assert expected is None or done.returncode == expected


def test_the_second_run_of_a_requeued_job_removes_the_key(cluster: Cluster) -> None:
    cluster.queue("7", f"names {cluster.folder}", "JobState=RUNNING Restarts=1")
    (cluster.folder / "closed").touch()
    cluster.job("7", "exit 3", SLURM_RESTART_COUNT="1")
    assert not cluster.folder.exists()


def test_jobs_of_one_executor_share_the_key_until_the_last_has_ended(cluster: Cluster) -> None:
    for number in ("7", "8", "9"):
        cluster.queue(number, f"names {cluster.folder}", "JobState=RUNNING Restarts=0")
    cluster.queue("10", "another job of the same user")
    cluster.queue("11", None)
    cluster.job("7")
    cluster.close()
    assert (cluster.folder / "key").exists()
    cluster.job("8")
    assert (cluster.folder / "key").exists(), "a job that waits needs it, whoever has ended before"
    cluster.job("9")
    assert not cluster.folder.exists(), "two that still stand in the queue have said that they are done"


def test_the_key_stays_as_long_as_more_may_be_submitted(cluster: Cluster) -> None:
    cluster.queue("7", f"names {cluster.folder}", "JobState=RUNNING Restarts=0")
    cluster.job("7")
    assert (cluster.folder / "key").exists()
    cluster.close()
    assert not cluster.folder.exists(), "the launching process was the last to need it"
    cluster.close()


def test_the_key_stays_where_slurm_gives_no_answer_about_others(cluster: Cluster) -> None:
    cluster.queue("7", f"names {cluster.folder}", "JobState=RUNNING Restarts=0")
    cluster.queue("8", "", "JobState=RUNNING")
    (cluster.folder / "closed").touch()
    cluster.job("7")
    assert cluster.folder.exists(), "job 8 has a script that cannot be read"
    (cluster.root / "bin" / "squeue").unlink()
    (cluster.root / "jobs" / "8").unlink()
    cluster.job("7")
    assert cluster.folder.exists()


def test_secret_variables_reach_the_job_and_not_its_log(cluster: Cluster) -> None:
    (cluster.folder / "variables").write_text("export HF_TOKEN='hf_se cret'\n")
    cluster.queue("7", f"names {cluster.folder}", "JobState=RUNNING Restarts=0")
    done = cluster.job("7", 'test "${#HF_TOKEN}" = 10 && echo "there"')
    assert "there" in done.stdout
    assert "hf_se" not in done.stdout + done.stderr


def test_the_lines_for_slurm_are_clean(repository: Path) -> None:
    file = repository / "launcher" / "executors" / "slurm_key.sh"
    tool = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([tool, file], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert "#" not in job_lines("/x").replace('"$#"', "").replace("${#", ""), "comments stay in the file"


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
