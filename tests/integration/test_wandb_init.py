"""A script that calls `wandb.init` itself gets the run that is open, and nothing that it says is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.comparing import configured
from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Run

pytestmark = pytest.mark.in_turn

RELEASES = ["wandb-3.12", "wandb-0.19.11", "wandb-0.23.1"]
HEAD = "import os, sys, argparse\nimport wandb\nassert wandb.run is None\n"


def outcome(job: Job, script: str, environment: str = "wandb-3.12", **environ: str | None) -> list[Run]:
    """Run a script to its good end; no run directory but those of the runs is left."""
    job.write("train.py", HEAD + script)
    job.run(python_of(environment), "train.py", environ=environ)
    runs = job.server.runs
    left = [path.name for path in (job.directory / "wandb").iterdir() if "run-" in path.name and path.is_dir()]
    assert len(left) == len(runs), left
    return runs


@pytest.mark.parametrize("environment", RELEASES)
def test_all_that_the_script_says_reaches_the_run_that_is_open(job: Job, environment: str) -> None:
    script = """
import time
time.sleep(1)  # the run of the environment is at the server by now
run = wandb.init(project="proj", name="mine", config={"lr": 1, "nested": {"a": [1]}}, tags=["a", "b"], notes="n",
                 group="g", job_type="j")
assert wandb.run is run
assert run.name == "mine" and set(run.tags) >= {"a", "b"} and run.notes == "n", (run.name, run.tags, run.notes)
assert run.group == "g" and run.job_type == "j"
assert wandb.config["lr"] == 1 and run.config.nested["a"] == [1]
run.log({"loss": 2.0})
wandb.log({"loss": 1.0})
wandb.summary["best"] = 1
"""
    (run,) = outcome(job, script, environment, WANDB_TAGS="env", WANDB_NAME="of the environment")
    assert (run.project, run.display_name, run.notes, run.group, run.job_type) == ("proj", "mine", "n", "g", "j")
    assert sorted(run.tags) == ["a", "b", "env"]
    assert (run.config["lr"], run.config["nested"]) == (1, {"a": [1]})
    assert [line["loss"] for line in run.history] == [2.0, 1.0]
    assert (run.summary["loss"], run.summary["best"], run.exit_code) == (1.0, 1, 0)


def test_arguments_may_be_positional_and_configs_of_any_kind(job: Job) -> None:
    job.write("lr.yaml", "lr:\n  value: 3\n")
    script = """
run = wandb.init(None, "proj", config=argparse.Namespace(lr=1, batch=2), config_exclude_keys=["batch"])
assert dict(run.config) == {"lr": 1}, run.config
run.config.update({"lr": 2}, allow_val_change=True)
"""
    (run,) = outcome(job, script)
    assert run.config["lr"] == 2
    (run,) = outcome(job, 'assert dict(wandb.init(config="lr.yaml").config) == {"lr": 3}\n')[1:]
    assert run.config["lr"] == 3


@pytest.mark.parametrize("environment", RELEASES)
def test_as_a_context_the_run_ends_with_it(job: Job, environment: str) -> None:
    script = """
with wandb.init(config={"lr": 1}) as run:
    run.log({"loss": 1})
assert wandb.run is None
sys.exit(4)
"""
    job.write("train.py", HEAD + script)
    done = job.run(python_of(environment), "train.py", check=False)
    run = job.server.run()
    assert (done.returncode, run.exit_code, run.config["lr"], run.summary["loss"]) == (4, 0, 1, 1)


def test_an_exception_in_the_context_is_a_failed_run(job: Job) -> None:
    job.write("train.py", HEAD + "with wandb.init() as run:\n    1 / 0\n")
    done = job.run(python_of("wandb-3.12"), "train.py", check=False)
    assert (done.returncode, job.server.run().exit_code) == (1, 1)


@pytest.mark.parametrize("environment", RELEASES)
def test_after_finish_a_second_init_is_a_second_run(job: Job, environment: str) -> None:
    script = """
first = wandb.init(name="first")
wandb.finish()
assert wandb.run is None
second = wandb.init(name="second", config={"n": 2})
assert second is wandb.run and second.id != first.id
second.log({"x": 2})
raise ValueError("the second fails")
"""
    job.write("train.py", HEAD + script)
    done = job.run(python_of(environment), "train.py", check=False)
    first, second = job.server.runs
    assert done.returncode == 1
    assert (first.display_name, first.exit_code) == ("first", 0)
    assert (second.display_name, second.exit_code, second.config["n"], second.summary["x"]) == ("second", 1, 2, 2)


def test_a_second_call_returns_the_same_run(job: Job) -> None:
    """And drops what it is given, as it does without the shim: a second call means what it means to wandb."""
    script = "a = wandb.init(tags=['a'])\nb = wandb.init(tags=['b'], config={'lr': 1})\nassert a is b\n"
    job.write("train.py", HEAD + script)
    said = [job.run(python_of("wandb-3.12"), "train.py", shim=shim).stderr.count("already") for shim in (False, True)]
    assert said[0] == said[1]
    native, ours = job.server.runs
    assert (ours.tags, configured(ours)) == (native.tags, configured(native)) == (["a"], {})


def test_a_disabled_run_stays_a_dummy(job: Job) -> None:
    script = "run = wandb.init(mode='disabled', config={'secret': 1})\nrun.log({'x': 1})\nrun.finish()\n"
    (run,) = outcome(job, script)
    assert ("secret" in run.config, run.summary.get("x")) == (False, None)


@pytest.mark.parametrize("environment", RELEASES)
def test_an_id_of_the_scripts_own_is_honoured(job: Job, environment: str) -> None:
    script = (
        "run = wandb.init(id='mine', resume='allow', config={'lr': 1})\nassert run.id == 'mine'\nrun.log({'x': 1})\n"
    )
    job.write("train.py", HEAD + script)
    job.run(python_of(environment), "train.py")
    (mine,) = [run for run in job.server.runs if run.id == "mine"]
    assert (mine.config["lr"], mine.summary["x"], mine.exit_code) == (1, 1, 0)


def test_the_id_of_the_open_run_is_no_other_run(job: Job) -> None:
    (run,) = outcome(job, "assert wandb.init(id='job', resume='allow').id == 'job'\n", WANDB_RUN_ID="job")
    assert run.id == "job"


def test_reinit_on_the_first_call_adopts_and_on_the_second_starts_anew(job: Job) -> None:
    script = """
first = wandb.init(reinit=True, name="first")
second = wandb.init(reinit=True, name="second")
assert wandb.run is second and second.id != first.id
"""
    first, second = outcome(job, script)
    assert (first.display_name, second.display_name) == ("first", "second")
    assert (first.exit_code, second.exit_code) == (0, 0)


def test_a_keyword_that_wandb_does_not_know_is_its_type_error(job: Job) -> None:
    script = (
        "try:\n    wandb.init(nonsense=1)\nexcept TypeError as error:\n    print(str(error).removeprefix('init() '))\n"
    )
    job.write("train.py", HEAD + script)
    plain = job.run(python_of("wandb-3.12"), "train.py", shim=False)
    assert "nonsense" in plain.stdout
    assert job.run(python_of("wandb-3.12"), "train.py").stdout == plain.stdout
    assert job.server.run().exit_code == 0


def test_another_project_stays_in_the_jobs_with_one_warning(job: Job) -> None:
    job.write("train.py", HEAD + "wandb.init(project='theirs', entity='them')\n")
    done = job.run(python_of("wandb-3.12"), "train.py")
    (line,) = [line for line in done.stderr.splitlines() if "theirs" in line]
    assert "WANDB_SHIM_INIT=defer" in line
    assert "'them'" in line
    assert job.server.run().project == "proj"


def test_deferred_the_scripts_own_init_opens_the_run(job: Job) -> None:
    (run,) = outcome(job, "wandb.init(project='theirs', name='n')\n", WANDB_SHIM_INIT="defer")
    assert (run.project, run.display_name) == ("theirs", "n")


PUBLIC = """
from shim import WandbConfig, init_wandb_from_env, init_wandb_if_configured
assert init_wandb_if_configured(None) is None
assert init_wandb_if_configured(WandbConfig()) is None
run = init_wandb_from_env()
assert run is not None and wandb.run is run
config = WandbConfig(project="proj", run_name="named", tags=("a",), notes="n", group="g")
assert init_wandb_if_configured(config, "eval", ["b"]) is run
assert init_wandb_if_configured(config, job_type="eval", tags=None) is run
run.log({"x": 1})
"""


@pytest.mark.parametrize("environment", RELEASES)
def test_the_public_functions_hand_the_open_run_over(job: Job, environment: str) -> None:
    (run,) = outcome(job, PUBLIC, environment)
    assert (run.display_name, run.notes, run.group, run.job_type) == ("named", "n", "g", "eval")
    assert (sorted(run.tags), run.summary["x"]) == (["a", "b"], 1)


def test_the_public_functions_work_without_the_shim(job: Job, repository: Path) -> None:
    script = "import shim\nrun = shim.init_wandb_from_env()\nassert run is wandb.run\nrun.log({'x': 1})\n"
    job.write("train.py", HEAD + script)
    environ = {"PYTHONPATH": str(repository), "WANDB_SHIM": "off", "WANDB_TAGS": "t", "WANDB_GROUP": "g"}
    job.run(python_of("wandb-3.12"), "train.py", environ=environ, shim=False)
    run = job.server.run()
    assert (run.tags, run.group, run.summary["x"]) == (["t"], "g", 1)


def test_another_rank_gets_no_run(job: Job) -> None:
    script = "from shim import init_wandb_from_env\nassert init_wandb_from_env() is None\nassert wandb.run is None\n"
    job.write("train.py", HEAD + script)
    job.run(python_of("wandb-3.12"), "train.py", environ={"RANK": "1", "WORLD_SIZE": "2"})
    assert not job.server.runs


# Programs whose own calls mean what they mean to wandb, and what they print is what wandb prints.
OF_THEIR_OWN = {
    "another server": "import os\nos.environ['WANDB_BASE_URL'] = os.environ['GOOD']\nimport wandb\n"
    "run = wandb.init(config={'a': 1})\nprint('offline', run.offline)\n",
    "a second init": "import wandb\nwandb.init(name='mine', group='g1', config={'lr': 1})\n"
    "again = wandb.init(name='library', group='lib', config={'lr': 2, 'lib': 1})\n"
    "print(again.name, dict(again.config))\n",
    "two runs": "import wandb\nwandb.init(name='one').finish()\nwandb.init(name='two').finish()\n",
    "the directory removed": "import shutil, wandb\nrun = wandb.init(name='mine')\nrun.log({'x': 1})\nrun.finish()\n"
    "shutil.rmtree('wandb')\nprint('gone')\n",
}
# What wandb says where something takes its time, and of the login.
_AT_TIMES = ("[wandb.login()]", "Currently logged in", "updating run metadata", "setting up run", "uploading ")
_OF_EACH_RUN = re.compile(r"run-\d+_\d+-\w+|runs/\w+|quiet-run-\d+|\d+ W&B file")


def words(text: str) -> list[str]:
    """What wandb and the script say, without what differs from run to run, and what comes only at times."""
    lines = _OF_EACH_RUN.sub("", text).splitlines()
    passing = ("wandb-shim: ", *(f"wandb: {words}" for words in _AT_TIMES))
    return [line for line in lines if not line.startswith(passing)]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("program", OF_THEIR_OWN)
def test_what_wandb_prints_of_a_scripts_own_runs_is_what_it_prints_natively(
    job: Job, release: str, program: str
) -> None:
    job.write("train.py", OF_THEIR_OWN[program])
    environ = {"GOOD": job.environ["WANDB_BASE_URL"]}
    if program == "another server":
        environ["WANDB_BASE_URL"] = "http://127.0.0.1:9"
    seen = []
    for shim in (False, True):
        before = len(job.server.runs)
        done = job.run(python_of(release), "train.py", shim=shim, environ=environ)
        runs = [(run.display_name.partition("-")[0], configured(run), run.state) for run in job.server.runs[before:]]
        seen.append((words(done.stdout), words(done.stderr), runs))
    assert seen[1] == seen[0]
