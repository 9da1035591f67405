"""One job, one run, across restarts: the real torchrun, a scheduler's variables, the real client."""

from __future__ import annotations

import pytest

from tests.environments import python_of
from tests.jobs import Job

# Rank 0 crashes in iteration 3; the agent then ends rank 1 and starts both again. Without a process group: that of
# gloo does not survive a restart in which one rank comes late.
CRASHES_ONCE = """\
import os, time
from pathlib import Path
attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
if os.environ["RANK"] == "1":
    time.sleep(600 if attempt == 0 else 0)
else:
    import wandb
    run = wandb.init(project="owt", name="mine", config={"lr": 1})
    checkpoint = Path("checkpoint.txt")
    for step in range(int(checkpoint.read_text()) if checkpoint.exists() else 0, 6):
        if attempt == 0 and step == 3:
            raise RuntimeError("iteration 3")
        run.log({"loss": 1.0 / (step + 1)}, step=step)
        checkpoint.write_text(str(step + 1))
"""


@pytest.mark.xdist_group("torch")
def test_a_torchrun_restart_continues_the_run(job: Job) -> None:
    torchrun = python_of("torch").with_name("torchrun")
    job.write("train.py", CRASHES_ONCE)
    job.run(torchrun, "--standalone", "--nproc-per-node", "2", "--max-restarts", "2", "train.py", timeout=180)
    run = job.server.run()
    assert (run.project, run.display_name, run.state) == ("proj", "mine", "finished")
    assert run.resumed
    assert [row["_step"] for row in run.history] == [0, 1, 2, 3, 4, 5]


# Dies in iteration 3 and goes on from its own checkpoint when it is started again.
GOES_ON = """\
from pathlib import Path
import wandb
checkpoint = Path("checkpoint.txt")
start = int(checkpoint.read_text()) if checkpoint.exists() else 0
run = wandb.init(name="mine")
for step in range(start, 6):
    if start == 0 and step == 3:
        raise RuntimeError("iteration 3")
    run.log({"loss": 1.0 / (step + 1)}, step=step)
    checkpoint.write_text(str(step + 1))
"""
SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (SLURM, {**SLURM, "SLURM_RESTART_COUNT": "1"}),
        ({"KUBERNETES_JOB_UID": "a-b"}, {"KUBERNETES_JOB_UID": "a-b", "HOSTNAME": "another-pod"}),
    ],
    ids=["Slurm requeue", "pod restarted"],
)
def test_a_job_that_is_started_again_goes_on_with_its_run(
    job: Job, first: dict[str, str], again: dict[str, str]
) -> None:
    job.write("train.py", GOES_ON)
    assert job.run(python_of("wandb"), "train.py", environ=first, check=False).returncode == 1
    assert job.server.run().state == "failed"
    done = job.run(python_of("wandb"), "train.py", environ=again)
    assert done.stderr.count("continued: what is logged again for its earlier steps, W&B drops") == 1
    run = job.server.run()
    assert (run.display_name, run.state, [row["_step"] for row in run.history]) == ("mine", "finished", [*range(6)])


@pytest.mark.parametrize(
    "other",
    [
        {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "1"},
        {"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1", "SLURM_STEP_ID": "0"},
    ],
    ids=["another step", "another array task"],
)
def test_another_part_of_a_slurm_job_is_another_run(job: Job, other: dict[str, str]) -> None:
    job.write("train.py", "print('trains')\n")
    for environ in (SLURM, other):
        job.run(python_of("wandb"), "train.py", environ=environ)
    one, two = job.server.runs
    assert one.id != two.id


def test_an_id_that_was_given_wins_over_the_jobs(job: Job) -> None:
    job.write("train.py", "print('trains')\n")
    job.run(python_of("wandb"), "train.py", environ={**SLURM, "WANDB_RUN_ID": "given"})
    assert job.server.run().id == "given"


def test_offline_a_job_that_is_started_again_has_one_run_id(job: Job) -> None:
    job.write("train.py", GOES_ON)
    for _ in range(2):
        job.run(python_of("wandb"), "train.py", environ={**SLURM, "WANDB_MODE": "offline"}, check=False)
    logs = list(job.directory.glob("wandb/offline-run-*/run-*.wandb"))
    assert (len(logs), len({log.name for log in logs}), job.server.runs) == (2, 1, [])
    wandb = python_of("wandb").with_name("wandb")
    job.run(wandb, "sync", *sorted(str(log.parent) for log in logs), shim=False)
    run = job.server.run()
    assert (run.display_name, [row["_step"] for row in run.history], run.state) == ("mine", [*range(6)], "finished")


# Two of these at once wait for each other.
TWICE = """\
import os, time
import wandb
run = wandb.init(config={"lr": int(os.environ["LR"])})
run.log({"loss": 1}, step=0)
open("there-" + os.environ["LR"], "w").close()
while os.environ["AT_ONCE"] and len([name for name in os.listdir() if name.startswith("there-")]) < 2:
    time.sleep(0.1)
"""


def test_one_command_line_twice_at_once_in_a_job_is_two_runs(job: Job) -> None:
    job.write("train.py", TWICE)
    command = f"LR=1 {python_of('wandb')} train.py & LR=2 {python_of('wandb')} train.py & wait"
    done = job.run("bash", "-c", command, environ={**SLURM, "AT_ONCE": "1"})
    assert sorted((run.config["lr"], len(run.history), run.state) for run in job.server.runs) == [
        (1, 1, "finished"),
        (2, 1, "finished"),
    ]
    (line,) = [line for line in done.stderr.splitlines() if "same command line" in line]
    assert "WANDB_RUN_ID" in line


def test_one_command_line_after_another_in_a_job_is_two_runs_and_a_restart_goes_on_with_the_first(job: Job) -> None:
    job.write("train.py", TWICE)
    command = f"for lr in 1 2; do LR=$lr {python_of('wandb')} train.py; done"
    job.run("bash", "-c", command, environ={**SLURM, "AT_ONCE": ""})
    first, second = job.server.runs
    assert [(run.config["lr"], len(run.history)) for run in (first, second)] == [(1, 1), (2, 1)]
    job.run("bash", "-c", command, environ={**SLURM, "AT_ONCE": "", "SLURM_RESTART_COUNT": "1"})
    assert [run.resumed for run in job.server.runs] == [1, 0, 0]


def test_an_empty_id_is_none(job: Job) -> None:
    job.write("train.py", "print('trains')\n")
    for attempt in ("0", "1"):
        job.run(python_of("wandb"), "train.py", environ={**SLURM, "WANDB_RUN_ID": "", "SLURM_RESTART_COUNT": attempt})
    assert job.server.run().resumed
