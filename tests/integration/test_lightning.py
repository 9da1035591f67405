"""Lightning without a W&B logger: what its own would have logged, and each checkpoint as an artifact."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.comparing import check_nothing_is_missing, configured, steady
from tests.environments import python_of
from tests.jobs import NODE_DIES, Job
from tests.wandb_server import Fault

pytestmark = pytest.mark.xdist_group("frameworks")

# A model whose score is best in its second epoch.
PARTS = """\
import os, pickle, sys, time, torch
import {package} as L
from {package}.callbacks import LearningRateMonitor, ModelCheckpoint
from {package}.loggers import CSVLogger, WandbLogger

class Model(L.LightningModule):
    def __init__(self, width=4, hub_token="hf_secret", names=("a", "b")):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(width, 1)

    def training_step(self, batch, index):
        loss = self.layer(batch).square().mean()
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        self.log("count", index, prog_bar=True)
        return loss

    def validation_step(self, batch, index):
        self.log("score", abs(self.current_epoch - 1.0))
        self.log("each", self.layer(batch).mean(), on_step=True)

    def test_step(self, batch, index):
        self.log("test/loss", self.layer(batch).mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def data(rows=16):
    return torch.utils.data.DataLoader(torch.ones(rows, 4), batch_size=4)

def trainer(**changes):
    L.seed_everything(1, verbose=False)
    given = dict(
        max_epochs=3, accelerator="cpu", log_every_n_steps=2, enable_model_summary=False, enable_progress_bar=False,
        logger=False, callbacks=[ModelCheckpoint("exp-1.5b/checkpoints", monitor="score", save_last=True)],
    )
    return L.Trainer(**{{**given, **changes}})

def kept(place="exp-1.5b/checkpoints"):
    return sorted(name for name in os.listdir(place) if not name.startswith("."))
"""
TRAINS = """
logger = {"none": False, "wandb": None}.get(sys.argv[1])
logger = WandbLogger(project="theirs", name="mine") if logger is None else logger
one = trainer(logger=logger)
one.fit(Model(), data(), data(8))
one.test(dataloaders=data(8), ckpt_path="best")
trainer(fast_dev_run=True, callbacks=[]).fit(Model(), data(), data())
one.save_checkpoint("by-hand.ckpt")
pickle.dumps(one.callback_metrics)
print(kept(), [type(callback).__name__ for callback in one.callbacks], torch.rand(1).item())
print({name.partition(".")[0] for name in sys.modules} & {"wrapt"}, one.loggers if logger is False else "")
"""


@pytest.fixture(scope="module")
def python() -> Path:
    return python_of("frameworks")


def versions(job: Job, collection: str) -> list[tuple[int, list[str]]]:
    found = [artifact for artifact in job.server.artifacts if artifact.collection == collection]
    found = sorted((one for one in found if one.version is not None), key=lambda one: one.version or 0)
    return [(one.metadata["step"], sorted(one.aliases)) for one in found]


def parts(package: str = "lightning.pytorch") -> str:
    return PARTS.format(package=package)


def own_words(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if "wandb" not in line)


def test_the_run_has_what_the_own_logger_would_have_logged_and_the_checkpoints(job: Job, python: Path) -> None:
    job.write("train.py", parts() + TRAINS)
    job.run(python, "train.py", "wandb", shim=False)
    shutil.rmtree(job.directory / "exp-1.5b")
    plain = job.run(python, "train.py", "none", shim=False)
    shutil.rmtree(job.directory / "exp-1.5b")
    done = job.run(python, "train.py", "none")
    native, run = job.server.runs
    assert done.stdout == plain.stdout
    assert "['epoch=1-step=8.ckpt', 'last.ckpt']" in done.stdout
    assert own_words(done.stderr) == own_words(plain.stderr)
    assert done.stderr.count("wandb-shim:") == 1

    assert [steady(row) for row in run.history] == [steady(row) for row in native.history]
    assert len(run.history) > 10
    run.summary.pop("throughput", None)
    assert steady(run.summary) == steady(native.summary)
    assert run.config["_wandb"]["m"] == native.config["_wandb"]["m"]
    theirs = {**configured(native), "hub_token": "********"}
    assert run.config["lightning"] == theirs
    assert versions(job, "exp-1.5b") == [
        (4, ["epoch-0-step-4"]),
        (4, []),
        (8, ["best", "epoch-1-step-8"]),
        (8, ["last", "latest"]),
    ]
    assert versions(job, "train") == [(12, ["by-hand", "latest"])]
    best = next(artifact for artifact in job.server.artifacts if "best" in artifact.aliases)
    assert best.metadata["metrics"]["score"] == 0.0
    assert best.metadata["metrics"]["epoch"] == 1
    assert run.used_artifacts == []


# Killed as soon as it stands in the journal that both checkpoints of an epoch were saved.
KILLED = f"""
def die():
    {NODE_DIES}
class Kill(L.Callback):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch:
            journal = "exp-1.5b/checkpoints/.wandb-shim-checkpoints.jsonl"
            while not os.path.exists(journal) or "last.ckpt" not in open(journal).read(): time.sleep(0.01)
            die()
one = trainer()
one.callbacks.append(Kill())
one.fit(Model(), data(), data(8))
"""
# Of two callbacks each has a best one of its own; and "last" is a link.
RESUMES = """
both = [
    ModelCheckpoint("exp-1.5b/checkpoints", monitor="score", save_last="link"),
    ModelCheckpoint("exp-1.5b/checkpoints", "least-{step}", monitor="count", mode="min"),
]
first = "exp-1.5b/checkpoints/epoch=0-step=4.ckpt"
trainer(callbacks=both, max_epochs=2).fit(Model(), data(), data(8), ckpt_path=first)
print(os.path.islink("exp-1.5b/checkpoints/last-v1.ckpt"), kept())
"""


def test_a_killed_job_is_resumed_from_its_input_which_is_logged_first(job: Job, python: Path) -> None:
    job.write("train.py", parts("pytorch_lightning") + KILLED)
    job.server.set_fault(Fault("hang", match="CreateArtifact$"))
    assert job.run(python, "train.py", check=False).returncode == -9
    assert versions(job, "exp-1.5b") == []
    job.server.clear_faults()
    job.write("train.py", parts("pytorch_lightning") + RESUMES)
    done = job.run(python, "train.py")
    assert job.server.runs[-1].used_artifacts == ["exp-1.5b:v0"]
    assert done.stdout.startswith("True ['epoch=0-step=4.ckpt', 'epoch=1-step=8.ckpt', 'last-v1.ckpt', 'last.ckpt'")
    assert versions(job, "exp-1.5b") == [
        (4, ["epoch-0-step-4"]),
        (4, []),
        (8, ["best", "epoch-1-step-8", "last", "last-v1"]),
        (8, ["best-count", "latest", "least-step-8"]),
    ]


BESIDE = """
logger = WandbLogger(project="theirs", name="mine", log_model={log_model!r})
one = trainer(logger=logger)
one.fit(Model(), data(), data(8))
one.save_checkpoint("by-hand.ckpt")
"""


@pytest.mark.matrix
@pytest.mark.parametrize(("log_model", "ours"), [(False, 4), (True, 0), ("all", 0)])
def test_beside_the_own_logger_nothing_is_there_twice(job: Job, python: Path, log_model: object, ours: int) -> None:
    job.write("train.py", parts() + BESIDE.format(log_model=log_model))
    job.run(python, "train.py", shim=False)
    shutil.rmtree(job.directory / "exp-1.5b")
    job.run(python, "train.py")
    native, run = job.server.runs
    assert len(versions(job, "exp-1.5b")) == ours
    assert len(versions(job, "train")) == 1
    run.logged_artifacts[:] = [name for name in run.logged_artifacts if name.startswith("model-")]
    check_nothing_is_missing(native, run)
    assert "lightning" not in run.config


# The default logger and directories, a file that is written in the background, and a search for the learning rate.
OTHERWISE = """
from {package}.plugins.io import AsyncCheckpointIO
from {package}.tuner import Tuner
one = L.Trainer(
    max_epochs=1, accelerator="cpu", log_every_n_steps=2, enable_model_summary=False, enable_progress_bar=False,
    plugins=[AsyncCheckpointIO()], callbacks=[LearningRateMonitor("step")],
)
model = Model()
model.lr = 0.1
Tuner(one).lr_find(model, data(), data(8), num_training=5, update_attr=False)
one.fit(model, data(), data(8))
two = trainer(callbacks=[], max_epochs=1, enable_checkpointing=False)
Tuner(two).lr_find(model, data(), data(8), num_training=5, update_attr=False)
"""


@pytest.mark.matrix
def test_what_is_written_later_is_logged_later_and_what_is_tried_out_is_not(job: Job, python: Path) -> None:
    package = "lightning.pytorch"
    job.write("train.py", parts(package) + OTHERWISE.format(package=package))
    job.run(python, "train.py")
    run = job.server.run()
    assert [row["trainer/global_step"] for row in run.history if "train/loss_step" in row] == [1, 3]
    assert versions(job, "train") == [(4, ["best", "epoch-0-step-4", "latest"])]
    assert run.logged_artifacts == ["train:v0"]


@pytest.mark.matrix
def test_of_two_ranks_one_logs_the_checkpoints(job: Job, python: Path) -> None:
    job.write("train.py", parts() + 'trainer(strategy="ddp", devices=2).fit(Model(), data(), data(8))\n')
    job.run(python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py")
    run = job.server.run()
    assert [row["trainer/global_step"] for row in run.history if "train/loss_step" in row] == [1, 3, 5]
    assert [step for step, _ in versions(job, "exp-1.5b")] == [2, 2, 4, 4]


# By a file and words; what the command line does not say is in the configuration, too.
CLI = """
from lightning.pytorch.cli import LightningCLI

class Data(L.LightningDataModule):
    def __init__(self, rows: int = 16):
        super().__init__()
        self.rows = rows

    def train_dataloader(self):
        return data(self.rows)

class Plain(Model):
    def __init__(self, width: int = 1, rate: float = 0.1, hub_token: str = "hf_secret"):
        super().__init__(width, hub_token)

    validation_step = None

LightningCLI(Plain, Data, seed_everything_default=1)
print("trained", torch.rand(1).item())
"""
CLI_CONFIG = """\
trainer:
  max_epochs: 2
  accelerator: cpu
  log_every_n_steps: 2
  enable_checkpointing: false
  enable_progress_bar: false
  enable_model_summary: false
"""


def test_a_command_line_of_lightning_is_the_configuration_and_its_metrics_are_rows(job: Job, python: Path) -> None:
    job.write("train.py", parts() + CLI)
    job.write("cli.yaml", CLI_CONFIG)
    words = ("fit", "--config", "cli.yaml", "--model.width=4", "--data.rows", "12")
    logger = ("--trainer.logger=WandbLogger", "--trainer.logger.project=theirs", "--trainer.logger.name=mine")
    printed = []
    for shim, more in ((False, logger), (False, ("--trainer.logger=false",)), (True, ("--trainer.logger=false",))):
        printed.append(job.run(python, "train.py", *words, *more, shim=shim).stdout)
        for config in job.directory.glob("**/config.yaml"):
            config.unlink()
    native, run = job.server.runs
    assert printed[2] == printed[1]
    assert [steady(row) for row in run.history] == [steady(row) for row in native.history]
    assert len(run.history) == 5
    assert run.config["lightning"] == {**configured(native), "hub_token": "********"}
    args = run.config["args"]
    assert (args["subcommand"], args["fit"]["seed_everything"]) == ("fit", 1)
    assert args["fit"]["model"] == {"width": 4, "rate": 0.1, "hub_token": "********"}
    assert args["fit"]["data"] == {"rows": 12}
    given = {name: args["fit"]["trainer"][name] for name in ("max_epochs", "log_every_n_steps", "logger", "devices")}
    assert given == {"max_epochs": 2, "log_every_n_steps": 2, "logger": False, "devices": "auto"}
