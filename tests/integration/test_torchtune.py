"""torchtune's loggers: what its WandBLogger would have logged, whichever of them the recipe's configuration names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.comparing import check_nothing_is_missing, configured, steady
from tests.environments import python_of
from tests.jobs import Job

pytestmark = [pytest.mark.matrix, pytest.mark.xdist_group("torchtune")]  # its environment takes minutes to make

CONFIG = """\
output_dir: out
epochs: 2
model: {width: 4, hub_token: hf_secret}
optimizer: {lr: 0.1, of: "${model.width}"}
metric_logger: {_component_: torchtune.training.metric_logging.LOGGER, log_dir: out/logs}
"""
RECIPE = """\
import sys, torch
from torchtune import config

@config.parse
def main(cfg):
    torch.manual_seed(1)
    logger = config.instantiate(cfg.metric_logger)
    logger.log_config(cfg)
    for step in range(1, 4):
        row = {"loss": torch.tensor(1 / step), "lr": cfg.optimizer.lr / step, "tokens": step * 100}
        logger.log_dict(row, step=step)
    logger.log("score", torch.tensor([0.5]), 3)
    logger.log_dict(payload={"loss": 0.125}, step=4)
    logger.close()
    print("trained", torch.rand(1).item())

main()
"""
# A writer of the recipe's own beside that of its logger.
OWN_WRITER = """\
from torch.utils.tensorboard import SummaryWriter

with SummaryWriter("own") as writer:
    writer.add_scalar("mine", 1, 7)
"""
WORDS = ("--config", "recipe.yaml", "epochs=3")


@pytest.fixture(scope="module")
def python() -> Path:
    return python_of("torchtune")


def write(job: Job, logger: str, recipe: str = RECIPE) -> None:
    settings = f"{logger}, filename: log.txt" if logger == "DiskLogger" else logger
    job.write("train.py", recipe)
    job.write("recipe.yaml", CONFIG.replace("LOGGER", settings))


@pytest.mark.parametrize("logger", ["StdoutLogger", "DiskLogger", "TensorBoardLogger"])
def test_the_rows_and_the_configuration_are_those_of_its_wandb_logger(job: Job, python: Path, logger: str) -> None:
    write(job, "WandBLogger")
    job.run(python, "train.py", *WORDS, shim=False)
    shutil.rmtree(job.directory / "out")
    write(job, logger)
    plain = job.run(python, "train.py", *WORDS, shim=False)
    done = job.run(python, "train.py", *WORDS)
    native, run = job.server.runs
    assert done.stdout == plain.stdout
    assert done.stderr.count("wandb-shim:") == 1
    assert [steady(row) for row in run.history] == [steady(row) for row in native.history]
    assert len(run.history) == 5
    run.summary.pop("throughput")
    assert steady(run.summary) == steady(native.summary)
    assert run.config["_wandb"]["m"] == native.config["_wandb"]["m"]
    theirs = configured(native)
    theirs["model"]["hub_token"] = "********"
    assert {**run.config["torchtune"], "metric_logger": None} == {**theirs, "metric_logger": None}
    assert theirs["optimizer"] == {"lr": 0.1, "of": 4}
    assert (theirs["epochs"], run.config["args"]["epochs"]) == (3, 2)


def test_beside_its_wandb_logger_nothing_is_there_twice(job: Job, python: Path) -> None:
    write(job, "WandBLogger")
    for shim in (False, True):
        job.run(python, "train.py", *WORDS, shim=shim, environ={"WANDB_NAME": "mine"})
    native, run = job.server.runs
    check_nothing_is_missing(native, run)
    assert "torchtune" not in run.config


def test_what_its_tensorboard_logger_writes_is_told_once_and_what_others_write_is_told(job: Job, python: Path) -> None:
    write(job, "TensorBoardLogger", OWN_WRITER + RECIPE)
    job.run(python, "train.py", *WORDS)
    run = job.server.run()
    # Of two writers each has a prefix, unless the second comes late.
    told = {name.removeprefix("own/") for row in run.history for name in row if not name.startswith("_")}
    assert told == {"global_step", "loss", "lr", "mine", "score", "tokens"}
    assert sum("loss" in row for row in run.history) == 4
