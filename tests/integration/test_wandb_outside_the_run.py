"""What a script does with W&B outside the job's run, or before it asks for that run, goes on as without the shim."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import API_KEY, Fault

pytestmark = pytest.mark.in_turn

RELEASES = ["wandb-0.19.11", "wandb-0.25.1", "wandb-3.12"]

DAEMON = """\
import os, time
if os.fork():
    os._exit(0)
os.setsid()
time.sleep(2)
import wandb
with wandb.init(name="daemon") as run:
    run.log({"x": 1})
print("logged")
"""


@pytest.mark.parametrize("release", RELEASES)
def test_a_child_that_outlives_the_job_has_a_run_of_its_own(job: Job, release: str) -> None:
    job.write("train.py", DAEMON)
    done = job.run(python_of(release), "train.py")
    assert "logged" in done.stdout, done.stderr
    of_child, of_job = sorted(job.server.runs, key=lambda run: run.display_name != "daemon")
    assert (of_job.state, of_child.display_name, of_child.state) == ("finished", "daemon", "finished")
    assert [row["x"] for row in of_child.history] == [1]


def test_a_program_with_another_wandb_has_a_run_of_its_own(job: Job) -> None:
    job.write("evaluate.py", "import wandb\nwandb.init(name='evaluation').log({'x': 1})\n")
    other = python_of("wandb-0.19.11")
    job.write("train.py", f"import subprocess\nsubprocess.run([{str(other)!r}, 'evaluate.py'], check=True)\n")
    job.run(python_of("wandb-3.12"), "train.py")
    states = {run.display_name: run.state for run in job.server.runs}
    assert (len(states), states["evaluation"]) == (2, "finished")


SAVE = """\
import wandb
artifact = wandb.Artifact("data", type="dataset")
with artifact.new_file("rows") as file:
    file.write("1 2 3")
artifact.save(project="datasets")
artifact.wait()
print(wandb.Api().artifact("datasets/data:latest").version)
wandb.init(name="mine").log({"x": 1})
"""


@pytest.mark.parametrize("release", RELEASES)
def test_an_artifact_that_is_saved_outside_any_run_lies_where_the_script_wants_it(job: Job, release: str) -> None:
    job.write("train.py", SAVE)
    plain = job.run(python_of(release), "train.py", shim=False)
    before = len(job.server.runs)
    tracked = job.run(python_of(release), "train.py")
    assert plain.stdout.splitlines()[0] == "v0"
    assert "v0" in tracked.stdout
    run, of_artifact = sorted(job.server.runs[before:], key=lambda run: run.project, reverse=True)
    assert (of_artifact.project, of_artifact.job_type, run.logged_artifacts) == ("datasets", "auto", [])
    assert (run.display_name, run.state, [row["x"] for row in run.history]) == ("mine", "finished", [1])


# What matters here of W&B Weave: when it is imported it looks for an active run, and wandb's init starts it.
WEAVE = """\
from wandb.integration.weave import active_run_path
print("active:", active_run_path())

def init(path, *args, **kwargs):
    print("weave:", path)
"""


@pytest.mark.parametrize("release", ["wandb-0.21.4", "wandb-0.25.1"])
def test_weave_starts_with_the_scripts_init_and_not_before(job: Job, release: str) -> None:
    job.write("weave/__init__.py", WEAVE)
    job.write("train.py", "import weave\nprint('imported')\nimport wandb\nwandb.init(name='mine').log({'x': 1})\n")
    plain, tracked = (job.run(python_of(release), "train.py", shim=shim) for shim in (False, True))
    assert plain.stdout.startswith("active: None\nimported\nweave: acme/proj\n"), plain.stdout
    assert tracked.stdout.startswith("active: None\nimported\nweave: acme/proj\n"), tracked.stdout


KEYS = {
    "variable": f"import os\nos.environ['WANDB_API_KEY'] = {API_KEY!r}\nimport wandb\n",
    "login": f"import wandb\nwandb.login(key={API_KEY!r})\n",
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("means", KEYS)
def test_a_key_that_the_script_brings_takes_its_run_online(job: Job, release: str, means: str) -> None:
    opened = "import glob, time\nwhile not glob.glob('wandb/offline-run-*'):\n    time.sleep(0.1)\n"
    asking = "run = wandb.init(name='mine')\nrun.log({'x': 1})\nprint(run.offline)\n"
    job.write("train.py", opened + KEYS[means] + asking)
    done = job.run(python_of(release), "train.py", environ={"WANDB_API_KEY": None})
    assert job.server.runs, done.stderr
    run = job.server.run()
    assert (run.display_name, run.state, [row["x"] for row in run.history]) == ("mine", "finished", [1])
    assert "False" in done.stdout
    assert done.stderr.count("an API key that was not there before") == 1, done.stderr


def test_artifacts_of_the_scripts_own_project_are_found_by_their_names(job: Job) -> None:
    python = python_of("wandb-3.12")
    job.write("data.py", SAVE.replace("datasets", "theirs").partition("print")[0])
    job.run(python, "data.py", shim=False)
    script = "import wandb\nrun = wandb.init(project='theirs')\n"
    script += "print(run.use_artifact(artifact_or_name='data:latest', type='dataset').version)\n"
    job.write("train.py", script)
    done = job.run(python, "train.py")
    assert "v0" in done.stdout, done.stderr
    (run,) = [run for run in job.server.runs if run.project == "proj"]
    assert run.used_artifacts == ["data:v0"]


FOLDS = """\
import os, sys
import wandb
fold = int(os.environ.get("FOLD", 0))
if fold == 2:
    sys.exit(print("evaluated"))
with wandb.init(name=f"fold {fold}") as run:
    run.log({"fold": fold}, step=0)
if fold < 2:
    os.environ["FOLD"] = str(fold + 1)
    os.execv(sys.executable, [sys.executable, *sys.argv])
"""


def test_a_program_that_replaces_itself_after_its_run_has_another_one(job: Job) -> None:
    job.write("train.py", FOLDS)
    job.run(python_of("wandb-3.12"), "train.py")
    *folds, last = job.server.runs
    assert [(run.display_name, [row["fold"] for row in run.history]) for run in folds] == [
        ("fold 0", [0]),
        ("fold 1", [1]),
    ]
    assert (last.console_text(), last.exit_code) == ("evaluated", 0)


REPLACES_ITSELF = """\
import os, subprocess, sys
if len(sys.argv) < 2:
    os.execv(sys.executable, [sys.executable, "train.py", "again"])
subprocess.run([sys.executable, "evaluate.py"], check=True)
"""


def test_the_id_of_a_program_that_replaced_itself_is_not_that_of_what_it_starts(job: Job) -> None:
    job.write("train.py", REPLACES_ITSELF)
    job.write("evaluate.py", "import wandb\nwandb.init(name='evaluation').log({'x': 1})\n")
    job.run(python_of("wandb-3.12"), "train.py")
    of_other, of_job = sorted(job.server.runs, key=lambda run: run.display_name != "evaluation")
    assert (of_job.state, of_other.display_name, of_other.state) == ("finished", "evaluation", "finished")


ENDS = {
    "sys.exit": "import sys, wandb\nwandb.init(id='mine', resume='allow').log({'x': 1})\nsys.exit(3)\n",
    "excepthook": (
        "import sys, wandb\nsys.excepthook = lambda *_: None\n"
        "wandb.init(id='mine', resume='allow').log({'x': 1})\nraise ValueError\n"
    ),
    "after finish": ("import wandb\nwandb.init().finish()\nwandb.init(id='mine').log({'x': 1})\nraise SystemExit(3)\n"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_run_of_the_scripts_own_has_its_exit_code_too(job: Job, interpreter: Path, end: str) -> None:
    job.write("train.py", ENDS[end])
    done = job.run(interpreter, "train.py", check=False)
    (run,) = [run for run in job.server.runs if run.id == "mine"]
    assert run.exit_code == done.returncode != 0
    assert [row["x"] for row in run.history] == [1]


def test_settings_of_before_a_teardown_are_forgotten(job: Job) -> None:
    script = "import wandb\nwandb.setup(wandb.Settings(mode='disabled'))\nwandb.teardown()\n"
    job.write("train.py", script + "wandb.init(name='mine').log({'x': 1})\n")
    job.run(python_of("wandb-3.12"), "train.py")
    run = job.server.run()
    assert (run.display_name, [row["x"] for row in run.history]) == ("mine", [1])


UPLOADS = """\
import os
import wandb
run = wandb.init()
artifact = wandb.Artifact("model", type="model")
for number in range(2):
    with artifact.new_file(str(number), "wb") as file:
        file.write(os.urandom(1 << 25))
run.log_artifact(artifact)
"""


def impatient(job: Job, directory: Path, progress: int) -> Job:
    """The same job with a shim whose companion waits for five seconds, and takes so many bytes for progress."""
    home = directory / "impatient"
    shutil.copytree(job.home, home)
    ending = home / "shim" / "companion" / "ending.py"
    text = ending.read_text().replace("FINISH_BOUND = 600.0", "FINISH_BOUND = 5.0")
    ending.write_text(text.replace("PROGRESS = 1 << 20", f"PROGRESS = {progress}"))
    return replace(job, home=home)


@pytest.mark.parametrize(("progress", "committed"), [(1 << 16, True), (1 << 30, False)])
def test_the_end_waits_for_a_long_upload_as_long_as_it_gets_on(
    job: Job, tmp_path: Path, progress: int, committed: bool
) -> None:
    job.server.set_fault(Fault("sip", match="^/storage/artifacts", seconds=0.06))
    job.write("train.py", UPLOADS)
    done = impatient(job, tmp_path, progress).run(python_of("wandb-3.12"), "train.py")
    assert ("giving up" in done.stderr) is not committed, done.stderr
    assert bool(job.server.artifacts[0].aliases) is committed
