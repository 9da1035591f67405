"""Run a training job as a platform would: a real interpreter, the shim in front of it, the real wandb, our server."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from shim import install
from tests.wandb_server import WandbServer

PROJECT = "proj"

# Ends a script and its companion in the same instant, as the end of a node does; a line of the script's.
NODE_DIES = (
    "import importlib, os; os.kill(importlib.import_module('_wandb_shim.script.channel').current().companion, 9); "
    "os.kill(os.getpid(), 9)\n"
)


# Seconds that a companion may take to finish the run of a script that has ended without a word.
_COMPANION_GRACE_S = 60.0


def companions() -> set[psutil.Process]:
    """The companions that this test process has adopted: their scripts, or those that made them, have ended."""
    found = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any(word.endswith("companion/__main__.py") for word in child.cmdline()):
                found.add(child)
    return found


def wait_for_companions(before: Set[psutil.Process] = frozenset()) -> None:
    """Wait until each companion is done that has come since: W&B has all of a run only then."""
    _, left = psutil.wait_procs(companions() - set(before), timeout=_COMPANION_GRACE_S)
    if left:
        pytest.fail(f"companions that do not end: {[process.cmdline() for process in left]}")


@dataclass(frozen=True)
class Job:
    """A place to run command lines in, with or without the shim.

    Attributes:
        directory: Working directory of the commands.
        home: Where the shim lies; reached by PYTHONPATH.
        server: The W&B API that they are told of.
        environ: Variables of every command.
    """

    directory: Path
    home: Path
    server: WandbServer
    environ: Mapping[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str) -> Path:
        """Write a script."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run(
        self,
        *command: str | Path,
        shim: bool = True,
        environ: Mapping[str, str | None] | None = None,
        check: bool = True,
        timeout: float = 120,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command line to its end.

        Args:
            command: Its words.
            shim: Whether the shim's home is on PYTHONPATH.
            environ: Changes to the variables; None removes one.
            check: Whether an exit code other than 0 fails the test, with what the command printed.
            timeout: Seconds.
            stdin: What it reads from standard input; nothing when None.
        """
        variables = dict(self.environ)
        if shim:
            variables["PYTHONPATH"] = str(self.home)
        for name, value in (environ or {}).items():
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = value
        before = companions()
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.directory,
            env=variables,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        wait_for_companions(before)
        if check and done.returncode:
            pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def run_together(
        self, *command: str | Path, environs: Sequence[Mapping[str, str | None]]
    ) -> list[subprocess.CompletedProcess[str]]:
        """Run one command line several times at once, as the ranks of a job: under these changes to the variables."""
        with ThreadPoolExecutor(len(environs)) as pool:
            return list(pool.map(lambda environ: self.run(*command, environ=environ), environs))


@pytest.fixture(scope="session")
def shim_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim as it lies in an image, without doors: `python -m shim install --home-only`."""
    home = tmp_path_factory.mktemp("image") / "opt" / "wandb-shim"
    subprocess.run(
        [sys.executable, "-m", "shim", "install", "--home-only", "--home", str(home)],
        cwd=install.SOURCE.parent,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return home


@pytest.fixture
def job(tmp_path: Path, shim_home: Path, wandb_server: WandbServer, clean_environment: dict[str, str]) -> Job:
    """A job in a project of its own, with a key for the server."""
    directory = tmp_path / "job"
    directory.mkdir()
    environ = {**clean_environment, **wandb_server.environment(), "WANDB_PROJECT": PROJECT}
    return Job(directory, shim_home, wandb_server, environ)
