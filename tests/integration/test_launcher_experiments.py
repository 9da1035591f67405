"""Real experiments of the real nemo-run: the job gets its variables and the key, and no file that is left has the key.

Slurm itself is played by scripts that run what nemo-run submits; everything up to `sbatch` is nemo-run's own.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_launcher_executors import KEY, REPOSITORY, VALUES, nemo_run_python

PLANTED = "planted-0123456789abcdef0123456789abcdef"

# Runs as Script and, imported, as Partial; says what it sees, the key included, in a file outside nemo-run's home.
JOB = """
import json, os, sys

def record(path):
    key_file = os.environ.get("WANDB_API_KEY_FILE")
    seen = {"env": dict(os.environ), "file": None}
    if key_file:
        folder = os.path.dirname(key_file)
        seen["file"] = {
            "key": open(key_file).read().strip(),
            "modes": [oct(os.stat(item).st_mode & 0o777) for item in (key_file, folder)],
            "path": key_file,
        }
    with open(path, "w") as file:
        json.dump(seen, file)

if __name__ == "__main__":
    record(sys.argv[1])
    sys.exit(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
"""

LAUNCH_LOCAL = """
import json, os, sys, job
import nemo_run as run
import launcher

given = json.loads(os.environ.pop("GIVEN"))
secret = {"WANDB_API_KEY": os.environ.pop("OTHER")} if "OTHER" in os.environ else {}
if __name__ == "__main__":
    executor = launcher.build_executor(
        {"executor": "local", "env_vars": given["values"]}, env={"WANDB_PROJECT": "p", **secret}, verify=False
    )
    executor.env_vars.update(given["planted"])
    # The executor is the experiment's as well as the task's: nemo-run then writes it to _CONFIG, too.
    with run.Experiment("exp", executor=executor) as experiment:
        if given["partial"]:
            experiment.add(run.Partial(job.record, path=given["out"]), executor=executor, name="task")
        else:
            script = run.Script(path=given["folder"] + "/job.py", entrypoint="python", args=[given["out"]])
            experiment.add(script, executor=executor, name="task")
        experiment.run(detach=False, tail_logs=False)
"""

LAUNCH_SLURM = """
import json, os
import nemo_run as run
import launcher

given = json.loads(os.environ.pop("GIVEN"))
if __name__ == "__main__":
    executor = launcher.build_executor(
        {"executor": "slurm", "account": "a", "env_vars": given["values"]},
        env={"WANDB_PROJECT": "p"}, verify=False, packager=run.Packager(), retries=given["retries"],
    )
    with run.Experiment("exp", executor=executor) as experiment:
        script = run.Script(path=given["folder"] + "/job.py", entrypoint="python", args=given["args"])
        experiment.add(script, executor=executor, name="task")
        experiment.run(detach=True, tail_logs=False)
"""

# sbatch keeps the script's path and says a job id; the test then runs the script as Slurm would.
SLURM = {
    "sbatch": 'for last; do :; done; printf %s "$last" > "$SLURM_PLAY/script"; echo 7',
    "scontrol": 'case "$*" in "show hostnames"*) echo node1 ;; requeue*) echo 1 > "$SLURM_PLAY/restarts" ;; '
    '*) echo "JobState=COMPLETING Restarts=$(cat "$SLURM_PLAY/restarts" 2>/dev/null || echo 0)" ;; esac',
    "srun": "while :; do case $1 in --output|--chdir|-w) shift 2 ;; -*) shift ;; *) break ;; esac; done; "
    'case $1 in hostname) echo 127.0.0.1 ;; *) exec "$@" ;; esac',
    "squeue": "echo PENDING",
    "sacct": "echo",
}


@pytest.fixture
def environ(tmp_path: Path, clean_environment: dict[str, str]) -> dict[str, str]:
    (tmp_path / "job.py").write_text(JOB)
    python = Path(nemo_run_python())
    tools = tmp_path / "slurm"
    tools.mkdir()
    for name, body in SLURM.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    return {
        **clean_environment,
        "PATH": f"{python.parent}:{tools}:{clean_environment['PATH']}",
        "PYTHONPATH": f"{REPOSITORY}:{tmp_path}",
        "NEMORUN_HOME": str(tmp_path / "nemo_run"),
        "SLURM_PLAY": str(tools),
    }


def launch(source: str, environ: dict[str, str], folder: Path, **given: Any) -> None:
    """Run a launching script as a user would: from a file, which nemo-run copies into the experiment."""
    (folder / "launch.py").write_text(source)
    given = {"values": VALUES, "planted": {}, "partial": False, "folder": str(folder), **given}
    done = subprocess.run(
        [nemo_run_python(), "launch.py"],
        env={**environ, "GIVEN": json.dumps(given)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert KEY not in done.stdout + done.stderr


def files_with(secret: str, folder: Path) -> dict[str, str]:
    """Every file below a directory that has a secret: "clear", or "blob" where it is only in an encoded part."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if secret.encode() in content:
                found[path.name] = "clear"
            elif any(secret.encode() in blob for blob in unpacked(content)):
                found[path.name] = "blob"
    return found


def unpacked(content: bytes) -> Iterator[bytes]:
    """What lies in runs of base64 characters, uncompressed where it is zlib, and what lies in that."""
    for run in re.findall(rb"[A-Za-z0-9+/_-]{40,}={0,2}", content):
        try:
            decoded = base64.urlsafe_b64decode(run.replace(b"+", b"-").replace(b"/", b"_") + b"=" * (-len(run) % 4))
        except ValueError:
            continue
        try:
            decoded = zlib.decompress(decoded)
        except zlib.error:
            yield decoded
        else:
            yield decoded
            yield from unpacked(decoded)


def test_the_search_sees_clear_text_and_blobs_within_blobs(tmp_path: Path) -> None:
    inner = base64.b64encode(zlib.compress(b"x" * 50 + KEY.encode()))
    (tmp_path / "clear").write_text(f"a: {KEY}\n")
    (tmp_path / "blob").write_bytes(b'{"a": "' + base64.urlsafe_b64encode(zlib.compress(b"{}" + inner)) + b'"}')
    (tmp_path / "none").write_text("nothing")
    assert files_with(KEY, tmp_path) == {"clear": "clear", "blob": "blob"}


@pytest.mark.parametrize("partial", [False, True], ids=["Script", "Partial"])
def test_a_local_job_inherits_the_key_and_it_lies_in_no_file(
    partial: bool, environ: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "seen.json"
    environ["WANDB_API_KEY"] = KEY
    launch(LAUNCH_LOCAL, environ, tmp_path, out=str(out), partial=partial, planted={"PLANTED": PLANTED})
    seen = json.loads(out.read_text())
    assert seen["env"]["WANDB_API_KEY"] == KEY
    assert seen["env"]["WANDB_PROJECT"] == "p"
    assert {name: seen["env"].get(name) for name in VALUES} == VALUES
    home = tmp_path / "nemo_run"
    # The same search finds what is put among the variables, so that finding nothing means something.
    planted = files_with(PLANTED, home)
    assert planted["task_executor.yaml"] == "clear"
    assert planted["_TASKS"] == planted["_CONFIG"] == "blob"
    assert files_with(KEY, home) == {}


def test_a_local_job_finds_the_login_file_itself(environ: dict[str, str], tmp_path: Path) -> None:
    (Path(environ["HOME"]) / ".netrc").write_text(f"machine api.wandb.ai\n login user\n password {KEY}\n")
    out = tmp_path / "seen.json"
    launch(LAUNCH_LOCAL, environ, tmp_path, out=str(out))
    seen = json.loads(out.read_text())
    assert KEY not in json.dumps(seen)
    assert seen["env"]["HOME"] == environ["HOME"]
    assert files_with(KEY, tmp_path / "nemo_run") == {}


def test_a_key_that_is_given_reaches_a_local_job_in_a_file_that_goes(environ: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "seen.json"
    launch(LAUNCH_LOCAL, {**environ, "OTHER": KEY}, tmp_path, out=str(out))
    seen = json.loads(out.read_text())
    assert "WANDB_API_KEY" not in seen["env"]
    assert seen["file"]["key"] == KEY
    assert seen["file"]["modes"] == ["0o600", "0o700"]
    assert not Path(seen["file"]["path"]).exists()
    assert files_with(KEY, tmp_path / "nemo_run") == {}


def run_batch_script(environ: dict[str, str], tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """What Slurm does with the script, output to a log in the job's directory."""
    script = Path((tmp_path / "slurm" / "script").read_text())
    done = subprocess.run(
        ["bash", str(script)],
        env={**environ, "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node1", **more},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    with (script.parent / "sbatch_task.out").open("a") as log:
        log.write(done.stdout)
    return done


def test_a_slurm_job_reads_the_key_from_a_file_that_goes_and_it_is_in_no_file_or_log(
    environ: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "seen.json"
    launch(LAUNCH_SLURM, {**environ, "WANDB_API_KEY": KEY}, tmp_path, args=[str(out)], retries=0)
    # sbatch takes the environment of a login node along.
    done = run_batch_script(environ, tmp_path, WANDB_API_KEY=KEY)
    assert done.returncode == 0, done.stdout
    assert "export WANDB_PROJECT=p" in done.stdout, "the log is traced"
    seen = json.loads(out.read_text())
    assert {name: seen["env"].get(name) for name in VALUES} == VALUES
    assert "WANDB_API_KEY" not in seen["env"]
    assert seen["file"]["key"] == KEY
    assert seen["file"]["modes"] == ["0o600", "0o700"]
    assert not Path(seen["file"]["path"]).parent.exists()
    assert files_with(KEY, tmp_path / "nemo_run") == {}
    assert files_with(KEY, Path(environ["HOME"])) == {}


def test_a_slurm_job_that_nemo_run_requeues_keeps_the_key_until_its_last_end(
    environ: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "seen.json"
    launch(LAUNCH_SLURM, {**environ, "WANDB_API_KEY": KEY}, tmp_path, args=[str(out), "3"], retries=1)
    assert run_batch_script(environ, tmp_path).returncode == 3
    path = Path(json.loads(out.read_text())["file"]["path"])
    assert path.exists(), "the job is requeued"
    assert run_batch_script(environ, tmp_path, SLURM_RESTART_COUNT="1").returncode == 3
    assert json.loads(out.read_text())["file"]["key"] == KEY
    assert not path.parent.exists(), "no restart is left"
    assert os.listdir(path.parent.parent) == []
