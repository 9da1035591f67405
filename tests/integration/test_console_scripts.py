"""Console scripts that train by themselves, and profilers that run a program in their own process."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from shim import tables
from tests.environments import python_of
from tests.jobs import Job

# The arguments with which each trains; of two spellings one is left out.
ARGUMENTS = {
    "llamafactory-cli": "train c.yaml",
    "lmf": "train c.yaml",
    "tune": "run recipe --config c",
    "yolo": "detect train data=d.yaml",
    "oumi": "train -c c.yaml",
    "lm_eval": "--model hf --tasks t",
    "lerobot-train": "--policy.type=act",
    "litgpt": "finetune_lora m",
    "ns-train": "nerfacto --data d",
    "nnUNetv2_train": "1 3d_fullres 0",
    "nnUNet_train": "3d_fullres x 1 0",
    "fairseq-train": "data-bin/wmt",
    "fairseq-hydra-train": "task.data=d",
    "ludwig": "train --config c",
    "axolotl": "train c.yml --launcher python",
    "spacy": "train c.cfg",
    "rasa": "train",
    "rl_zoo3": "train --algo ppo",
}
IN_THE_GATE = ("yolo", "lerobot-train")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment with a console script of each name, which does nothing but say that it was called."""
    place = tmp_path / "venv"
    python = python_of("wandb-3.12")
    subprocess.run([python, "-m", "venv", "--without-pip", "--system-site-packages", place], check=True)
    asked: list[str | Path] = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    (place / "lib" / "python3.12" / "site-packages" / "packages.pth").write_text(packages)
    for name in tables.TRAINING_SCRIPTS:
        script = place / "bin" / name
        script.write_text(f"#!{place}/bin/python\nimport sys\nprint('trained', sys.argv[1:])\n")
        script.chmod(0o755)
    return place


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in IN_THE_GATE else pytest.mark.matrix) for name in ARGUMENTS]
)
def test_a_console_script_that_trains_is_one_run_alone_and_of_two_ranks(job: Job, venv: Path, name: str) -> None:
    words: list[str | Path] = [venv / "bin" / name, *ARGUMENTS[name].split()]
    done = job.run(*words)
    assert done.stdout == f"trained {ARGUMENTS[name].split()}\n"
    run = job.server.run()
    assert (Path(run.program).name, run.exit_code) == (name, 0)
    ranks = [{"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)} for rank in (0, 1)]
    for rank in ranks:
        job.run(venv / "bin" / "python", "-u", *words, environ=rank)
    assert len(job.server.runs) == 2, "the first rank's, and no other"
    helped = job.run(*words, "--help")
    assert "trained" in helped.stdout
    assert len(job.server.runs) == 2


def test_what_else_they_do_opens_no_run(job: Job, venv: Path) -> None:
    for words in (("yolo", "predict"), ("spacy", "download", "en"), ("axolotl", "train", "c.yml"), ("tune", "ls")):
        job.run(venv / "bin" / words[0], *words[1:])
    assert job.server.runs == []


PROFILERS = {
    "memray": "memray run -q -f -o out.bin train.py --lr 1",
    "pyinstrument": "pyinstrument -r json -o out.json train.py --lr 1",
    "viztracer": "viztracer --quiet -o out.json -- train.py --lr 1",
    "kernprof": "kernprof -q -o out.lprof train.py --lr 1",
    "coverage": "coverage run train.py --lr 1",
    "memray as a module": "python -m memray run -q -f -o out.bin train.py --lr 1",
}


@pytest.mark.parametrize("name", PROFILERS)
def test_a_program_under_a_profiler_is_one_run(job: Job, name: str) -> None:
    job.write("train.py", "import sys\nprint('trained', sys.argv[1:])\n")
    tools = python_of("profilers").parent
    command, *words = PROFILERS[name].split()
    plain = job.run(tools / command, *words, shim=False)
    done = job.run(tools / command, *words)
    assert done.stdout == plain.stdout
    assert "trained ['--lr', '1']" in job.server.run().console_text()
    assert job.server.run().exit_code == 0
    job.run(tools / command, *words[:-3], "-m", "json.tool", "--help", check=False)
    assert len(job.server.runs) == 1


SPACY_DATA = """\
import spacy
from spacy.tokens import DocBin
nlp = spacy.blank("en")
docs = DocBin()
for text, label in (("good", 1.0), ("bad", 0.0)) * 8:
    doc = nlp.make_doc(text)
    doc.cats = {"POSITIVE": label, "NEGATIVE": 1 - label}
    docs.add(doc)
docs.to_disk("data.spacy")
"""


@pytest.mark.matrix
def test_spacy_trains_in_one_run(job: Job) -> None:
    python = python_of("spacy")
    job.write("data.py", SPACY_DATA)
    job.run(python, "data.py", shim=False)
    job.run(python, "-m", "spacy", "init", "config", "c.cfg", "--pipeline", "textcat", "--lang", "en", shim=False)
    words = ("train", "c.cfg", "--paths.train", "data.spacy", "--paths.dev", "data.spacy", "--training.max_steps", "4")
    job.run(python.with_name("spacy"), *words, timeout=200)
    job.run(python, "-m", "spacy", *words, timeout=200)
    job.run(python, "-m", "spacy", "validate", check=False)
    first, second = job.server.runs
    assert ["LOSS TEXTCAT" in run.console_text().upper() for run in (first, second)] == [True, True]
    assert [run.exit_code for run in (first, second)] == [0, 0]


# Without the hub: the first reads files of the job's directory alone, the second never asks.
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

LM_EVAL_TASK = """\
task: tiny
dataset_path: json
dataset_kwargs: {data_files: {test: data.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
doc_to_choice: ["yes", "no"]
metric_list: [{metric: acc}]
"""


@pytest.mark.matrix
def test_lm_eval_evaluates_in_one_run(job: Job) -> None:
    python = python_of("lm-eval")
    job.write("tiny.yaml", LM_EVAL_TASK)
    job.write("data.jsonl", '{"q": "is it?", "a": 0}\n' * 4)
    words = ("--model", "dummy", "--tasks", "tiny", "--include_path", ".")
    for command in ((python.with_name("lm_eval"), *words), (python, "-m", "lm_eval", *words)):
        done = job.run(*command, environ=OFFLINE, timeout=300)
        assert "|tiny" in done.stdout
    job.run(python.with_name("lm-eval"), "ls", "tasks", "--include_path", ".", environ=OFFLINE, timeout=300)
    assert [run.exit_code for run in job.server.runs] == [0, 0]
    assert all("|tiny" in run.console_text() for run in job.server.runs)


LITGPT_MODEL = """\
import json
from pathlib import Path
import torch
from litgpt import GPT, Config
from litgpt.utils import save_config
from tokenizers import Tokenizer, models, pre_tokenizers
place = Path("model")
place.mkdir()
sizes = dict(block_size=64, vocab_size=64, padded_vocab_size=64, n_layer=1, n_head=2, n_embd=8, intermediate_size=16)
config = Config(name="tiny", **sizes)
torch.save(GPT(config).state_dict(), place / "lit_model.pth")
save_config(config, place)
words = ["[UNK]", "<s>", "</s>", *map(chr, range(97, 123))]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
tokenizer.save(str(place / "tokenizer.json"))
told = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "of our own"}
(place / "tokenizer_config.json").write_text(json.dumps(told))
Path("data.json").write_text(json.dumps([{"instruction": "say a", "input": "", "output": "a a"}] * 8))
"""
LITGPT = (
    "finetune_full model --data JSON --data.json_path data.json --data.val_split_fraction 0.25 --data.num_workers 0 "
    "--precision 32-true --devices 1 --train.max_steps 2 --train.epochs 1 --train.max_seq_length 32 --out_dir out "
    "--train.micro_batch_size 1 --train.global_batch_size 1 --eval.max_iters 1 --eval.max_new_tokens 1 "
    "--eval.initial_validation false --eval.final_validation false"
)


@pytest.mark.matrix
def test_litgpt_finetunes_in_one_run(job: Job) -> None:
    python = python_of("litgpt")
    job.write("model.py", LITGPT_MODEL)
    job.run(python, "model.py", shim=False, timeout=300)
    job.run(python.with_name("litgpt"), *LITGPT.split(), environ=OFFLINE, timeout=300)
    job.run(python.with_name("litgpt"), "finetune_full", "--help", environ=OFFLINE, timeout=300)
    job.run(python.with_name("litgpt"), "chat", "nowhere", environ=OFFLINE, timeout=300, check=False)
    run = job.server.run()
    assert (Path(run.program).name, run.exit_code) == ("litgpt", 0)
    assert "iter 2 step 2" in run.console_text()
