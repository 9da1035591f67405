"""Interpreters to bake the shim into: a copy of each Python of the machine, and twins of it that cost nothing.

A copy is 40 MB, so there is one of each a session and nothing is written to it. A twin has a binary and a standard
library directory of its own, filled with links, so a test may bake it, spoil it and throw it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import interpreters
from tests.benchmarks.counting import PROBE
from tests.environments import REPOSITORY, borrowing_environment

CONSOLE_SCRIPTS = ("pip", "torchrun")
PACKAGES = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Baked:
    """A Python before and after baking, and virtual environments of it.

    Attributes:
        plain: The interpreter without the shim.
        python: Its twin, which has the stdlib door.
        home: Where the shim lies.
        venv_before: Interpreter of a virtual environment of `python` made before it was baked.
        venv_after: The same, made afterwards.
        venv_plain: Interpreter of a virtual environment of `plain`, without a door.
        venv_door: The same with a door of its own (.pth); its home is inside it.
    """

    plain: Path
    python: Path
    home: Path
    venv_before: Path
    venv_after: Path
    venv_plain: Path
    venv_door: Path

    @property
    def minor(self) -> str:
        """The minor version, as in `interpreters.MINORS`."""
        return self.python.name.removeprefix("python")


def baked(name: str, root: Path) -> Baked:
    """The Python of that name (see `interpreters.every_python`), baked; made once in `root`, safe under pytest-xdist.

    Nothing in it may be changed: tests share it.
    """
    place = root / f"baked-{name}"
    binary = f"python{_minor(name)}"
    made = Baked(
        plain=place / "plain" / "bin" / binary,
        python=place / "baked" / "bin" / binary,
        home=place / "home",
        venv_before=place / "venv-before" / "bin" / "python",
        venv_after=place / "venv-after" / "bin" / "python",
        venv_plain=place / "venv-plain" / "bin" / "python",
        venv_door=place / "venv-door" / "bin" / "python",
    )
    root.mkdir(exist_ok=True)
    with _locked(place.with_name(f"{place.name}.lock")):
        if not (place / ".complete").exists():
            place.mkdir()
            interpreters.copied_prefix(interpreters.every_python()[name], place / "plain")
            # Not every Python of the machine comes with bytecode for all of its library, and starts are measured.
            run_quietly(made.plain, "-m", "compileall", "-qq", made.plain.parent.parent / "lib")
            twin(made.plain, place / "baked")
            for venv, of in (("venv-before", made.python), ("venv-plain", made.plain), ("venv-door", made.plain)):
                borrowing_environment(of, place / venv)
            shim("install", "--home", made.home, "--python", made.python)
            shim("install", "--python", made.venv_door)
            borrowing_environment(made.python, place / "venv-after")
            _equip(made)
            (place / ".complete").touch()
    return made


def _equip(made: Baked) -> None:
    """Put into all of them what is measured: console scripts that are long ones in name only."""
    pythons = (made.plain, made.python, made.venv_before, made.venv_after, made.venv_plain, made.venv_door)
    for python, script in itertools.product(pythons, CONSOLE_SCRIPTS):
        (python.parent / script).write_text(PROBE)
    # From 3.13 any .pth file loads encodings.utf_8_sig: one more than a virtual environment without such files has.
    (made.venv_plain.parent.parent / "lib" / made.python.name / "site-packages" / "any.pth").write_text("# nothing\n")


def shared_root(basetemp: Path) -> Path:
    """Where the baked Pythons of a test session lie: pytest-xdist's workers share them."""
    return (basetemp.parent if "PYTEST_XDIST_WORKER" in os.environ else basetemp) / "places"


def twin(python: Path, destination: Path) -> Path:
    """Make an interpreter beside another one, that shares all files with it but may be changed as if it did not.

    What is shared are the modules of the standard library, by links. Its directory is the twin's own, so is the one
    for the bytecode of top-level modules; and a sitecustomize that is a link, as on Debian, leads into the twin.
    """
    source = interpreters.describe(python)
    assert source is not None, f"{python} does not run"
    stdlib = destination / source.stdlib.relative_to(source.prefix)
    (stdlib / "__pycache__").mkdir(parents=True)
    for entry in source.stdlib.iterdir():
        if entry.name in PACKAGES:
            (stdlib / entry.name).mkdir()
        elif entry.name == "sitecustomize.py" and entry.is_symlink():
            target = destination / entry.resolve().relative_to(source.prefix)
            target.parent.mkdir(parents=True)
            target.write_bytes(entry.read_bytes())
            (stdlib / entry.name).symlink_to(target)
        elif entry.name != "__pycache__":
            (stdlib / entry.name).symlink_to(entry)
    for compiled in (source.stdlib / "__pycache__").iterdir():
        if not compiled.name.startswith("sitecustomize."):
            (stdlib / "__pycache__" / compiled.name).symlink_to(compiled)
    for shared in (source.prefix / "lib").glob("lib*"):
        (destination / "lib" / shared.name).symlink_to(shared)
    (destination / "bin").mkdir()
    for command in (source.prefix / "bin").iterdir():
        os.link(command, destination / "bin" / command.name, follow_symlinks=False)
    return destination / "bin" / source.executable.name


def stdlib_of(python: Path) -> Path:
    """The standard library's directory of a copy or a twin."""
    return python.parent.parent / "lib" / python.name


def shim(*arguments: str | Path) -> str:
    """Run `python -m shim` from the clone, and return what it printed."""
    return run_quietly(Path(sys.executable), "-m", "shim", *arguments)


def run_quietly(*command: str | Path) -> str:
    """Run a step of the preparation in the clone; bytecode is written, whatever the caller's environment says."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WANDB"))}
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def _minor(name: str) -> str:
    source = interpreters.describe(interpreters.every_python()[name])
    assert source is not None
    return source.minor


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
