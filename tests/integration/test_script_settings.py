"""Variables, `wandb.setup` and settings by which a script says what its run should be, and when that is another run."""

from __future__ import annotations

import pytest

from tests.comparing import check_nothing_is_missing
from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Run

pytestmark = pytest.mark.in_turn

RELEASES = ["wandb-0.19.11", "wandb-0.23.1", "wandb-3.12"]


def runs_of(job: Job, script: str, release: str = "wandb-3.12", **environ: str) -> tuple[Run, list[Run], str]:
    """Run a script without the shim and with it: the run of the first, those of the second, and its stderr."""
    job.write("train.py", script)
    job.run(python_of(release), "train.py", shim=False, environ=environ)
    (native,) = job.server.runs
    done = job.run(python_of(release), "train.py", environ=environ)
    return native, job.server.runs[1:], done.stderr


SET_BEFORE = {
    "variables": """
import os
os.environ.update(WANDB_NAME="mine", WANDB_NOTES="n", WANDB_RUN_GROUP="g", WANDB_JOB_TYPE="j", WANDB_TAGS="a,b")
import wandb
run = wandb.init()
run.log({"x": 1})
""",
    "wandb.setup": """
import wandb
wandb.setup(wandb.Settings(run_name="mine", run_notes="n", run_group="g", run_job_type="j", run_tags=("a", "b")))
wandb.init().log({"x": 1})
""",
}


QUIET = {
    "WANDB_SILENT": "import os\nos.environ['WANDB_SILENT'] = 'true'\nimport wandb\nrun = wandb.init()\n",
    "WANDB_QUIET": "import os\nos.environ['WANDB_QUIET'] = 'true'\nimport wandb\nrun = wandb.init()\n",
    "Settings": "import wandb\nrun = wandb.init(settings=wandb.Settings(silent=True))\n",
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("means", QUIET)
def test_a_script_that_wants_wandb_to_be_quiet_has_it_so(job: Job, release: str, means: str) -> None:
    """The last words go to stdout, which is the script's, from the service where the script does not end the run."""
    job.write("train.py", QUIET[means] + "run.log({'x': 1})\nprint('trained')\n")
    plain, tracked = (job.run(python_of(release), "train.py", shim=shim) for shim in (False, True))
    assert tracked.stdout.count("\n") == plain.stdout.count("\n")
    said = [line for line in tracked.stderr.splitlines() if "wandb-shim" not in line]
    assert len(said) <= len(plain.stderr.splitlines()), tracked.stderr


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("means", SET_BEFORE)
def test_what_a_script_sets_before_its_init_is_in_the_run(job: Job, release: str, means: str) -> None:
    native, (run,), _ = runs_of(job, SET_BEFORE[means], release)
    for name in ("display_name", "notes", "group", "job_type", "tags"):
        assert getattr(run, name) == getattr(native, name) != "", name


@pytest.mark.parametrize("release", RELEASES)
def test_disabled_by_a_variable_the_script_set_it_is_a_dummy(job: Job, release: str) -> None:
    script = "import os\nos.environ['WANDB_MODE'] = 'disabled'\nimport wandb\nwandb.init()\nwandb.log({'secret': 1})\n"
    job.write("train.py", script)
    job.run(python_of(release), "train.py")
    assert "secret" not in job.server.run().summary


@pytest.mark.parametrize("release", RELEASES)
def test_an_id_that_the_script_put_into_a_variable_is_its_runs(job: Job, release: str) -> None:
    script = """
import os
os.environ.update(WANDB_RUN_ID="mine", WANDB_RESUME="allow", WANDB_NAME="named")
import wandb
run = wandb.init(config={"lr": 1})
assert run.id == "mine", run.id
run.log({"x": 1})
"""
    job.write("train.py", script)
    job.run(python_of(release), "train.py")
    (run,) = [run for run in job.server.runs if run.id == "mine"]
    assert (run.display_name, run.config["lr"], run.summary["x"], run.state) == ("named", 1, 1, "finished")


def test_an_argument_of_none_does_not_hide_a_variable(job: Job) -> None:
    script = "import os\nos.environ.update(WANDB_RUN_ID='mine', WANDB_JOB_TYPE='j')\nimport wandb\n"
    job.write("train.py", script + "run = wandb.init(None, 'proj', name=None)\nassert run.id == 'mine'\n")
    job.run(python_of("wandb-3.12"), "train.py")
    (run,) = [run for run in job.server.runs if run.id == "mine"]
    assert run.state == "finished"


def test_online_in_an_online_job_is_no_matter(job: Job) -> None:
    job.write("train.py", "import wandb\nwandb.init(mode='online', name='n')\n")
    done = job.run(python_of("wandb-3.12"), "train.py")
    assert "instead of" not in done.stderr


def test_offline_where_the_job_is_online_is_named_in_one_line(job: Job) -> None:
    job.write("train.py", "import wandb\nwandb.init(mode='offline')\n")
    done = job.run(python_of("wandb-3.12"), "train.py")
    (line,) = [line for line in done.stderr.splitlines() if "'offline'" in line]
    assert "mode 'online' (WANDB_MODE)" in line
    assert job.server.run().state == "finished"


def test_what_comes_too_late_is_named_in_one_line(job: Job) -> None:
    job.write("train.py", "import wandb\nwandb.init(settings=wandb.Settings(console='off', x_disable_stats=True))\n")
    done = job.run(python_of("wandb-3.12"), "train.py")
    (line,) = [line for line in done.stderr.splitlines() if "no effect" in line]
    assert "wandb.init(console, x_disable_stats=…)" in line


AUTO = """
import sys, wandb
run = wandb.init(resume=RESUME)
print("resumed", run.resumed)
run.log({"step": 1})
sys.exit(0 if run.resumed else 1)
"""


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("resume", ["True", "'auto'"])
def test_resuming_what_failed_is_left_to_wandb(job: Job, release: str, resume: str) -> None:
    job.write("train.py", AUTO.replace("RESUME", resume))
    first = job.run(python_of(release), "train.py", check=False)
    second = job.run(python_of(release), "train.py")
    assert ("resumed False" in first.stdout, "resumed True" in second.stdout) == (True, True)
    (resumed,) = [run for run in job.server.runs if run.resumed]
    assert (resumed.state, len(resumed.history)) == ("finished", 2)


def test_never_resumed_means_another_run_where_the_job_continues_one(job: Job) -> None:
    job.write("train.py", "import sys, wandb\nwandb.init(resume='never').log({'x': 1})\nsys.exit(1)\n")
    for _ in range(2):
        job.run(python_of("wandb-3.12"), "train.py", check=False, environ={"KUBERNETES_JOB_UID": "a"})
    assert sorted(len(run.history) for run in job.server.runs) == [1, 1]


def test_must_is_content_with_the_run_that_the_job_continues(job: Job) -> None:
    script = "import sys, wandb\nrun = wandb.init(id=ID, resume=RESUME)\nprint(run.id)\nsys.exit(1)\n"
    job.write("train.py", script.replace("ID", "None").replace("RESUME", "None"))
    first = job.run(python_of("wandb-3.12"), "train.py", check=False, environ={"KUBERNETES_JOB_UID": "a"})
    own = first.stdout.splitlines()[0]
    job.write("train.py", script.replace("ID", repr(own)).replace("RESUME", "'must'"))
    second = job.run(python_of("wandb-3.12"), "train.py", check=False, environ={"KUBERNETES_JOB_UID": "a"})
    assert second.stdout.splitlines()[0] == own
    assert "run of its own" not in second.stderr
    assert job.server.run().resumed == 1


def test_where_init_fails_there_is_no_run(job: Job) -> None:
    script = "import wandb\ntry:\n    wandb.init(config='nofile.yaml')\nexcept Exception as error:\n"
    job.write("train.py", script + "    print(type(error).__name__, wandb.run)\n")
    plain = job.run(python_of("wandb-3.12"), "train.py", shim=False)
    assert job.run(python_of("wandb-3.12"), "train.py").stdout == plain.stdout


@pytest.mark.parametrize("release", RELEASES)
def test_init_is_pickled_by_its_name(job: Job, release: str) -> None:
    script = """
import multiprocessing, pickle
from functools import partial
from wandb import init
if __name__ == "__main__":
    assert pickle.loads(pickle.dumps(init)) is init
    child = multiprocessing.get_context("spawn").Process(target=partial(init, mode="disabled"))
    child.start()
    child.join()
    print(child.exitcode)
"""
    job.write("train.py", script)
    assert job.run(python_of(release), "train.py").stdout == "0\n"


def test_a_wrong_setting_is_an_error_as_ever(job: Job) -> None:
    script = "import wandb\ntry:\n    wandb.init(settings={'bogus': 1})\nexcept Exception as error:\n"
    job.write("train.py", script + "    print(type(error).__name__)\n")
    plain = job.run(python_of("wandb-3.12"), "train.py", shim=False)
    assert job.run(python_of("wandb-3.12"), "train.py").stdout == plain.stdout != ""


# With the exit code of each.
TEARDOWN = {
    "before init": (
        """
import wandb
wandb.setup()
wandb.teardown()
wandb.init(name="after", config={"lr": 1}).log({"loss": 1})
""",
        0,
    ),
    "between two": (
        """
import wandb
wandb.init(name="before").log({"loss": 1})
wandb.teardown()
wandb.init(name="after", config={"lr": 1}).log({"loss": 2})
raise SystemExit(3)
""",
        3,
    ),
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("when", TEARDOWN)
def test_teardown_ends_what_the_script_has_opened_and_no_more(job: Job, release: str, when: str) -> None:
    program, code = TEARDOWN[when]
    job.write("train.py", program)
    plain, tracked = (job.run(python_of(release), "train.py", shim=shim, check=False) for shim in (False, True))
    assert plain.returncode == tracked.returncode == code
    runs = job.server.runs
    for native, run in zip(runs[: len(runs) // 2], runs[len(runs) // 2 :], strict=True):
        check_nothing_is_missing(native, run)
    assert tracked.stderr.count("wandb-shim") == 1, tracked.stderr
