"""Frameworks with a W&B logger of their own: one run, in the job's project, in which nothing that they log is missing.

Each program runs twice, without the shim and with it, and what the server received is compared.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.comparing import check_nothing_is_missing
from tests.environments import python_of
from tests.jobs import Job

TRANSFORMERS = """\
import sys, torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
from transformers.trainer_utils import set_seed
set_seed(1)
model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=16, n_positions=8))
rows = [{"input_ids": torch.arange(8) % 16, "labels": torch.arange(8) % 16} for _ in range(12)]
arguments = TrainingArguments(
    output_dir="out", max_steps=4, logging_steps=1, report_to="wandb", run_name="from-hf", use_cpu=True,
    save_strategy="no", per_device_train_batch_size=2, disable_tqdm=True,
)
Trainer(model=model, args=arguments, train_dataset=rows).train()
"""

LIGHTNING = """\
import torch, lightning
from lightning.pytorch.loggers import WandbLogger

class Model(lightning.LightningModule):
    def __init__(self, width=4):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(width, 1)

    def training_step(self, batch, index):
        loss = self.layer(batch).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

lightning.seed_everything(1)
logger = WandbLogger(name="from-lightning", project="theirs", tags=["l"], group="g", job_type="fit", config={"lr": 0.1})
trainer = lightning.Trainer(
    max_epochs=2, logger=logger, accelerator="cpu", log_every_n_steps=1, enable_progress_bar=False,
    enable_model_summary=False, enable_checkpointing=False,
)
trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(6, 4), batch_size=3))
"""

ACCELERATE = """\
from accelerate import Accelerator
accelerator = Accelerator(log_with="wandb", cpu=True)
accelerator.init_trackers(
    "theirs", config={"lr": 0.1}, init_kwargs={"wandb": {"name": "from-accelerate", "tags": ["a"], "notes": "n"}}
)
for step in range(3):
    accelerator.log({"loss": 1.0 / (step + 1)}, step=step)
accelerator.end_training()
"""

# nemo_rl/utils/logger.py, WandbLogger: the settings of the recipe, and the directory of the experiment.
NEMO_RL = """\
import os, wandb
os.makedirs("logs/exp_001/wandb", exist_ok=True)
run = wandb.init(**{"project": "grpo-dev", "name": "from-nemo-rl"}, dir="logs/exp_001/wandb")
run.define_metric("train/*", step_metric="train/step")
run.config.update({"policy": {"lr": 1e-6}, "grpo": {"num_prompts": 2}})
for step in range(3):
    run.log({"train/loss": 1.0 / (step + 1), "train/step": step})
"""

GUARDED = """\
import wandb
if wandb.run is None:
    wandb.init(project="theirs", name="guarded", config={"lr": 1}, job_type="train", save_code=True)
wandb.define_metric("loss", summary="min")
for loss in (3, 1, 2):
    wandb.log({"loss": loss})
wandb.run.summary["done"] = True
"""

PROGRAMS = {
    "transformers": TRANSFORMERS,
    "lightning": LIGHTNING,
    "accelerate": ACCELERATE,
    "nemo-rl": NEMO_RL,
    "guarded": GUARDED,
}


@pytest.fixture
def python() -> Path:
    return python_of("frameworks")


@pytest.mark.xdist_group("frameworks")
@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_framework_logs_is_all_in_the_one_run(job: Job, python: Path, program: str) -> None:
    job.write("train.py", PROGRAMS[program])
    job.run(python, "train.py", shim=False)
    job.run(python, "train.py")
    native, run = job.server.runs
    check_nothing_is_missing(native, run)


# As nanoGPT does: torch first, wandb late, in the first rank alone, under a project of its own.
NANO = """\
import os, sys
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(1337 + rank)
config = {"batch_size": 2, "learning_rate": 1e-3}
weights = torch.ones(4)
if rank == 0:
    import wandb
    wandb.init(project="owt", name="gpt2", config=config)
for iteration in range(4):
    loss = weights.sum() * (iteration + 1) / 10
    dist.all_reduce(loss)
    if rank == 0:
        wandb.log({"iter": iteration, "train/loss": loss.item()})
dist.destroy_process_group()
"""


@pytest.mark.xdist_group("frameworks")
def test_a_job_of_two_ranks_that_calls_init_late_is_one_run(job: Job, python: Path) -> None:
    job.write("train.py", NANO)
    torchrun = (python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py")
    job.run(*torchrun, shim=False)
    done = job.run(*torchrun)
    native, run = job.server.runs
    check_nothing_is_missing(native, run)
    assert (native.project, run.display_name, run.config["learning_rate"]) == ("owt", "gpt2", 1e-3)
    assert done.stderr.count("stays in project 'proj'") == 1
