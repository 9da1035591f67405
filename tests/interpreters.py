"""The interpreters that the tests run on: CPython 3.10 to 3.13 wherever this machine keeps them, and Debian's own.

The shim is one thing per interpreter (its doors lie in the interpreter's directories), so "works on 3.12" is only
shown by 3.12. Tests never touch an interpreter of the machine: `copied_prefix` makes one that they may ruin.
"""

from __future__ import annotations

import functools
import glob
import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MINORS = ("3.10", "3.11", "3.12", "3.13")

# Debian's and Ubuntu's own interpreter. Its stdlib directory holds a sitecustomize, which hides any in site-packages.
SYSTEM = Path("/usr/bin/python3")

# What a copy leaves out, to stay small: tests of the standard library, what is for people or for compilers, the
# packages that someone installed, and bytecode for -O. Nothing that `venv` or `ensurepip` needs.
LEFT_OUT = (
    "test",
    "tests",
    "idle_test",
    "idlelib",
    "turtledemo",
    "config-*",
    "site-packages",
    "dist-packages",
    "*.opt-[12].pyc",
    "*.a",
)

_PROBE = """
import json, os, sys
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    "version": sys.version_info[:3],
    "prefix": os.path.realpath(sys.base_prefix),
    "stdlib": os.path.realpath(os.path.dirname(os.__file__)),
    "usual": [sys.implementation.name, sys.version_info[3], sys.abiflags] == ["cpython", "final", ""],
}))
"""


class NoInterpreterError(RuntimeError):
    """The machine has no interpreter that the tests could use; the message says where they looked."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A base interpreter, never that of a virtual environment, with all links resolved.

    Attributes:
        executable: The binary.
        version: Its version, for example (3, 11, 7).
        prefix: Its `sys.base_prefix`.
        stdlib: The directory of `os.py`, where the stdlib door goes.
        usual: Whether it is a released CPython, neither free-threaded nor a debug build.
    """

    executable: Path
    version: tuple[int, int, int]
    prefix: Path
    stdlib: Path
    usual: bool

    @property
    def minor(self) -> str:
        """Its minor version, as in `MINORS`."""
        return f"{self.version[0]}.{self.version[1]}"


@functools.cache
def describe(python: Path) -> Interpreter | None:
    """The base interpreter behind a command; None where it does not run (a pyenv shim without its version)."""
    try:
        # -I -S: whatever is installed there has no say in what it is.
        probe = subprocess.run(
            [python, "-I", "-S", "-c", _PROBE], capture_output=True, text=True, timeout=60, check=False
        )
        facts = json.loads(probe.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return Interpreter(
        executable=Path(facts["executable"]),
        version=tuple(facts["version"]),
        prefix=Path(facts["prefix"]),
        stdlib=Path(facts["stdlib"]),
        usual=facts["usual"],
    )


@functools.cache
def interpreters() -> dict[str, Interpreter]:
    """For each minor version that this machine has, in order, its newest patch release; never empty."""
    found: dict[str, Interpreter] = {}
    for candidate in _candidates():
        interpreter = describe(candidate)
        if interpreter is None or not interpreter.usual or interpreter.minor not in MINORS:
            continue
        known = found.get(interpreter.minor)
        if known is None or interpreter.version > known.version:
            found[interpreter.minor] = interpreter
    if not found:
        raise NoInterpreterError(
            f"the tests need CPython {MINORS[0]} to {MINORS[-1]}; none on PATH, in /usr/bin, in /usr/local/bin, "
            f"or in {_pyenv_root()}/versions"
        )
    return {minor: found[minor] for minor in MINORS if minor in found}


def pythons() -> dict[str, Path]:
    """The binaries of `interpreters`, by minor version."""
    return {minor: interpreter.executable for minor, interpreter in interpreters().items()}


def system_python() -> Path | None:
    """Debian's own interpreter, where it is not one of `pythons` already."""
    system = describe(SYSTEM)
    if system is None or f"{system.version[0]}.{system.version[1]}" not in MINORS:
        return None
    return None if system.executable in pythons().values() else system.executable


def every_python() -> dict[str, Path]:
    """The `pythons` and Debian's own: what a test of the doors is parametrised over."""
    system = system_python()
    return pythons() | ({"system": system} if system else {})


def copied_prefix(python: Path, destination: Path) -> Path:
    """Copy a base interpreter, binary and standard library, and return the binary of the copy.

    The copy finds its own standard library (CPython looks for lib/pythonX.Y/os.py next to the binary before it falls
    back on the compiled-in prefix) and has no packages. Every file in it is its own: no hard link and no symbolic
    link leads out, so a test may overwrite whatever it likes.

    Args:
        python: An interpreter, or that of a virtual environment: its base is copied.
        destination: A directory to be made; it becomes `sys.base_prefix`.
    """
    source = describe(python)
    if source is None:
        raise NoInterpreterError(f"{python} does not run")
    name = f"python{source.minor}"
    library = destination / source.stdlib.relative_to(source.prefix)
    shutil.copytree(
        source.stdlib,
        library,
        symlinks=False,
        ignore=shutil.ignore_patterns(*LEFT_OUT),
        ignore_dangling_symlinks=True,
    )
    (library / "site-packages").mkdir(exist_ok=True)
    _link_as_debian_does(source.stdlib / "sitecustomize.py", library / "sitecustomize.py", destination)
    binaries = destination / "bin"
    binaries.mkdir()
    shutil.copy2(source.executable, binaries / name)
    for alias in ("python3", "python"):
        (binaries / alias).symlink_to(name)
    if describe.__wrapped__(binaries / name) is None:
        # A relocatable build wants its shared library beside it; one with an absolute run path uses the original.
        for shared in source.prefix.glob(f"lib/lib{name}.so*"):
            shutil.copy2(shared, destination / "lib" / shared.name)
    return binaries / name


def _link_as_debian_does(original: Path, copy: Path, destination: Path) -> None:
    """Keep Debian's sitecustomize the symbolic link that it is, to a file of the copy's own etc directory.

    An installer that writes through the link, or forgets to restore it as a link, is then caught.
    """
    if not original.is_symlink():
        return
    target = destination / original.resolve().relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(copy, target)
    copy.symlink_to(target)


def _pyenv_root() -> str:
    return os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")


def _candidates() -> list[Path]:
    """Every command that may be one of ours, those the person prefers (PATH) first."""
    directories = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/local/bin", "/usr/bin"]
    named = [
        os.path.join(directory, f"python{minor}")
        for directory, minor in itertools.product(filter(None, directories), MINORS)
    ]
    pyenv = glob.glob(os.path.join(glob.escape(_pyenv_root()), "versions", "3.*", "bin", "python3"))
    commands = [*named, *sorted(pyenv), str(SYSTEM), sys.executable]
    return [Path(command) for command in dict.fromkeys(commands) if os.access(command, os.X_OK)]
