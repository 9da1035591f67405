"""Images to run jobs in, and containers that run one job each, on whatever engine `docker` talks to.

Nothing is pulled: bases are made by docker/base/make-base from Debian's packages, and packages of Python are mounted
from the test environments of the same minor version, to where Debian's Python looks for them.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine import docker
from tests.environments import CACHE, REPOSITORY, WANDB, environment_of
from tests.wandb_server.server import API_KEY

# Debian's releases and their Python.
SUITES: Mapping[str, str] = {"bookworm": "3.11", "trixie": "3.13"}

SERVER = "http://wandb:8080"  # as containers on the network of compose.yaml see it


def run_docker(*words: str | Path, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """One command of the client; what it said is shown only where it fails."""
    command = [docker(), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    if check and done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done


@functools.cache
def base_image(suite: str = "bookworm") -> str:
    """A minimal Debian with its own Python, made on first use; safe under pytest-xdist."""
    name = f"wandb-shim-base:{suite}"
    with locked(suite):
        if run_docker("image", "inspect", name, check=False).returncode:
            _run([REPOSITORY / "docker" / "base" / "make-base", suite, name])
    return name


@functools.cache
def baked_image(suite: str = "bookworm", *, wandb: bool = True) -> str:
    """The same with the shim baked in; with wandb installed from wheels, or without.

    Args:
        suite: Which base.
        wandb: Whether the image has wandb; where it has none, the build is told not to insist.
    """
    base = base_image(suite)
    name = f"wandb-shim-test:{suite}{'' if wandb else '-bare'}-{digest(REPOSITORY / 'shim', REPOSITORY / 'docker')}"
    with locked(f"{suite}-{wandb}"):
        if run_docker("image", "inspect", name, check=False).returncode:
            bake(base, name, wheels=wheels() if wandb else None, strict=wandb)
    return name


def bake(
    base: str, name: str, *options: str, wheels: Path | None = None, strict: bool = True, init: bool = False
) -> None:
    """Run docker/image, as `make image` does.

    Args:
        base: The image to start from.
        name: Of the new one.
        options: More options of `docker build`.
        wheels: A directory of wheels, to install wandb from.
        strict: Whether an image that would not track is an error.
        init: Whether the shim is to be the init of the image's containers.

    Raises:
        RuntimeError: With what the build printed.
    """
    doctor = () if strict else ("--build-arg", "DOCTOR=")
    environ = {**({"WHEELS": str(wheels)} if wheels else {}), **({"INIT": "1"} if init else {})}
    _run([REPOSITORY / "docker" / "image", base, name, *doctor, *options], environ)


def make_home(home: Path) -> None:
    """The shim as it is mounted into a stock image."""
    words = ["-m", "shim", "install", "--home-only", "--home", str(home)]
    subprocess.run([sys.executable, *words], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)


@functools.cache
def wheels() -> Path:
    """Wheels of wandb and all that it needs, and of pip, for bookworm's Python."""
    place = CACHE / f"wheels-{WANDB}"
    with locked("wheels"):
        if not place.exists():
            scratch = place.with_name(f"{place.name}.part")
            shutil.rmtree(scratch, ignore_errors=True)
            minor = SUITES["bookworm"]
            words = [
                "download",
                "-qq",
                "--only-binary=:all:",
                "--python-version",
                minor,
                "-d",
                str(scratch),
                WANDB,
                "pip",
            ]
            _run([sys.executable, "-m", "pip", *words], {"PIP_CACHE_DIR": str(CACHE / "pip")})
            scratch.rename(place)
    return place


def packages_of(environment: str, suite: str = "bookworm") -> list[str]:
    """Options of `docker run` that put the packages of a test environment where Debian's Python looks."""
    found = environment_of(environment)
    assert found.base.minor == SUITES[suite], f"{environment} is of Python {found.base.minor}"
    target = f"/usr/local/lib/python{found.base.minor}/dist-packages"
    return ["--volume", f"{found.site_packages.resolve()}:{target}:ro"]


@dataclass(frozen=True)
class Cluster:
    """The network with the double of the W&B API on it.

    Attributes:
        network: Its name.
        url: The double's address on this host.
    """

    network: str
    url: str

    def runs(self, project: str) -> list[dict[str, Any]]:
        """The runs of a project, as the double writes them."""
        return [run for run in self._state()["runs"] if run["project"] == project]

    def artifacts(self, project: str) -> list[dict[str, Any]]:
        """The committed artifact versions of a project."""
        every = self._state()["artifacts"]
        return [artifact for artifact in every if artifact["project"] == project and artifact["state"] == "COMMITTED"]

    def _state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/_test/state", timeout=30) as answer:
            state: dict[str, Any] = json.load(answer)
        assert not state["unknown"], f"the W&B test server lacks: {state['unknown']}"
        return state


@dataclass(frozen=True)
class ContainerJob:
    """A place to run jobs in containers: a directory of this host, mounted at /job, and a project of one's own.

    Attributes:
        cluster: Where the W&B API is.
        directory: The host's directory.
        project: Name of the W&B project.
    """

    cluster: Cluster
    directory: Path
    project: str

    def write(self, name: str, text: str) -> None:
        """Write a script."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def options(self, environ: Mapping[str, str] | None = None, *, key: bool = True) -> list[str]:
        """Options of `docker run` that every job has."""
        variables = {"WANDB_PROJECT": self.project, "WANDB_BASE_URL": SERVER, **(environ or {})}
        if key:
            variables["WANDB_API_KEY"] = API_KEY
        assigned = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        return [
            *("--network", self.cluster.network, "--volume", f"{self.directory}:/job", "--workdir", "/job"),
            *assigned,
        ]

    def run(
        self,
        image: str,
        *command: str,
        options: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        key: bool = True,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run one container to its end, and remove it.

        Args:
            image: Its image.
            command: What to run in it.
            options: More options of `docker run`.
            environ: Variables, beside those that every job has.
            key: Whether the key is in the environment.
            check: Whether an exit code other than 0 fails the test, with what the job printed.
        """
        name = f"wandb-shim-test-{uuid.uuid4().hex[:12]}"
        words = ["run", "--name", name, *self.options(environ, key=key), *options, image, *command]
        try:
            return run_docker(*words, check=check)
        finally:
            run_docker("rm", "--force", "--volumes", name, check=False)

    def only_run(self) -> dict[str, Any]:
        """The one run of the project."""
        (run,) = self.cluster.runs(self.project)
        return run


def digest(*places: Path) -> str:
    """Of all that an image is made from: other sources are another image."""
    sources = [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]
    texts = [path.read_bytes() for path in sources if "__pycache__" not in path.parts]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:12]


def _run(command: Sequence[str | Path], environ: Mapping[str, str] | None = None) -> None:
    variables = {**os.environ, "PYTHON": sys.executable, **(environ or {})}
    done = subprocess.run(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}")


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Keep other processes from making the same image."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"image-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
