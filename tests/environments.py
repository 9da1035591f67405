"""The virtual environments that the tests run real programs in: a table, and `python_of` that makes them on first use.

They live in the clone (`.cache/envs`), as does everything downloaded for them (`.cache/uv`, `.cache/pip`). Tests
share them and so must not change them: what needs an environment of its own takes `borrowing_environment`.

    python -m tests.environments --list
    python -m tests.environments --all      # what `make test` does before the tests
    python -m tests.environments ray peers
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from launcher.requirements import LEPTON_PIN, NEMO_RUN
from tests import interpreters

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".cache"

# For every installer that runs, here or in a test: nothing is kept outside the clone, no interpreter is downloaded.
INSTALLER_SETTINGS: Mapping[str, str] = {
    "UV_CACHE_DIR": str(CACHE / "uv"),
    "UV_LINK_MODE": "hardlink",
    "UV_PYTHON_DOWNLOADS": "never",
    "PIP_CACHE_DIR": str(CACHE / "pip"),
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}

WANDB = "wandb==0.31.0"  # the newest release that the shim was tested with
WRAPT = "wrapt==2.5.2"

# Made on every Python that was found, as NAME-MINOR: what is in them.
ON_EVERY_PYTHON: Mapping[str, tuple[str, ...]] = {
    "wandb": (WANDB, WRAPT, "pip"),
    "bare": ("pip",),
}


@dataclass(frozen=True, slots=True)
class Packages:
    """One row: what is in an environment, and how it gets there.

    Attributes:
        requirements: What to install, as pip spells it.
        minor: The only Python that it can be made on; "" for the preferred one.
        installer: "uv", or "pip" for what only pip finds: uv does not read pip's configuration, which is where a
            machine says from where it takes a CPU build of torch.
        alone: What is installed without its dependencies, before the rest: they are CUDA builds.
    """

    requirements: tuple[str, ...]
    minor: str = ""
    installer: str = "uv"
    alone: tuple[str, ...] = ()


# Made on one Python each: PREFERRED_MINOR, else the newest found.
PREFERRED_MINOR = "3.12"
ON_ONE_PYTHON: Mapping[str, Packages] = {
    # Releases that differ in what the shim touches. 0.23.1: client IDs from the seeded random; 0.25.1: equal
    # ones in forked children.
    "wandb-0.19.11": Packages(("wandb==0.19.11", "tensorboard", "tensorboardX", WRAPT)),
    # With a newer pydantic its import warns on stderr.
    "wandb-0.21.4": Packages(("wandb==0.21.4", "pydantic<2.12", "tensorboard", "tensorboardX", WRAPT)),
    "wandb-0.22.2": Packages(("wandb==0.22.2",)),  # the last that files a login by the host alone
    "wandb-0.23.1": Packages(("wandb==0.23.1", "tensorboard", "tensorboardX", WRAPT)),
    "wandb-0.25.1": Packages(("wandb==0.25.1", "tensorboard", "tensorboardX", WRAPT)),
    "wandb-0.28.2": Packages(("wandb==0.28.2", "tensorboard", "tensorboardX", WRAPT)),
    "wandb-0.15": Packages(
        ("wandb==0.15.12", "setuptools<75"), minor="3.11"
    ),  # its settings lack what a companion needs
    "no-wrapt": Packages((WANDB,)),
    "torch": Packages(("torch==2.13.0", "numpy", "accelerate", WANDB, WRAPT), minor="3.11", installer="pip"),
    "frameworks": Packages(
        (
            *("torch==2.13.0", "numpy", "transformers", "accelerate", "lightning", "jsonargparse[signatures]"),
            *("tensorboard", WANDB, WRAPT),
        ),
        minor="3.11",
        installer="pip",
    ),
    "trl": Packages(
        ("torch==2.13.0", "numpy", "transformers==5.24.0", "accelerate==1.15.0", "trl==1.16.0", WANDB, WRAPT),
        minor="3.11",
        installer="pip",
    ),
    # torchtune 0.6 is the last release; torchao 0.15 the newest that it can be imported with.
    "torchtune": Packages(
        (
            *("torch==2.13.0", "torchvision", "numpy", "torchtune==0.6.1", "torchao==0.15.0", "tensorboard"),
            *(WANDB, WRAPT),
        ),
        minor="3.11",
        installer="pip",
    ),
    # megatron-bridge as it installs without a GPU; "transformers<5" and datasets must be resolved together.
    "megatron": Packages(
        (
            *(
                "torch==2.13.0",
                "numpy",
                "packaging",
                "transformers<5",
                "datasets",
                "rich",
                "einops",
                "six",
                "tensorboard",
            ),
            *("omegaconf", "hydra-core", "nvidia-modelopt", "nvidia-resiliency-ext==0.4.1", WANDB, WRAPT),
        ),
        minor="3.11",
        installer="pip",
        alone=("megatron-bridge==0.3.1", "megatron-core==0.16.1"),
    ),
    "ray": Packages(("ray==2.60.0", WANDB, WRAPT), minor="3.11"),  # that of Debian's Python, for containers
    "ray-train": Packages(("ray[train]==2.60.0", "tensorboard", WANDB, WRAPT), minor="3.11"),  # Train and Tune
    "nemo-run": Packages((NEMO_RUN, LEPTON_PIN, WANDB)),  # as `pip install wandb-shim[launcher]` does
    # The launcher with every executor's own package; skypilot and wandb 0.31 want different releases of click.
    "launcher": Packages((NEMO_RUN.replace("==", "[skypilot,ray,kubeflow]=="), LEPTON_PIN, "wandb==0.26.1", "tomli")),
    "peers": Packages(("ddtrace==4.16.0", "newrelic==14.1.0", "coverage==7.17.3", WANDB, WRAPT)),
    "ddtrace": Packages(("ddtrace==4.16.0", WANDB, WRAPT), minor="3.11"),  # the peer that images come with
    # tests.wandb_server, in a container
    "server": Packages(("starlette>=0.40", "uvicorn>=0.32", "pyyaml>=6"), minor="3.11"),
    # What changes an interpreter under a program's feet, and parsers with ways of their own.
    "quirks": Packages(("gevent", "trio", "uvloop", "fire", WANDB, WRAPT)),
    # What programs parse their command line with.
    "parsers": Packages(
        (
            *("click", "rich-click", "typer", "fire", "absl-py", "ml_collections", "docopt", "simple-parsing"),
            *("jsonargparse[signatures]", "ConfigArgParse", "hydra-core", "omegaconf", "tyro", "pydantic-settings"),
            *(WANDB, WRAPT),
        ),
        minor="3.12",
    ),
    "profilers": Packages(("memray", "pyinstrument", "viztracer", "line_profiler", "coverage", WANDB, WRAPT)),
    "spacy": Packages(("spacy", WANDB, WRAPT), minor="3.12"),
    # Of EleutherAI's harness the model "dummy" needs no torch.
    "lm-eval": Packages(("lm_eval", WANDB, WRAPT), minor="3.12"),
    "litgpt": Packages(("torch==2.13.0", "numpy", "litgpt", WANDB, WRAPT), minor="3.11", installer="pip"),
    "notebook": Packages(("ipykernel", "jupyter_client", WANDB)),
    "kubernetes": Packages(("kubernetes-validate==1.37.0",)),  # with the schemas of Kubernetes, for examples/
    "demo": Packages(("gensim", "scikit-learn", WANDB, WRAPT)),
    # Keras on two backends: its W&B callbacks import TensorFlow, whatever it computes with.
    "keras": Packages(
        ("torch==2.13.0", "tensorflow-cpu==2.21.0", "keras==3.15.1", "numpy", WANDB, WRAPT),
        minor="3.11",
        installer="pip",
    ),
    # As wandb's own hook wants it: with tensorboard, which TensorFlow does not bring any more.
    "tensorflow": Packages(("tensorflow-cpu==2.21.0", "tensorboard", WANDB, WRAPT), minor="3.11"),
    "boosters": Packages(("xgboost-cpu", "lightgbm", "catboost", "scikit-learn", "pandas", WANDB, WRAPT), minor="3.12"),
    "rl-vision": Packages(
        (
            "torch==2.13.0",
            "torchvision",
            "rl_zoo3",
            "stable-baselines3",
            "tensorboard",
            "fastai",
            "ultralytics",
            WANDB,
            WRAPT,
        ),
        minor="3.11",
        installer="pip",
    ),
}


# Large, and asked for by few: made when a test does, not by --all.
ON_FIRST_USE = frozenset(
    {
        "wandb-0.15",
        "megatron",
        "launcher",
        "frameworks",
        "spacy",
        "lm-eval",
        "litgpt",
        "boosters",
        "rl-vision",
        "trl",
        "torchtune",
        "keras",
        "tensorflow",
    }
)


class EnvironmentUnavailableError(RuntimeError):
    """An environment is unknown, or could not be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A row of the tables above, on an interpreter of this machine.

    Attributes:
        name: What tests ask for.
        base: The interpreter it is made from.
        requirements: What is installed in it.
        installer: "uv" or "pip".
        alone: What is installed first, without its dependencies.
    """

    name: str
    base: interpreters.Interpreter
    requirements: tuple[str, ...]
    installer: str = "uv"
    alone: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """Where it lies. Another definition, or another patch release of Python, is another directory."""
        definition = [str(self.base.executable), self.base.version, self.requirements, self.installer]
        definition += [self.alone] if self.alone else []
        digest = hashlib.sha256(json.dumps(definition).encode()).hexdigest()
        return CACHE / "envs" / f"{self.name}-{digest[:10]}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.directory / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where its packages lie."""
        return self.directory / "lib" / f"python{self.base.minor}" / "site-packages"

    @property
    def stamp(self) -> Path:
        """Written last. Virtual environments cannot be moved, so an unfinished one lies where the finished will."""
        return self.directory / ".complete"


def environments() -> dict[str, Environment]:
    """Every environment that can be made here, by name."""
    found = interpreters.interpreters()
    preferred = found.get(PREFERRED_MINOR) or list(found.values())[-1]
    table = [
        Environment(f"{name}-{minor}", base, requirements)
        for name, requirements in ON_EVERY_PYTHON.items()
        for minor, base in found.items()
    ]
    table += [
        Environment(name, found.get(row.minor, preferred), row.requirements, row.installer, row.alone)
        for name, row in ON_ONE_PYTHON.items()
        if not row.minor or row.minor in found
    ]
    known = {environment.name: environment for environment in table}
    # For tests that any of the Pythons will do for.
    known["wandb"] = known[f"wandb-{preferred.minor}"]
    return known


# The names of those that were asked for: tests/conftest.py notes whose tests those are.
asked_for: set[str] = set()


def environment_of(name: str) -> Environment:
    """The environment of that name, made if need be.

    Args:
        name: Of the tables above; or a minor version of Python and what is to be there, joined by plus signs.
    """
    asked_for.add(name)
    known = environments()
    minor, *requirements = name.split("+")
    if requirements:
        known[name] = replace(known[f"bare-{minor}"], name=name, requirements=tuple(requirements))
    if name not in known:
        needs = ON_ONE_PYTHON[name].minor if name in ON_ONE_PYTHON else ""
        reason = f"it needs CPython {needs}, not found" if needs else f"there are: {', '.join(known)}"
        raise EnvironmentUnavailableError(f"no environment {name!r} here; {reason}")
    environment = known[name]
    if not environment.stamp.exists():
        with _locked(environment.directory):
            # Another process may have made it while this one waited.
            if not environment.stamp.exists():
                _make(environment)
    return environment


def python_of(name: str) -> Path:
    """The interpreter of the environment of that name, made on first use; safe under pytest-xdist."""
    return environment_of(name).python


def borrowing_environment(python: Path, destination: Path, packages_of: str = "") -> Path:
    """Make a virtual environment that a test may change, in a moment, and return its interpreter.

    Args:
        python: What to make it from, for example a `copied_prefix`.
        destination: Its directory.
        packages_of: An environment of the same minor version whose packages it sees, without a copy of its own.
            Their own `.pth` files are not run.
    """
    _run([str(python), "-m", "venv", "--without-pip", str(destination)])
    if packages_of:
        lender = environment_of(packages_of)
        own = destination / "lib" / f"python{lender.base.minor}" / "site-packages"
        if not own.is_dir():
            raise EnvironmentUnavailableError(f"{packages_of} is of Python {lender.base.minor}, {python} is not")
        (own / "borrowed.pth").write_text(f"{lender.site_packages}\n")
    return destination / "bin" / "python"


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes from making the same environment; the kernel lets go of the lock if this one dies."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(environment: Environment) -> None:
    shutil.rmtree(environment.directory, ignore_errors=True)
    # Without ensurepip: it is missing on a Debian without python3-venv, and installs an old pip, on some releases
    # also setuptools with a .pth file that every start of the interpreter would pay for.
    _run([str(environment.base.executable), "-m", "venv", "--without-pip", str(environment.directory)])
    if environment.installer == "pip":
        # This process's own pip, which is recent, working on the other interpreter.
        installer = [sys.executable, "-m", "pip", "-qq", "--python", str(environment.python), "install"]
    else:
        installer = [_uv(), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(environment.python)]
    if environment.alone:
        _run([*installer, "--no-deps", *environment.alone])
    _run([*installer, *environment.requirements])
    environment.stamp.write_text("\n".join(environment.requirements) + "\n")


def _uv() -> str:
    import uv

    return str(uv.find_uv_bin())


def _run(command: Sequence[str]) -> None:
    """Run a step of the making; its output is shown only where it fails."""
    # What PYTHON* variables say to this process is not meant for the environments: without
    # PYTHONDONTWRITEBYTECODE, because tests count what a start costs, and a start that compiles costs more.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environ.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        command,
        env={**environ, **INSTALLER_SETTINGS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EnvironmentUnavailableError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


def _make_reporting(name: str) -> bool:
    """Make one environment and say in one line how long it took; whether it is there now."""
    start = time.monotonic()
    try:
        environment = environment_of(name)
    except EnvironmentUnavailableError as error:
        print(error, file=sys.stderr, flush=True)
        return False
    print(f"{name:16} Python {environment.base.minor:5} {time.monotonic() - start:6.1f} s", flush=True)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Make environments, two at a time, or list them."""
    known = environments()
    parser = argparse.ArgumentParser(prog="python -m tests.environments", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="environments to make")
    parser.add_argument("--all", action="store_true", help="make all of them, but for those that few tests ask for")
    parser.add_argument("--large", action="store_true", help="with --all: make those, too")
    parser.add_argument("--list", action="store_true", help="list them, and whether they are made")
    options = parser.parse_args(arguments)
    if options.list:
        for name, environment in known.items():
            state = "made" if environment.stamp.exists() else "-"
            print(f"{name:16} Python {environment.base.minor:5} {state:5} {' '.join(environment.requirements)}")
        return 0
    names = list({environment.directory: name for name, environment in known.items()}.values())
    left_out = frozenset() if options.large else ON_FIRST_USE
    names = [name for name in names if name not in left_out] if options.all else options.names
    # What pip makes takes longest, so it goes first.
    names.sort(key=lambda name: name not in known or known[name].installer != "pip")
    with ThreadPoolExecutor(max_workers=2) as pool:
        made = list(pool.map(_make_reporting, names))
    return 0 if all(made) else 1


if __name__ == "__main__":
    sys.exit(main())
