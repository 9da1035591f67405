"""What sitecustomize.py decides without the tables is what the tables would say."""

from __future__ import annotations

import os
import random
import runpy
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from shim import patches, process, ranks, tables
from shim.install import SOURCE

BIN = os.path.dirname(sys.executable)


@pytest.fixture(scope="module")
def cannot_own() -> Callable[..., bool]:
    """The function of a door that does not start: this process has been started already, as far as it knows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "_wandb_shim", types.ModuleType("_wandb_shim"))
        found: Callable[..., bool] = runpy.run_path(str(SOURCE / "sitecustomize.py"), run_name="door")["cannot_own"]
        return found


def decide(argv: list[str], environ: dict[str, str]) -> process.Decision:
    return process.decide(
        argv, environ, pid=os.getpid(), bin_directories=(BIN,), is_bin=lambda place: Path(place, "python3").exists()
    )


def test_the_hooks_of_every_process_are_those_of_the_table() -> None:
    source = (SOURCE / "sitecustomize.py").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    exec(source[source.index("HOOKS = {") : source.index("def find_spec")], scope)
    hooks = {module: name.removeprefix("patches.") for module, name in scope["HOOKS"].items() if "patches." in name}
    table = {module: patch.name for patch in patches.PATCHES if patch.everywhere for module in patch.modules}
    assert hooks == table


def test_each_patch_has_a_module_of_its_name_and_waits_for_modules_of_its_own() -> None:
    assert all((SOURCE / "patches" / f"{patch.name}.py").exists() for patch in patches.PATCHES)
    awaited = [module for patch in patches.PATCHES for module in patch.modules]
    assert len(awaited) == len({*awaited, "wandb"} - {"wandb"})


NUMBERS = ("", "0", "1", "2", "3", "7", "x", "-1", "4294967291")
VARIABLES: dict[str, Sequence[str]] = {
    "WANDB_SHIM_OWNED_BY": ("", "1@", f"{os.getpid()}@", "1@SLURM_JOB_ID=5", "1@SKYPILOT_TASK_ID=t"),
    "WANDB_SHIM_INIT": ("", "always", "off", "defer", "nonsense"),
    "WANDB_SHIM_OWNER": ("", "first", "last", "auto", "1", "nonsense"),
    "WANDB_SHIM_NODES": ("", "on", "off"),
    "WANDB_SHIM_TRAINS": ("", "mine", "train"),
    "WANDB_SHIM_TOOLS": ("", "yolo", "train"),
    "WANDB_MODE": ("", "disabled", "offline"),
    "SLURM_JOB_ID": ("", "5", "6"),
    "SKYPILOT_TASK_ID": ("", "t"),
    **{name: NUMBERS for row in ranks.RANK_SOURCES for name in row[1:] if name},
}
COMMAND_LINES = (
    *(["python"], ["python", "train.py"], ["python", "-c", "1"], ["python", "-m", "train"], ["python", "-i"]),
    *(["python", f"{BIN}/pip"], ["python", f"{BIN}/torchrun", "train.py"], ["python", f"{BIN}/train.py"]),
    *(["python", "-u", "train.py"], ["python", f"{BIN}/../x"], ["python", "-c", "from multiprocessing"]),
    *(["python", f"{BIN}/{name}", *words] for name in tables.TRAINING_SCRIPTS for words in ([], ["train"], ["run"])),
    *(["python", f"{BIN}/{name}", "run", "train.py"] for name in tables.WRAPPER_SCRIPTS),
    *(["python", f"{BIN}/mine", "train"], ["python", f"{BIN}/yolo", "predict"]),
)


def test_the_short_way_knows_the_names_of_the_tables() -> None:
    source = (SOURCE / "sitecustomize.py").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    exec(source[source.index("PROGRAMS = (") : source.index("# Modules to patch")], scope)
    assert set(scope["PROGRAMS"].split()) == {*tables.TRAINING_SCRIPTS, *tables.WRAPPER_SCRIPTS}


def test_whoever_leaves_at_once_would_not_have_got_a_run(cannot_own: Callable[..., bool]) -> None:
    dice = random.Random(0)
    left = 0
    for _ in range(40_000):
        names = dice.sample(sorted(VARIABLES), dice.randrange(9))
        environ = {"WANDB_PROJECT": "p", **{name: dice.choice(VARIABLES[name]) for name in names}}
        if dice.random() < 0.5:  # all of one source, which is rare otherwise
            _, rank_name, size_name, *_ = dice.choice(ranks.RANK_SOURCES)
            environ |= {rank_name: dice.choice("012"), size_name: dice.choice("1234"), "SLURM_STEP_ID": "0"}
        argv = dice.choice(COMMAND_LINES)
        if cannot_own(environ.get, argv):
            left += 1
            decision = decide(argv, environ)
            assert True not in (decision.owner, decision.depends, decision.joins), f"{argv} {environ} {decision.rule}"
    assert left > 2000


LEAVE: dict[str, tuple[list[str], dict[str, Any]]] = {
    "a command": (["python", "-c", "1"], {}),
    "a console script": (["python", f"{BIN}/pip", "install"], {}),
    "below an owner": (["python", "train.py"], {"WANDB_SHIM_OWNED_BY": "1@"}),
    "below an owner in a job of Slurm's": (
        ["python", "train.py"],
        {"WANDB_SHIM_OWNED_BY": "1@SLURM_JOB_ID=5", "SLURM_JOB_ID": "5"},
    ),
    "rank 1 of torchrun": (["python", "-u", "train.py"], {"RANK": "1", "WORLD_SIZE": "4"}),
    "rank 1 of srun": (
        ["python", "train.py"],
        {"SLURM_JOB_ID": "5", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_ID": "0"},
    ),
    "rank 1 of srun with PMI": (["python", "train.py"], {"PMI_RANK": "1", "PMI_SIZE": "4"}),
    "rank 1 of mpirun": (
        ["python", "train.py"],
        {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"},
    ),
}


@pytest.mark.parametrize("case", LEAVE)
def test_most_processes_leave_without_the_tables(case: str, cannot_own: Callable[..., bool]) -> None:
    argv, environ = LEAVE[case]
    assert cannot_own(environ.get, argv)
