"""One run a job where torch, accelerate or nemo-run start the processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.integration.test_roles import TRAIN, owns
from tests.jobs import Job

TWO_RANKS = ["rank 1 found [] and 0 sockets", "training with []", "training with []"]


@pytest.fixture(scope="session")
def python() -> Path:
    return python_of("torch")


@pytest.mark.parametrize(
    "launcher",
    [
        ("torchrun", "--standalone", "--nproc-per-node", "2", "train.py"),
        ("python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "train"),
        ("accelerate", "launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0", "train.py"),
    ],
    ids=" ".join,
)
def test_of_two_ranks_the_first_owns_the_run(job: Job, python: Path, launcher: tuple[str, ...]) -> None:
    job.write("train.py", TRAIN)
    done = job.run(python.parent / launcher[0], *launcher[1:])
    assert sorted(done.stdout.splitlines()) == TWO_RANKS
    run = job.server.run()
    assert (run.exit_code, Path(run.program).stem) == (0, "train" if launcher[-2] != "-m" else "-m train")


def test_accelerate_with_one_process_has_one_run(job: Job, python: Path) -> None:
    job.write("train.py", TRAIN)
    run = owns(job, python.parent / "accelerate", "launch", "--cpu", "--num_processes", "1", "train.py", "--lr", "1")
    assert run.metadata["args"] == ["--lr", "1"]


def test_the_last_rank_owns_the_run_where_the_job_says_so(job: Job, python: Path) -> None:
    job.write("train.py", "import os\nprint('I am', os.environ['RANK'])\n")
    job.run(
        *(python.parent / "torchrun", "--standalone", "--nproc-per-node", "2", "train.py"),
        environ={"WANDB_SHIM_OWNER": "last"},
    )
    assert job.server.run().console_text() == "I am 1"


LOADERS = """\
import os, sys
from torch.utils.data import DataLoader, Dataset

class Squares(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index * index

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        loader = DataLoader(Squares(), batch_size=2, num_workers=2, multiprocessing_context=method)
        print(method, [batch.tolist() for batch in loader])
"""


def test_workers_of_a_data_loader_open_no_run(job: Job, python: Path) -> None:
    job.write("train.py", LOADERS)
    run = owns(job, python, "train.py")
    assert (run.exit_code, run.console_text().count("[[0, 1], [4, 9]]")) == (0, 3)


# The pool that compiles for torch.compile, here without a model and a C++ compiler; then the very command by which
# torch/_inductor/cpp_builder.py tries out each library that it has built. Both carry RANK of the rank they serve.
COMPILES = """\
import operator, os, subprocess, sys
from torch._inductor.compile_worker.subproc_pool import SubprocPool

pool = SubprocPool(1)
print("compiled", pool.submit(operator.add, 1, 2).result())
pool.shutdown()
try_out = "import sys, ctypes\\nctypes.cdll.LoadLibrary('libc.so.6')\\nprint('loaded', 'wandb' in sys.modules)"
subprocess.check_call([sys.executable, "-c", try_out], env=dict(os.environ))
"""


@pytest.mark.parametrize("rank", ["0", "1"])
def test_compiling_children_open_no_run(job: Job, python: Path, rank: str) -> None:
    job.write("train.py", COMPILES)
    done = job.run(python, "train.py", environ={"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"})
    assert sorted(done.stdout.splitlines()) == ["compiled 3", "loaded False"]
    assert len(job.server.runs) == (rank == "0")


TASK = """\
import os, sys

def train(lr=1.0):
    print("trained with", lr, "in rank", os.environ.get("RANK"))
"""
# Run with -c: what starts the task here is no training.
STARTS_A_TASK = """\
import sys
sys.path.insert(0, ".")
import nemo_run as run
from work import train
launcher, = sys.argv[1:] or (None,)
executor = run.LocalExecutor(launcher=launcher, ntasks_per_node=2 if launcher else 1)
with run.Experiment("trial", executor=executor, base_dir="experiments") as experiment:
    experiment.add(run.Partial(train, lr=0.5), tail_logs=True)
    experiment.run(detach=False)
"""


def test_a_task_of_nemo_run_is_one_run(job: Job) -> None:
    nemo = python_of("nemo-run")
    job.write("work.py", TASK)
    environ = {
        "PATH": f"{nemo.parent}:{os.environ['PATH']}",
        "NEMORUN_HOME": "home",
        "PYTHONPATH": f"{job.home}:{job.directory}",
    }
    done = job.run(nemo, "-c", STARTS_A_TASK, environ=environ)
    assert "trained with 0.5 in rank None" in done.stdout + done.stderr
    run = job.server.run()
    assert (run.program, run.exit_code) == ("-m nemo_run.core.runners.fdl_runner", 0)
    assert "trained with 0.5 in rank None" in run.console_text()
