"""The run's configuration is what its script's parser has parsed, whichever that is; the script notices nothing."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.comparing import configured
from tests.environments import python_of
from tests.jobs import Job

PROGRAMS = Path(__file__).with_name("configuration.txt")


@dataclass(frozen=True)
class Row:
    """A program of configuration.txt, how it is called, and the configuration of its run.

    Attributes:
        words: Of the command line.
        args: What its parser has parsed; None where the run is to have nothing of it.
        besides: Other keys of the configuration.
        files: Beside the program.
        environ: Changes to the variables.
    """

    words: str
    args: Mapping[str, Any] | None
    besides: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        """All that the configuration has."""
        return {**({} if self.args is None else {"args": self.args}), **self.besides}


YAML = "lr: 0.5\nmodel: {size: 7, api_key: secret}\n"
ROWS: dict[str, Row] = {
    "click": Row(
        "--verbose --out o.txt fit --epochs 5 --colour RED data.csv",
        {
            "out": "o.txt",
            "hub_token": "********",
            "epochs": 5,
            "lr": 0.1,
            "colour": "RED",
            "data": "data.csv",
            "cli": {"verbose": True},
            "fit": {"verbose": False},
        },
    ),
    "click-error": Row("--lr nonsense", None),
    "typer": Row("train --epochs 5", {"seed": 1, "epochs": 5, "out": "out"}),
    "fire": Row("--size 7 fit --lr=0.5", {"size": 7, "name": "model", "lr": 0.5, "epochs": 3, "extra": []}),
    "fire-function": Row("0.5 --layers=[1,2] --momentum 0.9", {"lr": 0.5, "layers": [1, 2], "momentum": 0.9}),
    "absl": Row("--lr=0.5 --verbosity=1", {"lr": 0.5, "layers": ["1", "2"], "verbosity": 1}),
    "ml_collections": Row(
        "--config=settings.py --config.lr=0.5 --workdir=w",
        {"workdir": "w", "config": {"lr": 0.5, "model": {"size": 3, "width": 3}}},
        files={
            "settings.py": "import ml_collections\n"
            "def get_config():\n"
            "    config = ml_collections.ConfigDict({'lr': 0.1, 'model': {'size': 3}})\n"
            "    config.model.width = config.model.get_ref('size')\n"
            "    return config\n"
        },
    ),
    "ml_collections-dict": Row(
        "--config.lr=0.5 --config.model.sizes=(3,)", {"config": {"lr": 0.5, "model": {"sizes": [3], "name": "m"}}}
    ),
    "docopt": Row(
        "fit --batch-size=8 data.csv", {"fit": True, "test": False, "batch_size": "8", "lr": "0.1", "data": "data.csv"}
    ),
    "simple-parsing": Row("--lr 0.5 --seed 3", {"seed": 3, "train": {"lr": 0.5, "opt": {"name": "adam"}}}),
    "jsonargparse": Row(
        "--config c.yaml fit --model.size 9",
        {
            "config": ["c.yaml"],
            "subcommand": "fit",
            "seed": 5,
            "fit": {"model": {"class_path": "__main__.Model", "init_args": {"size": 9, "name": "m"}}},
        },
        besides={"config_file": {"seed": 5}},
        files={"c.yaml": "seed: 5\n"},
    ),
    "configargparse": Row(
        "--lr 0.5 -c settings.ini",
        {"lr": 0.5, "config": "settings.ini", "epochs": 7, "seed": 11},
        files={"settings.ini": "epochs = 7\n"},
        environ={"JOB_SEED": "11"},
    ),
    "hydra": Row(
        "lr=0.5 +extra.token=abc",
        {
            "lr": 0.5,
            "half": 0.5,
            "missing": "???",
            "nowhere": "${not.there}",
            "drawn": "${draw:}",
            "model": {"size": 3, "name": "m-3"},
            "extra": {"token": "********"},
        },
        besides={"hydra": {"overrides": ["lr=0.5", "+extra.token=********"]}},
        files={
            "conf/config.yaml": "defaults: [{model: small}, _self_]\nlr: 0.1\nhalf: ${lr}\nmissing: ???\n"
            "nowhere: ${not.there}\ndrawn: ${draw:}\n",
            "conf/model/small.yaml": "size: 3\nname: m-${.size}\n",
        },
    ),
    "omegaconf": Row("lr=0.5 model.size=3", {"lr": 0.5, "model": {"size": 3}}),
    "tyro": Row("--opt.lr 0.5 --seed 3", {"seed": 3, "opt": {"lr": 0.5, "name": "adam"}}),
    "tyro-function": Row("adam --lr 0.5", {"lr": 0.5, "name": "adam"}),
    "pydantic-settings": Row("--opt.lr 0.5", {"seed": 1, "opt": {"lr": 0.5}}),
    "pydantic-settings-class": Row("--opt.lr 0.5", {"seed": 1, "opt": {"lr": 0.5}}),
    "own words": Row("x", None),
    "config-files": Row(
        "run.yaml --more=b.json --third c.toml --pipe pipe.yaml --missing none.yaml --credentials=key.json",
        {"more": "b.json", "credentials": "********"},
        besides={
            "config_file": {
                "run.yaml": {"lr": 0.5, "model": {"size": 7, "api_key": "********"}},
                "b.json": {"a": [1]},
                "c.toml": {"b": {"c": 1}},
            }
        },
        files={"run.yaml": YAML, "b.json": '{"a": [1]}', "c.toml": "[b]\nc = 1\n", "key.json": '{"id": 1}'},
    ),
    "key-values": Row(
        "config/train.py --lr=0.5 --name=x=y --flag compile=False", {"lr": 0.5, "name": "x=y", "compile": False}
    ),
}


def programs() -> dict[str, str]:
    """Those of configuration.txt: "### name", then the text."""
    sections = PROGRAMS.read_text(encoding="utf-8").split("### ")[1:]
    return {name: text for name, _, text in (section.partition("\n") for section in sections)}


def outcome(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """Exit code, stdout, and stderr without the shim's own lines, and without its frames in tracebacks."""
    ours = r"^wandb-shim: .*\n|^  File \"[^\"]*/wandb-shim/.*\n(?:    .*\n)+"
    return done.returncode, done.stdout, re.sub(ours, "", done.stderr, flags=re.MULTILINE)


def check(job: Job, python: Path, name: str, row: Row) -> None:
    """The program does the same with the shim and without it, and its run has the configuration."""
    seen, lines = [], []
    for shim in (False, True):
        here = Job(job.directory / "job", job.home, job.server, job.environ)
        for file, text in {"train.py": programs()[name], **row.files}.items():
            here.write(file, text)
        done = here.run(python, "train.py", *row.words.split(), shim=shim, environ=row.environ, check=False)
        seen.append(outcome(done))
        lines += [line for line in done.stderr.splitlines() if line.startswith("wandb-shim: ") and ": run " not in line]
        here.directory.rename(job.directory / f"done-{shim}")
    assert seen[1] == seen[0]
    assert lines == []
    config = json.dumps(configured(job.server.run())).replace(f"{job.directory}/job/", "")
    assert json.loads(config) == row.config


@pytest.mark.parametrize("name", ROWS)
def test_what_a_parser_has_parsed_is_the_configuration(job: Job, name: str) -> None:
    check(job, python_of("parsers"), name, ROWS[name])


FRAMEWORKS: dict[str, Row] = {
    "hf-argparser": Row(
        "--size 7 --learning_rate 0.5 --hub_token abc",
        {"size": 7, "name": "m", "learning_rate": 0.5, "hub_token": "********"},
    ),
    "hf-argparser-files": Row(
        "run.json more.yaml",
        {"size": 7, "name": "m", "learning_rate": 0.5, "hub_token": "********"},
        besides={
            "config_file": {
                "run.json": {"size": 3, "hub_token": "********"},
                "more.yaml": {"size": 7, "learning_rate": 0.5},
            }
        },
        files={"run.json": '{"size": 3, "hub_token": "abc"}', "more.yaml": "size: 7\nlearning_rate: 0.5\n"},
    ),
}


@pytest.mark.matrix
@pytest.mark.xdist_group("frameworks")
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_so_is_what_the_parsers_of_frameworks_have_parsed(job: Job, name: str) -> None:
    check(job, python_of("frameworks"), name, FRAMEWORKS[name])
