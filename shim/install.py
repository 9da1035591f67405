"""Bake the shim into interpreters, and take it out again without a trace.

A base interpreter gets the stdlib door: `sitecustomize.py` in its standard library's directory, which reaches every
virtual environment made from it, before or after, and also `-E`, `-I` and an empty environment. A virtual
environment gets doors of its own (`.pth`, and `.start` for Python 3.15: PEP 829), and its base is never touched.
The shim itself lies in one home that all doors name.

`<home>/doors.json` lists every file and directory that is made. What was in the way is kept, and put back at the end.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .interpreters import InstallError, Interpreter, describe, quiet_environment
from .wrapt_source import load_wrapt

SOURCE = Path(__file__).resolve().parent
BASE_HOME = Path("/opt/wandb-shim")
DISPLACED = "wandb_shim_displaced_sitecustomize.py"
PTH_LINE = "import _wandb_shim_door\n"

_COMPILE = """
import compileall, os, sys
for path in sys.argv[1:]:
    compile = compileall.compile_dir if os.path.isdir(path) else compileall.compile_file
    compile(path, quiet=2) or sys.exit(f"{path} does not compile")
"""


@dataclass
class Door:
    """One interpreter's way to the home.

    Attributes:
        python: The interpreter's executable.
        kind: "stdlib" or "venv".
        files: What was written.
        displaced: Where a sitecustomize that was in the way is kept; "" if there was none.
    """

    python: str
    kind: str
    files: list[str] = field(default_factory=list)
    displaced: str = ""


def default_home(interpreters: list[Interpreter]) -> Path:
    """/opt/wandb-shim; where only virtual environments are named, a directory inside the first."""
    if all(interpreter.is_virtual for interpreter in interpreters):
        return Path(interpreters[0].prefix) / "share" / "wandb-shim"
    return BASE_HOME


def install(pythons: list[str], home: Path | None = None, compiled_by: Sequence[str] = ()) -> tuple[Path, list[Door]]:
    """Put the shim into its home and a door into each interpreter; doing it again changes nothing.

    Args:
        pythons: Executables.
        home: Where the shim is to lie; see `default_home`.
        compiled_by: Interpreters that get no door but make bytecode for the home, as far as they can.

    Returns:
        The home and the doors of these interpreters.

    Raises:
        InstallError: An interpreter does not work, or a directory cannot be written.
    """
    interpreters = [describe(python) for python in pythons]
    home = (home or default_home(interpreters)).absolute()
    try:
        made = [str(place) for place in home.parents if not place.exists()]
        write_home(home)
        doors, made = doors_at(home), _read(home).get("made", made)
        fresh = []
        for interpreter in interpreters:
            door = _open_door(interpreter, home)
            fresh.append(door)
            doors = [known for known in doors if known.files != door.files] + [door]
            _write_doors(home, doors, made)  # after each door: if the next one fails, this one can still be closed
    except OSError as error:
        raise InstallError(f"{error.filename} cannot be written: {error.strerror}; name another --home?") from error
    for interpreter, door in zip(interpreters, fresh, strict=True):
        if _compile(interpreter.executable, home, door.files):
            raise InstallError(f"{interpreter.executable} cannot compile {home}")
    for python in compiled_by:
        _compile(python, home)
    return home, fresh


def uninstall(home: Path) -> list[Door]:
    """Close all doors that lead to `home`, put back what they displaced, remove the home.

    Raises:
        InstallError: There is no shim at `home`, or something cannot be removed.
    """
    if not (home / "doors.json").exists():
        raise InstallError(f"no shim is installed at {home}: doors.json is missing; name its --home")
    doors, made = doors_at(home), _read(home).get("made", [])
    try:
        for door in doors:
            for file in map(Path, door.files):
                _remove_with_bytecode(file)
            if door.displaced:
                _move(Path(door.displaced), Path(door.displaced).with_name("sitecustomize.py"))
        shutil.rmtree(home)
        _remove_empty(made)
    except OSError as error:
        raise InstallError(f"{error.filename} cannot be removed: {error.strerror}") from error
    return doors


def doors_at(home: Path) -> list[Door]:
    """The doors that lead to `home`; none when nothing is installed there."""
    return [Door(**door) for door in _read(home).get("doors", ())]


def write_home(home: Path) -> None:
    """Copy the package into a home, and with it this process's own wrapt, for images that have none.

    A home without doors is for a mount into a stock image, whose PYTHONPATH then names it.
    """
    if home == SOURCE.parent:
        raise InstallError(f"{home} is where the sources are; name another --home")
    home.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.pyi")
    _mirror(SOURCE, home / "shim", ignore)
    _copy(SOURCE / "sitecustomize.py", home / "sitecustomize.py")
    try:
        wrapt = Path(load_wrapt().__file__ or "")
    except ImportError:
        return
    _mirror(wrapt.parent, home / "vendor" / "wrapt", ignore)


def _mirror(source: Path, target: Path, ignore: Any) -> None:
    """Copy a package. Files that are the same already stay untouched; modules of an older release are removed."""
    shutil.copytree(source, target, ignore=ignore, dirs_exist_ok=True, copy_function=_copy)
    for module in target.rglob("*.py"):
        if not (source / module.relative_to(target)).exists():
            _remove_with_bytecode(module)


def _copy(source: str | Path, target: str | Path) -> None:
    _write(Path(target), Path(source).read_text(encoding="utf-8"))


def _write(file: Path, text: str) -> None:
    """Write a file, unless it has this text already: bytecode is valid by the time of its source."""
    if file.is_symlink() or not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")


def _open_door(interpreter: Interpreter, home: Path) -> Door:
    if interpreter.is_virtual:
        return _open_venv_door(interpreter, home)
    return _open_stdlib_door(interpreter, home)


def _open_venv_door(interpreter: Interpreter, home: Path) -> Door:
    site_packages = Path(interpreter.purelib)
    module, pth, start = (site_packages / name for name in _VENV_FILES)
    _refuse_other_home(module, home)
    _write(module, _door_source(home, displaced=""))
    _write(pth, PTH_LINE)
    _write(start, "_wandb_shim_door:start\n")
    return Door(interpreter.executable, "venv", [str(module), str(pth), str(start)])


_VENV_FILES = ("_wandb_shim_door.py", "wandb_shim.pth", "wandb_shim.start")


def _open_stdlib_door(interpreter: Interpreter, home: Path) -> Door:
    file = Path(interpreter.stdlib) / "sitecustomize.py"
    displaced = file.with_name(DISPLACED)
    _refuse_other_home(file, home)
    if os.path.lexists(file) and _home_of_door(file) is None:
        _move(file, displaced)
    kept = str(displaced) if os.path.lexists(displaced) else ""
    _write(file, _door_source(home, kept))
    return Door(interpreter.executable, "stdlib", [str(file)], kept)


def _door_source(home: Path, displaced: str) -> str:
    """sitecustomize.py with its two constants filled in."""
    source = (SOURCE / "sitecustomize.py").read_text(encoding="utf-8")
    for name, value in (("HOME", str(home)), ("DISPLACED", displaced)):
        lines = [line for line in source.splitlines() if line.startswith(f"{name} = ")]
        source = source.replace(lines[0], f"{name} = {value!r}")
    return source


def _home_of_door(file: Path) -> Path | None:
    """The home that a door leads to; None for a file that is no door of ours."""
    if not file.is_file():
        return None
    text = file.read_text(encoding="utf-8", errors="replace")
    named = [line for line in text.splitlines() if line.startswith("HOME = ")]
    return Path(ast.literal_eval(named[0].removeprefix("HOME = "))) if '"_wandb_shim"' in text and named else None


def _refuse_other_home(file: Path, home: Path) -> None:
    other = _home_of_door(file)
    if other is not None and other != home and (other / "doors.json").exists():
        raise InstallError(f"{file} already leads to another home, {other}; uninstall that one first")


def _compile(python: str, home: Path, files: Sequence[str] = ()) -> int:
    """Let an interpreter compile a home and the modules of its door; 0 where that succeeds.

    Without bytecode each start costs ten times as much, and a read-only image never makes any.
    """
    modules = [file for file in files if file.endswith(".py")]
    places = (home / "sitecustomize.py", home / "shim")
    command = [python, "-I", "-c", _COMPILE, *map(str, places), *modules]
    return subprocess.run(command, check=False, env=quiet_environment()).returncode


def is_open(home: Path) -> bool:
    """Whether a door of this machine leads to `home`; else the home is a mount or a copy, reached by PYTHONPATH."""
    return any(_home_of_door(Path(file)) == home for door in doors_at(home) for file in door.files)


def _read(home: Path) -> dict[str, Any]:
    """The content of doors.json: the doors, and the directories above the home that were made for it."""
    file = home / "doors.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _write_doors(home: Path, doors: list[Door], made: list[str]) -> None:
    text = json.dumps({"doors": [asdict(door) for door in doors], "made": made}, indent=2)
    (home / "doors.json").write_text(text + "\n", encoding="utf-8")


def _remove_empty(directories: list[str]) -> None:
    for directory in directories:
        with contextlib.suppress(OSError):  # somebody else has put something there
            os.rmdir(directory)


def _move(file: Path, to: Path) -> None:
    """Rename a module together with its bytecode: `uninstall` must bring back both."""
    os.replace(file, to)
    for compiled in _bytecode_of(file):
        os.replace(compiled, compiled.with_name(to.stem + compiled.name.removeprefix(file.stem)))


def _remove_with_bytecode(file: Path) -> None:
    for compiled in _bytecode_of(file):
        compiled.unlink()
    file.unlink(missing_ok=True)
    cache = file.parent / "__pycache__"
    if cache.is_dir() and not any(cache.iterdir()):
        cache.rmdir()


def _bytecode_of(file: Path) -> list[Path]:
    return list((file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"))
