"""The Python interpreters of a machine or an image, as they describe themselves."""

from __future__ import annotations

import glob
import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

# Where images keep interpreters, virtual environments among them, whose base is what counts: Debian and Ubuntu, the
# official Python images, conda (also NVIDIA's PyTorch images before 23), uv (NeMo-RL) for root and for others, pyenv.
PLACES = (
    "/usr/bin/python3*",
    "/usr/local/bin/python3*",
    "/opt/*/bin/python3*",
    "/opt/conda/envs/*/bin/python3*",
    "/opt/venvs/*/bin/python3*",
    "~/.local/share/uv/python/*/bin/python3*",
    "/home/*/.local/share/uv/python/*/bin/python3*",
    "~/.pyenv/versions/*/bin/python3*",
)

_ASK = """
import json, os, sys, sysconfig
print(json.dumps({
    "executable": sys.executable, "version": sys.version.split()[0], "prefix": sys.prefix,
    "base_prefix": sys.base_prefix, "stdlib": os.path.dirname(os.__file__), "purelib": sysconfig.get_path("purelib"),
}))
"""


class InstallError(Exception):
    """What went wrong, where, and what to do."""


@dataclass(frozen=True)
class Interpreter:
    """One Python, as it describes itself."""

    executable: str
    version: str
    prefix: str
    base_prefix: str
    stdlib: str
    purelib: str

    @property
    def is_virtual(self) -> bool:
        """Whether this is a virtual environment (PEP 405)."""
        return self.prefix != self.base_prefix


def describe(python: str | os.PathLike[str]) -> Interpreter:
    """Ask an interpreter who it is.

    Raises:
        InstallError: It is not there, does not start, or is older than 3.10.
    """
    try:
        # Without `site` (and so without any door), a virtual environment before 3.14 does not know its prefix.
        answer = subprocess.run(
            [str(python), "-I", "-c", _ASK],
            capture_output=True,
            text=True,
            check=True,
            env=quiet_environment(),
        )
    except OSError as error:
        raise InstallError(f"{python} cannot be started: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise InstallError(f"{python} is no working Python: {' '.join(error.stderr.split())[-300:]}") from error
    try:
        found = Interpreter(**json.loads(answer.stdout))
    except (ValueError, TypeError) as error:
        raise InstallError(f"{python} is no working Python: it does not say who it is") from error
    if tuple(int(part) for part in found.version.split(".")[:2]) < (3, 10):
        raise InstallError(f"{python} is Python {found.version}; the shim needs 3.10 or newer")
    return found


def find(places: Iterable[str] = PLACES) -> list[str]:
    """Each base interpreter below `places` that is new enough, once: the executables to bake the shim into.

    What is in a place and is no Python, or too old, is passed over.

    Args:
        places: Patterns of `glob`; `~` is the home of who runs this.
    """
    found: dict[str, str] = {}
    seen = set()
    for path in (path for place in places for path in sorted(glob.glob(os.path.expanduser(place)))):
        # A virtual environment's interpreter is a link to its base's, so one question serves both.
        executable = os.path.realpath(path)
        if executable in seen or not _is_interpreter(os.path.basename(executable)) or not os.access(path, os.X_OK):
            continue
        seen.add(executable)
        try:
            interpreter = describe(executable)
        except InstallError:
            continue
        if not interpreter.is_virtual:  # one made of copies: its base is found by itself
            found.setdefault(interpreter.stdlib, executable)
    return list(found.values())


def _is_interpreter(name: str) -> bool:
    """`python3` or `python3.12`; not `python3-config`."""
    return name.removeprefix("python3").removeprefix(".").isdecimal() or name == "python3"


def quiet_environment() -> dict[str, str]:
    """For an interpreter that is only asked something: no shim starts in it."""
    return {**os.environ, "WANDB_SHIM": "off"}
