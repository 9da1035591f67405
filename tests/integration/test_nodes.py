"""WANDB_SHIM_NODES=on: the machines of all nodes of a job in its one run. Two nodes are two processes here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.jobs import Job

pytestmark = pytest.mark.in_turn

RELEASES = ["wandb-3.12", "wandb-0.21.4", "wandb-0.25.1"]

# Rank 0 ends last, as it does in a job.
TRAIN = """\
import os, sys, time
rank = int(os.environ["RANK"])
early = "wandb" in sys.modules
if rank == 0:
    import wandb
    run = wandb.init(config={"lr": 1}, name="mine")
    run.log({"loss": 1.0})
    open("ready", "w").close()
while not os.path.exists("ready"):
    time.sleep(0.1)
time.sleep(6)
print("rank", rank, early)
open(f"over-{rank}", "w").close()
while rank == 0 and not os.path.exists("over-" + os.environ["OTHER"]):
    time.sleep(0.1)
"""
NONE: Mapping[str, str | None] = {}
NO_ID = {"WANDB_RUN_ID": None}
SAMPLED = {"WANDB_X_STATS_SAMPLING_INTERVAL": "1", "WANDB_SHIM_NODES": "on", "WANDB_RUN_ID": "shared"}


def run_ranks(
    job: Job, python: Path, *ranks: int, local: int = 1, environ: Mapping[str, str | None] = NONE
) -> list[str]:
    """Run some of two ranks side by side, `local` of them on a node; what each said on stderr."""
    of_job = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": str(local), "OTHER": str(ranks[-1]), **SAMPLED, **environ}
    environs = [{"RANK": str(rank), "LOCAL_RANK": str(rank % local), **of_job} for rank in ranks]
    ended = job.run_together(python, "train.py", environs=environs)
    assert [done.stdout.split()[:2] for done in ended] == [["rank", str(rank)] for rank in ranks]
    return [done.stderr for done in ended]


@pytest.mark.parametrize("environment", RELEASES)
def test_the_machines_of_two_nodes_are_in_one_run(job: Job, environment: str) -> None:
    job.write("train.py", TRAIN)
    run_ranks(job, python_of(environment), 0, 1)
    run = job.server.run()
    assert (run.id, run.display_name, run.config["lr"], run.state) == ("shared", "mine", 1, "finished")
    assert [row["loss"] for row in run.history] == [1.0]
    names = {name for row in run.events for name in row}
    for rank in (0, 1):
        assert any(f"-rank{rank}" in name for name in names), sorted(names)


def test_the_id_may_be_that_of_the_job_and_a_restart_goes_on_with_it(job: Job) -> None:
    job.write("train.py", TRAIN)
    slurm = {"SLURM_JOB_ID": "9", "SLURM_STEP_ID": "0", **NO_ID}
    for _ in range(2):
        run_ranks(job, python_of("wandb-3.12"), 0, 1, environ=slurm)
        for left in ("ready", "over-0", "over-1"):
            (job.directory / left).unlink()
    run = job.server.run()
    assert (run.state, [row["loss"] for row in run.history]) == ("finished", [1.0, 1.0])
    assert any("-rank1" in name for row in run.events for name in row)


def test_on_one_node_nobody_joins(job: Job) -> None:
    job.write("train.py", TRAIN)
    run_ranks(job, python_of("wandb-3.12"), 0, 1, local=2)
    names = {name for row in job.server.run().events for name in row}
    assert names
    assert not any("-rank1" in name for name in names)


OFFLINE = {"WANDB_MODE": "offline"}


@pytest.mark.parametrize(("environ", "word"), [(NO_ID, "set WANDB_RUN_ID"), (OFFLINE, "WANDB_MODE=offline")])
def test_where_nodes_cannot_join_one_line_says_why(job: Job, environ: dict[str, str], word: str) -> None:
    job.write("train.py", TRAIN)
    owner, other = run_ranks(job, python_of("wandb-3.12"), 0, 1, environ=environ)
    (line,) = [line for line in other.splitlines() if "wandb-shim" in line]
    assert line.startswith("wandb-shim: this node's machine is not in the run: ")
    assert word in line
    assert word in owner
    assert len(job.server.runs) == (environ is NO_ID)


ASKS_EVERYWHERE = """\
import os, wandb
assert wandb.run is None
with wandb.init(id="own-" + os.environ["RANK"], name="of " + os.environ["RANK"]) as run:
    run.log({"x": 1})
print("rank", os.environ["RANK"])
"""


def test_a_rank_that_asks_for_a_run_of_its_own_gets_it(job: Job) -> None:
    job.write("train.py", ASKS_EVERYWHERE)
    run_ranks(job, python_of("wandb-3.12"), 1)
    (own,) = [run for run in job.server.runs if run.id == "own-1"]
    assert (own.display_name, own.state, [row["x"] for row in own.history]) == ("of 1", "finished", [1])


def test_a_rank_that_disables_its_run_leaves_its_machine_in_the_jobs(job: Job) -> None:
    job.write("train.py", TRAIN.replace("if rank == 0:", "import wandb\nwandb.init(mode='disabled')\nif rank == 0:"))
    run_ranks(job, python_of("wandb-3.12"), 0, 1)
    assert any("-rank1" in name for row in job.server.run().events for name in row)
