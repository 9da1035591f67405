"""fastai and Ultralytics in scripts that never mention W&B: the rows of their own W&B callbacks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from tests.comparing import configured, steady
from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Run

pytestmark = [pytest.mark.matrix, pytest.mark.xdist_group("rl-vision")]

FASTAI = """\
import hashlib, pickle, torch
from fastai.learner import Learner
from fastai.data.core import DataLoaders
from fastai.metrics import mae
from fastai.torch_core import set_seed
native = {native}
callbacks = []
if native:
    import wandb
    from fastai.callback.wandb import WandbCallback
    wandb.init(project="theirs", name="mine")
    callbacks = [WandbCallback(log_preds=False)]
import fastai.callback.schedule

set_seed(3)
x = torch.randn(40, 3)
data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
loaders = DataLoaders.from_dsets(data, data, bs=10, device="cpu")
learner = Learner(loaders, torch.nn.Linear(3, 1), loss_func=torch.nn.MSELoss(), metrics=mae, cbs=callbacks)
if native:
    learner.gather_args = dict  # of a data set that is none of fastai's it fails
with learner.no_bar(), learner.no_logging():
    learner.lr_find(num_it=4, show_plot=False)
    learner.fit(2, 1e-2)
    learner.fit_one_cycle(1, 1e-2)
    print("same", learner.validate(), len(learner.cbs), learner.recorder.values)
weights = b"".join(value.numpy().tobytes() for value in learner.model.state_dict().values())
print("same", hashlib.sha256(weights).hexdigest(), torch.rand(1).item())
copy = pickle.loads(pickle.dumps(learner.model))
print("same", len(pickle.dumps(learner.recorder)), torch.equal(copy(x), learner.model(x)))
"""

# All that Ultralytics' detectors use of torchvision, whose wheels are of CUDA and do not load beside a torch without.
TORCHVISION = """\
import sys, torch

__version__ = "0.28.0"
ops = sys.modules["torchvision.ops"] = sys.modules[__name__]

def nms(boxes, scores, threshold):
    kept, left = [], scores.argsort(descending=True)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low, high = torch.maximum(boxes[best, :2], boxes[left, :2]), torch.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = (high - low).clamp(0).prod(1)
        left = left[shared / (areas[best] + areas[left] - shared) <= threshold]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.long)
"""

# Eight pictures of noise, and a font that it would download.
PICTURES = """\
import os, pathlib, shutil, matplotlib, numpy
config = pathlib.Path("config", "Ultralytics")
config.mkdir(parents=True, exist_ok=True)
shutil.copyfile(pathlib.Path(matplotlib.__file__).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf", config / "Arial.ttf")
from PIL import Image
dice = numpy.random.default_rng(0)
for number in range(8):
    for folder in ("images", "labels"):
        pathlib.Path("data", folder).mkdir(parents=True, exist_ok=True)
    picture = dice.integers(0, 255, (32, 32, 3), dtype="uint8")
    Image.fromarray(picture).save(f"data/images/{number}.png")
    pathlib.Path(f"data/labels/{number}.txt").write_text("0 0.5 0.5 0.4 0.4\\n")
names = ("train: images", "val: images", "names: [thing]")
pathlib.Path("data.yaml").write_text("\\n".join((f"path: {os.path.abspath('data')}", *names)))
"""

ULTRALYTICS = """\
import hashlib, os
from ultralytics import YOLO, settings
settings.update({{"wandb": {native}, "sync": False}})
model = YOLO("yolov8n.yaml", verbose=False)
model.train(
    data="data.yaml", epochs=2, imgsz=32, batch=4, device="cpu", workers=0, plots=False, seed=3, amp=False,
    project=os.path.abspath("runs"), name="mine", exist_ok=True, verbose=False,
)
weights = b"".join(value.numpy().tobytes() for value in model.model.state_dict().values())
callbacks = sorted((name, len(held)) for name, held in model.trainer.callbacks.items())
print("same", hashlib.sha256(weights).hexdigest(), callbacks)
"""

# What is left out: what W&B's callbacks measure themselves.
LEFT_OUT = ("train_samples_per_sec", "model/parameters", "model/GFLOPs", "model/speed_PyTorch(ms)")


def rows(run: Run) -> list[dict[str, Any]]:
    found = [{name: value for name, value in steady(row).items() if name not in LEFT_OUT} for row in run.history]
    return [row for row in found if row.keys() - {"_step"}]  # fastai's callback logs one of nothing at the end


def prepare(job: Job) -> dict[str, str]:
    """Lay out what Ultralytics needs; the variables that name it."""
    job.write("stand_in/torchvision.py", TORCHVISION)
    job.write("pictures.py", PICTURES)
    job.run(python_of("rl-vision"), "pictures.py", shim=False)
    path = f"{job.home}{os.pathsep}{job.directory / 'stand_in'}"
    return {"YOLO_CONFIG_DIR": str(job.directory / "config"), "YOLO_OFFLINE": "true", "PYTHONPATH": path}


def compare(job: Job, program: str, environ: Mapping[str, str]) -> tuple[Run, Run]:
    """Run it in all four ways; return the run with the library's W&B callback, and that of the plain program."""
    python = python_of("rl-vision")
    with_it = {"OMP_NUM_THREADS": "1", **environ}
    without = {**with_it, "WANDB_SHIM": "off"}
    job.write("native.py", program.format(native=True))
    job.write("plain.py", program.format(native=False))
    job.run(python, "native.py", environ=without)
    plain = job.run(python, "plain.py", environ=without)
    done = job.run(python, "plain.py", environ=with_it)
    said, expected = (
        [line for line in text.splitlines() if line.startswith("same ")] for text in (done.stdout, plain.stdout)
    )  # around them are times
    assert said == expected
    assert said
    job.run(python, "native.py", environ=with_it)
    native, ours, both = job.server.runs
    assert rows(ours) == rows(native)
    assert rows(both) == rows(native)
    assert configured(both) == configured(native)
    return native, ours


def test_fastais_rows_are_those_of_its_own_callback(job: Job) -> None:
    _, ours = compare(job, FASTAI, {})
    config = configured(ours)["fastai"]
    assert len(ours.history) == 12
    assert (config["batch size"], config["model parameters"], config["model"]) == (10, 4, "Linear")
    assert (config["n_epoch"], config["metrics"]) == (1, ["mae"])


def test_ultralytics_rows_are_those_of_its_own_callback(job: Job) -> None:
    native, ours = compare(job, ULTRALYTICS, prepare(job))
    theirs, config = configured(native), configured(ours)["ultralytics"]
    assert {name: config[name] for name in theirs} == theirs
    assert len(ours.history) >= 3
