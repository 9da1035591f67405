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


# Two ranks with a share of the model each; one checkpoint of both, saved at once, and one in the background.
SHARDED = """\
import os, sys
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

torch.distributed.init_process_group("gloo")
torch.manual_seed(0)
model, mesh = torch.nn.Linear(8, 8), init_device_mesh("cpu", (2,))
if sys.argv[1] == "FSDP":
    model = FullyShardedDataParallel(model, device_mesh=mesh, device_id=torch.device("cpu"), use_orig_params=True)
else:
    fully_shard(model, mesh=mesh)
optimizer = torch.optim.AdamW(model.parameters())
for step in (1, 2, 3):
    model(torch.ones(2, 8)).sum().backward()
    optimizer.step()
    weights, moments = get_state_dict(model, optimizer)
    state = {"model": weights, "optimizer": moments}
    if step < 3:
        dcp.save(state, checkpoint_id=f"ckpts/step-{step}")
    else:
        dcp.async_save(state, checkpoint_id=f"ckpts/step-{step}").result()
dcp.load(state, checkpoint_id="ckpts/step-2")
set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
if os.environ["RANK"] == "0":
    print(sorted(name for name in os.listdir("ckpts") if name.startswith("step")))
torch.distributed.destroy_process_group()
"""


@pytest.mark.parametrize("kind", [pytest.param("FSDP", marks=pytest.mark.matrix), "fully_shard"])
def test_a_checkpoint_of_a_model_that_two_ranks_share_is_one_artifact(job: Job, kind: str) -> None:
    python = python_of("torch")
    job.write("train.py", SHARDED)
    torchrun = (python.parent / "torchrun", "--standalone", "--nproc-per-node", "2", "train.py", kind)
    plain = job.run(*torchrun, shim=False)
    shutil.rmtree(job.directory / "ckpts")
    done = job.run(*torchrun)
    assert done.stdout == plain.stdout
    run = job.server.run()
    assert run.logged_artifacts == ["ckpts:v0", "ckpts:v1", "ckpts:v2"]
    assert run.used_artifacts == ["ckpts:v1"]
    for artifact, step in zip(job.server.artifacts, (1, 2, 3), strict=True):
        assert artifact.metadata["step"] == step
        assert {"__0_0.distcp", "__1_0.distcp", ".metadata"} <= set(artifact.entries)


# A save that begins in a run and is complete after its end; one that begins in none; one in the next run.
LATE = """\
import dataclasses
import threading
import torch, wandb
import torch.distributed.checkpoint as dcp

begun, finished = threading.Event(), threading.Event()

@dataclasses.dataclass  # which makes it unhashable
class Slow(dcp.FileSystemWriter):
    path: str

    def __post_init__(self):
        super().__init__(self.path)

    def write_data(self, *args):
        begun.set()
        finished.wait()
        return super().write_data(*args)

state = {"w": torch.ones(3)}
torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=torch.distributed.HashStore())
wandb.init()
future = dcp.async_save(state, storage_writer=Slow("ckpts/step-1"))
begun.wait()
wandb.finish()
finished.set()
future.result()
dcp.save(state, checkpoint_id="ckpts/step-2")
with wandb.init():
    dcp.save(state, checkpoint_id="ckpts/step-3")
torch.distributed.destroy_process_group()
"""


def test_a_save_that_is_complete_after_the_end_of_its_run_is_logged_by_the_next_start(job: Job) -> None:
    python = python_of("frameworks")
    job.write("train.py", LATE)
    done = job.run(python, "train.py")
    assert done.stderr.count("ckpts/step-1") == 1
    assert [artifact.metadata["step"] for artifact in job.server.artifacts] == [3]
    job.write("train.py", "import torch.distributed.checkpoint as dcp\ndcp.save({'w': 1}, checkpoint_id='ckpts/4')\n")
    job.run(python, "train.py")
    assert [artifact.metadata["step"] for artifact in job.server.artifacts] == [3, 1, 4]


# The script logs its checkpoints itself, after their saves; the last one it does not.
LOGS_AFTER = """\
import pathlib, time
import torch, wandb
import torch.distributed.checkpoint as dcp

def is_committed(step):
    lines = "".join(one.read_text() for one in pathlib.Path("ckpts").glob(".wandb-shim-*")).splitlines()
    return any('"committed"' in line and f"step-{step}" in line for line in lines)

run = wandb.init()
for step in (1, 2, 3, 4):
    path = pathlib.Path(f"ckpts/step-{step}").absolute()
    dcp.save({"w": torch.ones(3)}, checkpoint_id=path, no_dist=True)
    while step == 1 and not is_committed(step):
        time.sleep(0.05)
    if step < 4:
        artifact = wandb.Artifact("mine", type="model", metadata={"step": step})
        artifact.add_reference(f"file://{path}", checksum=False)
        run.log_artifact(artifact)
"""


def test_of_a_script_that_logs_its_checkpoints_after_their_saves_only_the_first_is_there_twice(job: Job) -> None:
    job.write("train.py", LOGS_AFTER)
    job.run(python_of("frameworks"), "train.py")
    logged = sorted((artifact.metadata["step"], artifact.collection) for artifact in job.server.artifacts)
    assert logged == [(1, "ckpts"), (1, "mine"), (2, "mine"), (3, "mine"), (4, "ckpts")]


FILES = """\
import io, os, pathlib, warnings
warnings.simplefilter("always")
import torch
from site_packages import save

state = {"w": torch.ones(3)}
for name in ("model_step10.pt", "model_step20.pt", "last.pth", "last.pth", "optimizer.pt", "data.txt"):
    torch.save(state, pathlib.Path(name))
os.makedirs(".cache", exist_ok=True)
torch.save(state, ".cache/kept.pt")
torch.save(state, io.BytesIO())
torch.save(state, "old.bin", _use_new_zipfile_serialization=False)
try:
    torch.save(lambda: 0, "bad.pt")
except Exception as error:
    print(type(error).__name__)
torch.jit.save(torch.jit.script(torch.nn.ReLU()), "script.pt")
torch.load("script.pt", weights_only=False)
save(state, "of_a_library.pt")
print(torch.load("model_step10.pt")["w"], torch.save.__module__)
"""


@pytest.mark.parametrize("value", ["torch", "auto"])
def test_files_of_the_program_are_artifacts_where_that_is_asked_for(job: Job, value: str) -> None:
    python = python_of("frameworks")
    job.write("site-packages/site_packages.py", "import torch\ndef save(*args):\n    torch.save(*args)\n")
    job.write("train.py", "import sys; sys.path.append('site-packages')\n" + FILES)
    plain = job.run(python, "train.py", shim=False)
    done = job.run(python, "train.py", environ={"WANDB_SHIM_CHECKPOINTS": value})
    assert done.stdout == plain.stdout
    assert [line for line in done.stderr.splitlines() if "wandb-shim" not in line] == plain.stderr.splitlines()
    run = job.server.run()
    expected = ["model:v0", "model:v1", "last:v0", "old:v0"] if value == "torch" else []
    assert run.logged_artifacts == expected
    assert [name for name in run.used_artifacts if name.startswith("model")] == expected[:1]
