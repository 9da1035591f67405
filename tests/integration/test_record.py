"""What W&B receives from a script that never mentions it, beside what one gives it that calls `wandb.init` first."""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Run

pytestmark = pytest.mark.in_turn

OPENING = "import wandb; wandb.init()  # "  # on the first line, so that no other line moves
SCRIPT = """\
import sys
import time
print("training with", sys.argv[1:])
for step in range(3):
    print("step", step)
    time.sleep(0.05)
print("a warning", file=sys.stderr)
time.sleep(0.05)
sys.stdout.write("no newline, then ")
print("the end")
"""
# Of the record: what is another in every run, and why.
VARYING = {
    "id": "made up",
    "storage_id": "made up",
    "created_at": "time",
    "heartbeat_at": "time",
    "events": "samples of the machine",
    "upserts": "how often the client sent the same",
    "announced": "in which order files were sent",
    "display_name": "made up by the server, counting",
    "console": "carries times; compared without",
    "files": "compared one by one",
    "config_items": "compared as config",
}
# Of wandb-metadata.json.
VARYING_METADATA = {
    "startedAt": "time",
    "disk": "use changes",
    "writerId": "made up",
    "memory": "use changes",
}
# Of config["_wandb"]: telemetry, which knows which arguments init was given, and the run's own id and times.
VARYING_CONFIG = {
    "t": "telemetry: we give settings to wandb.init, and import nothing",
    "e": "metadata of the writer, by its made up id; compared as metadata",
    "m": "metrics; none",
    "start_time": "time",
}


def record(run: Run) -> dict[str, Any]:
    """All that is comparable of a run's record."""
    fields = {name: value for name, value in asdict(run).items() if name not in VARYING}
    wandb_config = {k: v for k, v in run.config.get("_wandb", {}).items() if k not in VARYING_CONFIG}
    writers = list(run.config.get("_wandb", {}).get("e", {}).values())
    summary = {name: value for name, value in fields.pop("summary").items() if name != "_wandb"}
    metadata = {k: v for k, v in (run.metadata or {}).items() if k not in VARYING_METADATA}
    return {
        **fields,
        "summary": summary,
        "config": {**run.config, "_wandb": wandb_config},
        "metadata": metadata,
        "writers": [{k: v for k, v in writer.items() if k not in VARYING_METADATA} for writer in writers],
        "console": run.console_text().splitlines(),
        "files": sorted(run.files),
        "requirements": run.files.get("requirements.txt"),
    }


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping of dotted names."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = {str(index): item for index, item in enumerate(value)}
    if not isinstance(value, dict):
        return {name: value}
    return {key: item for inner, held in value.items() for key, item in flat(held, f"{name}.{inner}").items()}


def both_records(
    job: Job, python: Path, *command: str, script: str = "train.py", **variables: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The records of the untouched script with the shim, and of the same with `wandb.init()` on its first line."""
    job.write(script, "# the first line\n" + SCRIPT)
    tracked = job.run(python, *command, environ=variables)
    (ours,) = job.server.runs
    job.write(script, OPENING + "the first line\n" + SCRIPT)
    native = job.run(python, *command, environ=variables, shim=False)
    _, theirs = job.server.runs
    assert tracked.stdout in native.stdout  # wandb adds its footer
    assert "wandb" not in tracked.stdout
    first, second = flat(record(ours)), flat(record(theirs))
    names = sorted(first.keys() | second.keys())
    differing = {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}
    assert not differing, differing
    return record(ours), record(theirs)


def test_a_script_is_recorded_as_if_it_had_called_init(job: Job, interpreter: Path) -> None:
    ours, theirs = both_records(job, interpreter, "train.py", "--lr", "1")
    assert ours == theirs
    assert (ours["program"], ours["exit_code"]) == (str(job.directory / "train.py"), 0)
    assert ours["metadata"]["args"] == ["--lr", "1"]
    assert ours["metadata"]["codePath"] == "train.py"
    assert ours["console"] == [
        "training with ['--lr', '1']",
        *("step 0", "step 1", "step 2"),
        "a warning",
        "no newline, then the end",
    ]


def test_a_module_is_recorded_as_if_it_had_called_init(job: Job, interpreter: Path) -> None:
    job.write("pkg/__init__.py", "")
    ours, theirs = both_records(job, interpreter, "-m", "pkg.train", "x", script="pkg/train.py")
    assert ours == theirs
    assert ours["program"] == "-m pkg.train"


@pytest.mark.parametrize("release", ["0.19.11", "0.23.1", "0.25.1"])
def test_older_releases_record_as_if_the_script_had_called_init(job: Job, release: str) -> None:
    in_a_repository(job)
    ours, theirs = both_records(job, python_of(f"wandb-{release}"), "train.py", "--lr", "1")
    assert ours == theirs
    assert ours["program"] == str(job.directory / "train.py")


def in_a_repository(job: Job) -> str:
    """Make the job's directory a git repository with a commit, a remote, and a change that is not committed."""

    def git(*words: str) -> str:
        return job.run("git", "-c", "user.name=a", "-c", "user.email=a@b", *words, shim=False).stdout.strip()

    git("init", "--quiet")
    job.write("settings.py", "lr = 1\n")
    job.write(".gitignore", "wandb/\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "settings")
    git("remote", "add", "origin", "https://example.org/team/repo.git")
    job.write("settings.py", "lr = 2\n")
    return git("rev-parse", "HEAD")


def test_the_state_of_the_repository_is_recorded(job: Job) -> None:
    commit = in_a_repository(job)
    (job.directory / "deep").mkdir()
    ours, theirs = both_records(
        job, python_of("wandb-3.12"), "deep/train.py", script="deep/train.py", WANDB_SAVE_CODE="true"
    )
    assert ours == theirs
    assert (ours["git_commit"], ours["git_remote"]) == (commit, "https://example.org/team/repo.git")
    assert ours["metadata"]["codePath"] == "deep/train.py"
    assert "diff.patch" in ours["files"]


def test_the_code_is_saved_where_the_environment_asks_for_it(job: Job) -> None:
    ours, theirs = both_records(job, python_of("wandb-3.12"), "train.py", WANDB_SAVE_CODE="true")
    assert ours == theirs
    assert "code/train.py" in ours["files"]


def test_the_code_is_saved_where_the_job_asks_for_it(job: Job) -> None:
    in_a_repository(job)
    job.write("train.py", "# the first line\n" + SCRIPT)
    job.run(python_of("wandb-3.12"), "train.py", environ={"WANDB_SHIM_CODE": "on"})
    job.write("train.py", OPENING + "the first line\n" + SCRIPT)
    job.run(python_of("wandb-3.12"), "train.py", environ={"WANDB_SAVE_CODE": "true"}, shim=False)
    ours, native = job.server.runs
    assert sorted(ours.files) == sorted(native.files)
    assert ours.files["diff.patch"] == native.files["diff.patch"]
    assert ours.files["code/train.py"].endswith(SCRIPT.encode())


@pytest.mark.parametrize("environment", ["wandb-3.12", "wandb-0.19.11"])
def test_the_environment_names_the_run(job: Job, environment: str) -> None:
    described = {
        "WANDB_ENTITY": "acme",
        "WANDB_NAME": "a name",
        "WANDB_NOTES": "some notes",
        "WANDB_TAGS": "one,two",
        "WANDB_JOB_TYPE": "train",
        "WANDB_RUN_GROUP": "the group",
        "WANDB_GROUP": "ignored where W&B's own name is set",
    }
    ours, theirs = both_records(job, python_of(environment), "train.py", **described)
    assert ours == theirs
    assert (ours["notes"], ours["job_type"], ours["group"]) == ("some notes", "train", "the group")
    assert sorted(ours["tags"]) == ["one", "two"]
    assert {run.display_name for run in job.server.runs} == {"a name"}


def test_the_group_may_be_spelled_as_people_spell_it(job: Job) -> None:
    job.write("train.py", SCRIPT)
    job.run(python_of("wandb-3.12"), "train.py", environ={"WANDB_GROUP": "alias", "WANDB_RUN_ID": "chosen"})
    run = job.server.run()
    assert (run.group, run.id) == ("alias", "chosen")


def test_the_run_of_an_untouched_script_has_system_metrics(job: Job) -> None:
    job.write("train.py", "import time\ntime.sleep(10)\n")
    job.run(python_of("wandb-3.12"), "train.py", environ={"WANDB_X_STATS_SAMPLING_INTERVAL": "0.5"})
    assert any("system.cpu" in sample for sample in job.server.run().events)


def test_what_a_child_prints_does_not_reach_the_record(job: Job) -> None:
    script = "import subprocess\nprint('mine', flush=True)\nsubprocess.run(['echo', 'of the child'])\n"
    job.write("train.py", script)
    done = job.run(python_of("wandb-3.12"), "train.py")
    assert done.stdout == "mine\nof the child\n"
    assert job.server.run().console_text() == "mine"


def test_a_job_leaves_one_run_directory(job: Job) -> None:
    job.write("train.py", SCRIPT)
    job.run(python_of("wandb-3.12"), "train.py")
    directories = [path for path in (job.directory / "wandb").iterdir() if path.name.startswith(("run-", "offline-"))]
    assert [path.name.rpartition("-")[2] for path in directories] == [job.server.run().id]
    listing = subprocess.run(["ls", job.directory], capture_output=True, text=True, check=True).stdout.split()
    assert listing == ["train.py", "wandb"]
