"""Of many ranks on several nodes one owns the run; the others hear nothing of W&B. Megatron is a double here."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.jobs import Job
from tests.ports import free_ports

# Two nodes of two ranks.
WORLD = 4
SOURCES: Mapping[str, Callable[[int], dict[str, str]]] = {
    "torchrun": lambda rank: {
        **{"RANK": f"{rank}", "WORLD_SIZE": "4", "LOCAL_RANK": f"{rank % 2}", "LOCAL_WORLD_SIZE": "2"},
        **{"GROUP_RANK": f"{rank // 2}", "MASTER_ADDR": "127.0.0.1"},
    },
    "srun": lambda rank: {
        **{"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": f"{rank}", "SLURM_STEP_NUM_TASKS": "4"},
        **{"SLURM_LOCALID": f"{rank % 2}", "SLURM_NODEID": f"{rank // 2}", "SLURM_NTASKS": "4"},
    },
    "mpirun": lambda rank: {
        **{"OMPI_COMM_WORLD_RANK": f"{rank}", "OMPI_COMM_WORLD_SIZE": "4"},
        "OMPI_COMM_WORLD_LOCAL_RANK": f"{rank % 2}",
    },
}

SAYS_WHAT_IS_THERE = """
import os, sys
there = sorted({"wandb", "wrapt", "socket", "ssl"} & set(sys.modules))
sockets = [fd for fd in os.listdir("/proc/self/fd") if "socket:" in os.path.realpath(f"/proc/self/fd/{fd}")]
print(there, len(sockets), "WANDB_SHIM_ATTACH" in os.environ)
"""
OWNER, OTHER = "[] 0 True\n", "[] 0 False\n"
# What a program does before it trains, and the rank that then owns the run.
PROGRAMS = {
    "Megatron-Bridge": ("import megatron.bridge", 3),
    "Megatron-LM": ("from megatron import training", 3),
    "Megatron core only": ("import megatron.core, torch.distributed.distributed_c10d as d; d.init_process_group()", 0),
    "torch first, then Megatron-Bridge": ("import torch.distributed.distributed_c10d, megatron.bridge", 3),
    "no Megatron": ("import torch.distributed.distributed_c10d as d; d.init_process_group()", 0),
}


def run_ranks(job: Job, source: str, environ: Mapping[str, str]) -> list[str]:
    """Run all ranks side by side; what each printed."""
    environs = [{**SOURCES[source](rank), **environ} for rank in range(WORLD)]
    return [done.stdout for done in job.run_together(python_of("wandb-3.12"), "train.py", environs=environs)]


def write_doubles(job: Job) -> None:
    """Packages of the names that tell who owns the run, with nothing in them."""
    for package in ("megatron.bridge", "megatron.training", "megatron.core", "torch.distributed"):
        job.write(f"{package.replace('.', '/')}/__init__.py", "")
    job.write("torch/distributed/distributed_c10d.py", "def init_process_group():\n    pass\n")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_one_rank_owns_the_run_and_the_others_hear_nothing_of_it(job: Job, source: str, program: str) -> None:
    first_line, owner = PROGRAMS[program]
    write_doubles(job)
    if program == "no Megatron":
        (job.directory / "megatron").rename(job.directory.parent / "elsewhere")
    job.write("train.py", f"{first_line}\n{SAYS_WHAT_IS_THERE}\nprint('rank', {owner})\n")
    printed = run_ranks(job, source, {})
    expected = [OWNER if rank == owner else OTHER for rank in range(WORLD)]
    assert [text.splitlines(keepends=True)[0] for text in printed] == expected
    run = job.server.run()
    assert (run.state, f"rank {owner}" in run.console_text()) == ("finished", True)


@pytest.mark.parametrize(("wanted", "owner"), [("first", 0), ("last", 3), ("2", 2)])
def test_the_job_may_say_which_rank_it_is(job: Job, wanted: str, owner: int) -> None:
    write_doubles(job)
    job.write("train.py", "import megatron.bridge\n" + SAYS_WHAT_IS_THERE)
    printed = run_ranks(job, "torchrun", {"WANDB_SHIM_OWNER": wanted})
    assert printed == [OWNER if rank == owner else OTHER for rank in range(WORLD)]
    assert job.server.run().state == "finished"


def test_a_script_that_asks_on_every_rank_gets_what_it_got(job: Job) -> None:
    script = (
        "import os, wandb\nrun = wandb.init(project='theirs', name='of ' + os.environ['RANK'])\nrun.log({'x': 1})\n"
    )
    job.write("train.py", script)
    run_ranks(job, "torchrun", {})
    runs = sorted(job.server.runs, key=lambda run: run.display_name)
    assert [run.display_name for run in runs] == [f"of {rank}" for rank in range(WORLD)]
    assert [run.project for run in runs] == ["proj", "theirs", "theirs", "theirs"]
    assert [(run.state, len(run.history)) for run in runs] == [("finished", 1)] * WORLD


def test_a_program_that_never_tells_is_told_of(job: Job) -> None:
    write_doubles(job)
    job.write("train.py", "print('trained')\n")
    environ = SOURCES["torchrun"](0)
    done = job.run(python_of("wandb-3.12"), "train.py", environ=environ)
    (line,) = [line for line in done.stderr.splitlines() if "wandb-shim" in line]
    assert "WANDB_SHIM_OWNER=first" in line
    assert job.run(python_of("wandb-3.12"), "train.py", environ=SOURCES["torchrun"](3)).stderr == ""
    assert not job.server.runs


def test_the_owner_may_be_known_in_a_thread(job: Job) -> None:
    write_doubles(job)
    script = (
        "import threading, wandb\nthread = threading.Thread(target=lambda: wandb.init(name='mine').log({'x': 1}))\n"
    )
    job.write("train.py", script + "thread.start()\nthread.join()\n")
    done = job.run(python_of("wandb-3.12"), "train.py", environ=SOURCES["torchrun"](0))
    assert "no run was opened" not in done.stderr
    run = job.server.run()
    assert (run.display_name, run.summary["x"], run.state) == ("mine", 1, "finished")


TRAINS = """\
import os, sys
import torch, torch.distributed as dist
import megatron.bridge
dist.init_process_group("gloo")
loss = torch.ones(1)
dist.all_reduce(loss)
dist.destroy_process_group()
with open("rank-" + os.environ["RANK"], "w") as file:
    file.write(str("WANDB_SHIM_ATTACH" in os.environ))
print("loss", loss.item(), "on the last rank")
"""


@pytest.mark.xdist_group("torch")
def test_of_two_nodes_under_torchrun_the_last_rank_owns_the_run(job: Job) -> None:
    job.write("megatron/bridge/__init__.py", "")
    job.write("train.py", TRAINS)
    (port,) = free_ports(1)
    torchrun = [python_of("torch").with_name("torchrun"), "--nnodes", "2", "--nproc-per-node", "2"]
    torchrun += ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    agents = [
        subprocess.Popen(
            [str(word) for word in (*torchrun, "--node-rank", node, "train.py")],
            cwd=job.directory,
            env={**job.environ, "PYTHONPATH": str(job.home), "OMP_NUM_THREADS": "1"},
        )
        for node in (0, 1)
    ]
    try:
        assert [agent.wait(120) for agent in agents] == [0, 0]
    finally:
        for agent in agents:
            with agent:
                agent.kill()
    owners = {path.name: path.read_text() for path in Path(job.directory).glob("rank-*")}
    assert owners == {f"rank-{rank}": str(rank == 3) for rank in range(WORLD)}
    run = job.server.run()
    assert (run.state, run.console_text()) == ("finished", "loss 4.0 on the last rank")
