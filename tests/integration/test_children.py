"""A child of multiprocessing that calls `wandb.init` gets the job's run, if nobody has asked for that one before."""

from __future__ import annotations

import textwrap

import pytest

from tests.environments import python_of
from tests.jobs import Job
from tests.ports import free_ports

pytestmark = pytest.mark.in_turn

RELEASES = ["wandb-3.12", "wandb-0.25.1", "wandb-0.21.4"]

# `python train.py METHOD CHILDREN`: children that each log to a run, one after another.
CHILDREN = """\
import multiprocessing, sys

def work(number):
    import wandb
    with wandb.init(project="theirs", name=f"of child {number}", config={"lr": number}, tags=["t"]) as run:
        assert wandb.run is run
        for loss in (3, 2, 1):
            run.log({"loss": loss})
        run.summary["best"] = 1
    assert wandb.run is None

if __name__ == "__main__":
    for number in range(int(sys.argv[2])):
        child = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(number,))
        child.start()
        child.join()
        print("child", number, "ended with", child.exitcode)
    raise SystemExit(3)
"""


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_all_that_the_child_logs_is_in_the_one_run_which_the_owner_ends(job: Job, release: str, method: str) -> None:
    job.write("train.py", CHILDREN)
    done = job.run(python_of(release), "-W", "ignore", "train.py", method, "1", timeout=90, check=False)
    assert (done.returncode, done.stdout) == (3, "child 0 ended with 0\n"), done.stderr
    run = job.server.run()
    assert [row["loss"] for row in run.history] == [3, 2, 1]
    assert (run.project, run.display_name, run.tags, run.config["lr"]) == ("proj", "of child 0", ["t"], 0)
    assert (run.summary["best"], run.exit_code) == (1, 3)


def test_a_second_child_gets_a_run_of_its_own(job: Job) -> None:
    job.write("train.py", CHILDREN)
    job.run(python_of("wandb-3.12"), "train.py", "spawn", "2", timeout=90, check=False)
    ours, second = job.server.runs
    assert (ours.project, ours.display_name, ours.exit_code) == ("proj", "of child 0", 3)
    assert (second.project, second.display_name, second.exit_code) == ("theirs", "of child 1", 0)
    assert [len(run.history) for run in (ours, second)] == [3, 3]


def test_a_child_gets_one_of_its_own_where_the_owner_has_asked_for_the_jobs(job: Job) -> None:
    job.write("train.py", CHILDREN.replace("    for number", "    import wandb\n    wandb.init()\n    for number"))
    job.run(python_of("wandb-3.12"), "train.py", "spawn", "1", timeout=90, check=False)
    ours, child = job.server.runs
    assert (len(ours.history), len(child.history)) == (0, 3)
    assert (child.project, child.display_name) == ("theirs", "of child 0")


def test_what_a_helper_program_starts_is_not_a_child_of_the_owner(job: Job) -> None:
    job.write("helper.py", CHILDREN)
    job.write("train.py", "import subprocess, sys\nsubprocess.run([sys.executable, 'helper.py', 'spawn', '1'])\n")
    job.run(python_of("wandb-3.12"), "train.py", timeout=90)
    ours, other = sorted(job.server.runs, key=lambda run: run.project)  # which opens first is nobody's promise
    assert (ours.history, other.project, len(other.history)) == ([], "theirs", 3)


# `python train.py KIND`: a child made by hand asks for the run; plainly, or as daemons are made.
FORKS = """\
import os, sys, time

def work():
    import wandb
    with wandb.init(project="theirs", name="forked", config={"lr": 1}) as run:
        run.log({"loss": 1})
    open("done", "w").close()
    os._exit(0)

if not os.fork():
    if sys.argv[1] != "fork":
        os.setsid()
        if os.fork():
            os._exit(0)
    work()
os.wait()
while not os.path.exists("done"):
    time.sleep(0.05)
sys.exit(3)
"""


@pytest.mark.parametrize("kind", ["fork", "fork, setsid, fork"])
def test_a_child_made_by_hand_gets_the_jobs_run_while_its_owner_lives(job: Job, kind: str) -> None:
    job.write("train.py", FORKS)
    done = job.run(python_of("wandb-3.12"), "-W", "ignore", "train.py", kind, timeout=90, check=False)
    run = job.server.run()
    assert (done.returncode, run.project, run.display_name, run.exit_code) == (3, "proj", "forked", 3)
    assert [row["loss"] for row in run.history] == [1]


LOSES_THE_COMPANION = """\
import os
os.environ["WANDB_SHIM_ATTACH"] += "nowhere"
"""


def test_a_child_that_cannot_join_gets_a_run_of_its_own(job: Job) -> None:
    job.write(
        "train.py", CHILDREN.replace("    for number", textwrap.indent(LOSES_THE_COMPANION, "    ") + "    for number")
    )
    done = job.run(python_of("wandb-3.12"), "train.py", "spawn", "1", timeout=90, check=False)
    assert done.stdout == "child 0 ended with 0\n", done.stderr
    ours, child = sorted(job.server.runs, key=lambda run: run.project)
    assert (ours.history, child.display_name, len(child.history)) == ([], "of child 0", 3)


SPAWN = """\
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

def train(rank):
    dist.init_process_group("gloo", init_method="tcp://127.0.0.1:PORT", rank=rank, world_size=2)
    if rank == 0:
        import wandb
        wandb.init(project="theirs", name="spawned", config={"lr": 1})
    for step in range(4):
        loss = torch.ones(1) * step
        dist.all_reduce(loss)
        if rank == 0:
            wandb.log({"loss": loss.item()})
    dist.destroy_process_group()

if __name__ == "__main__":
    mp.spawn(train, nprocs=2)
"""


@pytest.mark.xdist_group("torch")
def test_rank_0_under_torchs_spawn_logs_to_the_one_run(job: Job) -> None:
    (port,) = free_ports(1)
    job.write("train.py", SPAWN.replace("PORT", str(port)))
    job.run(python_of("torch"), "train.py")
    run = job.server.run()
    assert [row["loss"] for row in run.history] == [0, 2, 4, 6]
    assert (run.project, run.display_name, run.config["lr"], run.state) == ("proj", "spawned", 1, "finished")
