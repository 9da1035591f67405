"""The Python interpreters of a machine or an image, as they describe themselves."""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

# Directories of conda and its kin, and where these directories lie.
_CONDAS = ("conda", "miniconda*", "miniforge*", "mambaforge*", "anaconda*", "micromamba", "mamba")
_CONDA_PLACES = tuple(f"{place}/{name}" for place in ("", "/opt", "~", "/usr/local") for name in _CONDAS)

# Directories of executables in which images keep interpreters, as patterns of `glob`, by who puts them there. `~`
# stands for the home directory of each user. A pattern whose variable is not set is left out. Some of the directories
# belong to virtual environments, whose base is then what counts.
PLACES: Mapping[str, tuple[str, ...]] = {
    "the distribution, the official images": ("/usr/bin", "/usr/local/bin"),
    "uv (also NeMo-RL)": (
        *("$UV_PYTHON_INSTALL_DIR/*/bin", "$XDG_DATA_HOME/uv/python/*/bin", "~/.local/share/uv/python/*/bin"),
        *("/opt/uv/python/*/bin", "/*/.venv/bin", "/*/venv/bin"),
    ),
    "conda, mamba": (
        *("$CONDA_PREFIX/bin", "$CONDA_PREFIX/envs/*/bin", "$CONDA_PREFIX/../*/bin", "~/.conda/envs/*/bin"),
        *("$MAMBA_ROOT_PREFIX/bin", "$MAMBA_ROOT_PREFIX/envs/*/bin"),
        *(f"{place}{environments}/bin" for place in _CONDA_PLACES for environments in ("", "/envs/*")),
    ),
    "pyenv": ("$PYENV_ROOT/versions/*/bin", "~/.pyenv/versions/*/bin", "/opt/pyenv/versions/*/bin"),
    "mise": ("$MISE_DATA_DIR/installs/python/*/bin", "~/.local/share/mise/installs/python/*/bin"),
    "asdf": ("$ASDF_DATA_DIR/installs/python/*/bin", "~/.asdf/installs/python/*/bin"),
    "pixi, rye, hatch": (
        *("~/.pixi/envs/*/bin", "/*/.pixi/envs/*/bin", "~/.rye/py/*/bin", "~/.local/share/hatch/pythons/*/python/bin"),
    ),
    "clouds": (
        "/databricks/python*/bin",
        "/databricks/conda/bin",
        "/databricks/conda/envs/*/bin",
        "/azureml-envs/*/bin",
    ),
    "vendors": (
        *("/opt/*/bin", "/opt/venvs/*/bin", "/opt/nvidia/*/bin", "/opt/bitnami/*/bin", "/opt/cray/pe/python/*/bin"),
        *("/usr/local/*/bin", "/usr/local/lib/*/bin"),
    ),
}

# Seconds that an interpreter may take to describe itself.
_PATIENCE = 60
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
    """Ask an interpreter to describe itself.

    Raises:
        InstallError: The interpreter is not there, does not start, or is older than 3.10.
    """
    try:
        # Not with -S, although no door would open then: without `site` a virtual environment before 3.14 does not know
        # its prefix.
        answer = subprocess.run(
            [str(python), "-I", "-c", _ASK],
            capture_output=True,
            text=True,
            check=True,
            env=quiet_environment(),
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE,
        )
    except OSError as error:
        raise InstallError(f"{python} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{python} is no working Python: it says nothing for {_PATIENCE} s") from error
    except subprocess.CalledProcessError as error:
        raise InstallError(f"{python} is no working Python: {' '.join(error.stderr.split())[-300:]}") from error
    try:
        found = Interpreter(**json.loads(answer.stdout))
    except (ValueError, TypeError) as error:
        raise InstallError(f"{python} is no working Python: it does not say who it is") from error
    if tuple(int(part) for part in found.version.split(".")[:2]) < (3, 10):
        raise InstallError(f"{python} is Python {found.version}; the shim needs 3.10 or newer")
    return found


def candidates(environ: Mapping[str, str], root: str = "/") -> Iterator[str]:
    """Paths of what may be an interpreter: first `python3` and `python` of PATH, then what lies in `PLACES`.

    Args:
        environ: For PATH, HOME and the variables of `PLACES`.
        root: The directory that stands for the file system's root; paths in variables are taken to be below it, too.
    """
    root = root.rstrip("/")
    on_path = [f"{root}{directory}" for directory in environ.get("PATH", "").split(os.pathsep) if directory]
    for name in ("python3", "python"):
        found = next((path for path in (f"{place}/{name}" for place in on_path) if os.access(path, os.X_OK)), None)
        if found is not None:
            yield found
    for pattern in (pattern for patterns in PLACES.values() for pattern in patterns):
        for place in _spelled_out(pattern, environ):
            yield from sorted(glob.glob(f"{glob.escape(root)}{place}/python3*"))


def _spelled_out(pattern: str, environ: Mapping[str, str]) -> Iterator[str]:
    """The pattern with each home directory for a leading `~`, or with the value of a leading variable."""
    first, slash, rest = pattern.partition("/")
    if first == "~":
        homes = (glob.escape(environ.get("HOME") or os.path.expanduser("~")), "/root", "/home/*")
        yield from (home.rstrip("/") + slash + rest for home in dict.fromkeys(homes))
    elif first.startswith("$"):
        if environ.get(first[1:]):
            yield glob.escape(environ[first[1:]].rstrip("/")) + slash + rest
    else:
        yield pattern


def find(paths: Iterable[str]) -> list[str]:
    """The executables to bake the shim into: of `paths` each base interpreter that is new enough, once.

    A path that is no Python, or one too old, is passed over. For a virtual environment its base is taken.
    """
    found: dict[str, str] = {}
    seen = set()
    waiting = iter(paths)
    bases: list[str] = []
    while (path := bases.pop(0) if bases else next(waiting, None)) is not None:
        # A virtual environment's interpreter is a link to its base's, so one question serves both.
        executable = os.path.realpath(path)
        if executable in seen or not _is_interpreter(os.path.basename(executable)) or not os.access(path, os.X_OK):
            continue
        seen.add(executable)
        try:
            interpreter = describe(executable)
        except InstallError:
            continue
        if interpreter.is_virtual:  # a virtual environment made of copies, not of links
            bases += sorted(glob.glob(f"{glob.escape(interpreter.base_prefix)}/bin/python3*"))
        else:
            # The path that the interpreter itself tells: the path that was asked may be a shell's script, as of pyenv.
            found.setdefault(interpreter.stdlib, os.path.realpath(interpreter.executable))
    return list(found.values())


def _is_interpreter(name: str) -> bool:
    """Whether a name is an interpreter's: `python3`, `python3.12`, `python3.13t` (no lock); not `python3-config`."""
    return re.fullmatch(r"python3?(\.\d+t?)?", name) is not None


def quiet_environment() -> dict[str, str]:
    """The environment for an interpreter that is only asked something: no shim starts in it."""
    return {**os.environ, "WANDB_SHIM": "off"}
