"""What the shim costs a process that does not own a run, over the same process of the same Python without the shim.

In units that do not depend on how busy the machine is; `make bench` shows the time as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import interpreters
from tests.benchmarks import counting, places
from tests.benchmarks.roles import BELOW_AN_OWNER, BELOW_AN_OWNER_IN_A_JOB, RANK_1, RANK_1_OF_SRUN, TRACKED

MODULES = 2
# By the door: the one of a virtual environment is looked at twice there (CPython reads .pth files twice).
FILE_CALLS = {"stdlib": 5, "PYTHONPATH": 5, ".pth": 8}
INSTRUCTIONS = 660_000

# Each costs more than all that the shim may.
HEAVY = {
    *("wrapt", "logging", "re", "typing", "dataclasses", "pathlib", "subprocess", "importlib.util", "wandb"),
    *("threading", "json", "functools", "inspect", "importlib.metadata", "socket", "asyncio"),
}

# Processes that own no run: the words after the interpreter, and variables beside TRACKED.
PROCESSES: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "a -c command": (("-c", counting.PROBE), {}),
    "rank 1 of 4": (("train.py",), RANK_1),
    "rank 1 of 4, as a module": (("-m", "train"), RANK_1),
    "a console script": (("{bin}/pip", "--version"), {}),
    "the agent of torchrun": (("{bin}/torchrun", "--nproc-per-node", "2", "train.py"), {}),
    "rank 1 of 4 of srun": (("train.py",), RANK_1_OF_SRUN),
    "a script below the owner": (("train.py",), BELOW_AN_OWNER),
    "a script below the owner, in a scheduler's job": (("train.py",), BELOW_AN_OWNER_IN_A_JOB),
}


@dataclass(frozen=True)
class Sides:
    """The same program without the shim and with it: two interpreters, and variables that only the second gets."""

    door: str
    plain: Path
    shim: Path
    plain_environ: Mapping[str, str]
    shim_environ: Mapping[str, str]


@pytest.fixture
def environ(clean_environment: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": clean_environment["HOME"], **TRACKED}


@pytest.fixture(params=["stdlib", "PYTHONPATH", ".pth"])
def sides(request: pytest.FixtureRequest, baked: places.Baked, tmp_path: Path) -> Sides:
    if request.param == "stdlib":
        return Sides("stdlib", baked.plain, baked.python, {}, {})
    if request.param == "PYTHONPATH":
        # Any directory there costs file calls at each import, whoever put it there, and for whatever reason.
        empty = tmp_path / "empty"
        empty.mkdir()
        return Sides(
            "PYTHONPATH", baked.plain, baked.plain, {"PYTHONPATH": str(empty)}, {"PYTHONPATH": str(baked.home)}
        )
    return Sides(".pth", baked.venv_plain, baked.venv_door, {}, {})


def start(python: Path, process: str, environ: Mapping[str, str], scratch: Path) -> counting.Start:
    scratch.mkdir(exist_ok=True)
    (scratch / "train.py").write_text(counting.PROBE)
    words, variables = PROCESSES[process]
    return counting.count_start(command(python, words), {**environ, **variables}, scratch)


def command(python: Path, words: Sequence[str]) -> list[str | Path]:
    """The whole command line; `places` has put the console scripts there."""
    return [python, words[0].replace("{bin}", str(python.parent)), *words[1:]]


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_that_owns_no_run_pays_next_to_nothing(
    process: str, sides: Sides, environ: dict[str, str], tmp_path: Path
) -> None:
    plain = start(sides.plain, process, {**environ, **sides.plain_environ}, tmp_path / "plain")
    shim = start(sides.shim, process, {**environ, **sides.shim_environ}, tmp_path / "shim")
    added = shim.modules - plain.modules
    more_calls = shim.file_calls - plain.file_calls
    assert "_wandb_shim" in added
    assert not added & HEAVY
    assert len(shim.modules) - len(plain.modules) <= MODULES, added
    assert more_calls <= FILE_CALLS[sides.door]
    assert (shim.threads, shim.output) == (plain.threads, "")


@pytest.fixture(scope="session")
def one_python(places_root: Path) -> places.Baked:
    """One Python is enough for instructions: a start under callgrind takes a second."""
    found = interpreters.every_python()
    return places.baked("3.11" if "3.11" in found else next(iter(found)), places_root)


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_that_owns_no_run_executes_hardly_more_instructions(
    process: str, one_python: places.Baked, environ: dict[str, str], tmp_path: Path
) -> None:
    words, variables = PROCESSES[process]
    environ.update(variables)
    start(one_python.plain, process, environ, tmp_path)  # leaves the bytecode of train.py, where it is imported
    plain, shim = (
        counting.count_instructions(command(python, words), environ, tmp_path)
        for python in (one_python.plain, one_python.python)
    )
    assert shim - plain <= INSTRUCTIONS, f"{(shim - plain) / 1e6:.2f} million more than {plain / 1e6:.1f}"


def test_a_home_has_bytecode_for_every_python_baked(baked: places.Baked) -> None:
    tag = f"cpython-{baked.minor.replace('.', '')}"
    sources = [source for source in baked.home.rglob("*.py") if "vendor" not in source.parts]
    missing = [
        source for source in sources if not (source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc").exists()
    ]
    assert sources
    assert not missing
    assert (places.stdlib_of(baked.python) / "__pycache__" / f"sitecustomize.{tag}.pyc").exists()


def test_a_start_writes_no_file(baked: places.Baked, environ: dict[str, str], tmp_path: Path) -> None:
    def files() -> set[Path]:  # of ours: other tests start this interpreter, too, and with other options
        return {*baked.home.rglob("*"), *(places.stdlib_of(baked.python) / "__pycache__").glob("*sitecustomize*")}

    before = files()
    start(baked.python, "a -c command", environ, tmp_path / "scratch")
    assert files() == before
