"""What a script saves and loads by torch itself are artifacts and inputs of its run."""

from __future__ import annotations

import shutil

import pytest

from tests.environments import python_of
from tests.jobs import Job

pytestmark = pytest.mark.xdist_group("frameworks")

# A framework that saves by torch, and whose own patch tells of it.
ACCELERATE = """\
import torch.distributed.checkpoint as dcp

def save(state, directory):
    dcp.save(state, checkpoint_id=directory)
    dcp.load(state, checkpoint_id=directory)
"""
PROGRAM = """\
import os, threading
import torch
import torch.distributed.checkpoint as dcp
from accelerate import save

state = {"w": torch.ones(3)}
for step in (1, 2):
    dcp.save(state, checkpoint_id=f"ckpts/step-{step}")
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=torch.distributed.HashStore())
future = dcp.async_save(state, checkpoint_id="ckpts/step-3")
print(type(future).__name__, type(future.result()).__name__, len(future._done_callbacks))
dcp.save({"model": state}, storage_writer=dcp.FileSystemWriter("runs/7/model"))
dcp.save(state, checkpoint_id="last")
dcp.save(state, checkpoint_id="last")
save(state, "theirs/step-1")
dcp.load(state, checkpoint_id="ckpts/step-2")
print(sorted(name for name in os.listdir("ckpts") if name.startswith("step")), threading.active_count())
torch.distributed.destroy_process_group()
"""


def test_saved_directories_are_artifacts_and_loaded_ones_inputs(job: Job) -> None:
    python = python_of("frameworks")
    job.write("accelerate.py", ACCELERATE)
    job.write("train.py", PROGRAM)
    plain = job.run(python, "train.py", shim=False)
    for directory in ("ckpts", "last", "runs", "theirs"):
        shutil.rmtree(job.directory / directory)
    done = job.run(python, "train.py")
    assert done.stdout == plain.stdout
    assert [line for line in done.stderr.splitlines() if "wandb-shim" not in line] == plain.stderr.splitlines()
    logged = [
        (a.collection, a.metadata["step"], min(set(a.pending_aliases) - {"latest"}, default=""))
        for a in job.server.artifacts
    ]
    assert logged == [
        *(("ckpts", step, f"step-{step}") for step in (1, 2, 3)),
        ("model", 7, "7"),
        *(("last", count, "") for count in (1, 2)),
    ]
    run = job.server.run()
    assert run.logged_artifacts == ["ckpts:v0", "ckpts:v1", "ckpts:v2", "model:v0", "last:v0", "last:v1"]
    assert run.used_artifacts == ["ckpts:v1"]
