"""Hugging Face's Trainer without a W&B logger: what its own would have logged, and each checkpoint as an artifact."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.comparing import VARYING, configured, steady
from tests.environments import python_of
from tests.jobs import NODE_DIES, Job
from tests.wandb_server import Fault

pytestmark = pytest.mark.xdist_group("frameworks")

# A model that learns nothing worth knowing, and is best after four steps.
PARTS = """\
import os, sys, time, torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import set_seed

class Scripted(Trainer):
    def evaluate(self, *args, **kwargs):
        found = super().evaluate(*args, **kwargs)
        return {**found, "eval_score": abs(self.state.global_step - 4)}

def trainer(**changes):
    set_seed(1)
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=16, n_positions=8))
    rows = [{"input_ids": torch.arange(8) % 16, "labels": torch.arange(8) % 16} for _ in range(12)]
    arguments = dict(
        output_dir="out-1.5b", max_steps=6, logging_steps=1, report_to="none", use_cpu=True, disable_tqdm=True,
        per_device_train_batch_size=2, save_strategy="steps", save_steps=2, hub_token="hf_secret",
    )
    arguments = TrainingArguments(**{**arguments, **changes})
    return Scripted(model=model, args=arguments, train_dataset=rows, eval_dataset=rows[:4])

def saved():
    return sorted(name for name in os.listdir("out-1.5b") if name.startswith("checkpoint"))
"""

TRAINS = """
best = trainer(
    eval_strategy="steps", eval_steps=2, save_total_limit=1, load_best_model_at_end=True, greater_is_better=False,
    metric_for_best_model="score", report_to=sys.argv[1], run_name="best",
)
callbacks = {type(callback).__name__ for callback in best.callback_handler.callbacks}
modules = {name.partition(".")[0] for name in sys.modules}
best.train()
best.predict(best.eval_dataset)
best.save_model()
print(torch.rand(1).item(), saved(), sorted(callbacks - {"WandbCallback"}), modules & {"wrapt"})
"""
# What `print` shows of the figures that are another in each run, and what wandb says.
_ANOTHER = re.compile(rf"'\w*({'|'.join(VARYING)})': [^,}}]*|.*wandb.*\n")


@pytest.fixture(scope="module")
def python() -> Path:
    return python_of("frameworks")


def versions(job: Job) -> list[tuple[int, list[str]]]:
    found = [artifact for artifact in job.server.artifacts if artifact.collection == "out-1.5b"]
    found = sorted((one for one in found if one.version is not None), key=lambda one: one.version or 0)
    return [(one.metadata["step"], sorted(one.aliases)) for one in found]


def test_the_run_has_what_the_own_logger_would_have_logged_and_the_checkpoints(job: Job, python: Path) -> None:
    job.write("train.py", PARTS + TRAINS)
    without = job.run(python, "train.py", "wandb", shim=False)
    shutil.rmtree(job.directory / "out-1.5b")
    done = job.run(python, "train.py", "none")
    native, run = job.server.runs
    assert _ANOTHER.sub("", done.stdout) == _ANOTHER.sub("", without.stdout)
    assert "['checkpoint-4']" in done.stdout
    assert done.stderr.count("wandb-shim:") == 1

    assert [steady(row) for row in run.history] == [steady(row) for row in native.history]
    assert run.summary.pop("throughput")
    assert {*run.summary} == {*native.summary}
    assert steady(run.summary) == steady(native.summary)
    assert run.config["_wandb"]["m"] == native.config["_wandb"]["m"]
    assert run.config["transformers"] == {**configured(native), "report_to": [], "hub_token": "********"}

    assert versions(job) == [
        (2, ["checkpoint-2"]),
        (4, ["best", "checkpoint-4"]),
        (6, ["checkpoint-6"]),
        (6, ["final", "latest"]),
    ]
    best = next(artifact for artifact in job.server.artifacts if "best" in artifact.aliases)
    assert {"loss", "eval_loss", "epoch"} <= {*best.metadata["metrics"]}


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("transformers.trainer_callback", "class CallbackHandler:\n    def on_log(self, args, logs): ...\n"),
        ("accelerate.accelerator", "class Accelerator:\n    def log(self, values): ...\n"),
    ],
    ids=["transformers", "accelerate"],
)
def test_an_unknown_shape_is_one_line_with_the_version(job: Job, module: str, text: str) -> None:
    package = module.partition(".")[0]
    job.write(f"{package}/__init__.py", "__version__ = '9.0'\n")
    job.write(f"{module.replace('.', '/')}.py", text)
    job.write("train.py", f"import {module}\nprint('trained')\n")
    done = job.run(python_of("wandb"), "train.py")
    assert done.stdout == "trained\n"
    assert [package in line for line in done.stderr.splitlines() if "9.0" in line] == [True]


# Killed as soon as it stands in the journal that a checkpoint was saved.
KILLED = f"""
def die():
    {NODE_DIES}
class Kill(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 2:
            while not os.path.exists("out-1.5b/_wandb-shim-checkpoints.jsonl"): time.sleep(0.01)
            die()
killed = trainer()
killed.add_callback(Kill)
killed.train()
"""
# Says which checkpoints were there when it was waited until those before have been looked at.
RESUMES = """
import importlib
channel, there = importlib.import_module("_wandb_shim.script.channel").Channel, []
ask = channel.ask
def asked(self, message, bound):
    if message.get("ask") == "settle":
        there.append(saved())
    return ask(self, message, bound)
channel.ask = asked
trainer(save_total_limit=1).train(resume_from_checkpoint=True)
print(there)
"""


def test_a_killed_job_is_resumed_from_its_input_which_is_logged_first(job: Job, python: Path) -> None:
    job.write("train.py", PARTS + KILLED)
    job.server.set_fault(Fault("hang", match="CreateArtifact$"))
    assert job.run(python, "train.py", check=False).returncode == -9
    assert versions(job) == []
    job.server.clear_faults()
    job.write("train.py", PARTS + RESUMES)
    done = job.run(python, "train.py")
    assert done.stdout.endswith("[['checkpoint-4', 'checkpoint-6'], ['checkpoint-6']]\n")
    assert versions(job) == [(2, ["checkpoint-2"]), (4, ["checkpoint-4"]), (6, ["checkpoint-6", "latest"])]
    assert job.server.runs[-1].used_artifacts == ["out-1.5b:v0"]


@pytest.mark.matrix
@pytest.mark.parametrize("log_model", ["false", "end", "checkpoint"])
def test_beside_the_own_logger_nothing_is_there_twice(job: Job, python: Path, log_model: str) -> None:
    job.write("train.py", PARTS + TRAINS)
    environ = {"WANDB_LOG_MODEL": log_model}
    job.run(python, "train.py", "wandb", shim=False, environ=environ)
    shutil.rmtree(job.directory / "out-1.5b")
    job.run(python, "train.py", "wandb", environ=environ)
    native, run = job.server.runs
    ours = [name for name in run.logged_artifacts if name.startswith("out-1.5b:")]
    assert len(ours) == {"false": 4, "end": 3, "checkpoint": 0}[log_model]
    theirs = [name for name in run.logged_artifacts if name not in ours]
    assert len(theirs) == len(native.logged_artifacts)
    assert [steady(row) for row in run.history] == [steady(row) for row in native.history]
    assert steady(run.summary) == steady(native.summary)
    assert configured(run) == configured(native)
    assert run.config["_wandb"]["m"] == native.config["_wandb"]["m"]


@pytest.mark.matrix
def test_of_two_ranks_one_logs_the_checkpoints(job: Job, python: Path) -> None:
    job.write("train.py", PARTS + 'trainer(ddp_backend="gloo").train()\n')
    job.run(python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py")
    run = job.server.run()
    assert [row["train/global_step"] for row in run.history] == [1, 2, 3, 4, 5, 6, 6]
    assert [step for step, _ in versions(job)] == [2, 4, 6]


TRL = """\
import sys
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, set_seed
from trl import SFTConfig, SFTTrainer

set_seed(1)
words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "a": 2, "b": 3}, unk_token="<pad>"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
arguments = SFTConfig(
    output_dir="out-1.5b", max_steps=2, save_steps=1, logging_steps=1, report_to=sys.argv[1], use_cpu=True,
    disable_tqdm=True, per_device_train_batch_size=2, model_init_kwargs=None, bf16=False,
)
model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=4, n_positions=8))
rows = Dataset.from_dict({"text": ["a b a", "b a b", "a a b", "b b a"]})
trainer = SFTTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
trainer.train()
trainer.save_model()
"""


@pytest.mark.matrix
def test_a_trainer_of_trl_is_one_too(job: Job) -> None:
    python = python_of("trl")
    job.write("train.py", TRL)
    job.run(python, "train.py", "wandb", shim=False)
    shutil.rmtree(job.directory / "out-1.5b")
    job.run(python, "train.py", "none")
    native, run = job.server.runs
    assert [steady(row) for row in run.history] == [steady(row) for row in native.history]
    assert run.config["transformers"].keys() == configured(native).keys()
    assert [step for step, _ in versions(job)] == [1, 2, 2]
