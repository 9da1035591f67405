"""A project as a user of the launcher has it: a git repository with an env.toml, and a host that launches from it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.environments import REPOSITORY, python_of
from tests.jobs import Job
from tests.leaks import files_with
from tests.wandb_server import API_KEY

# A variable that is no secret, with the form of a key: where it is found, a key would be, too.
PLANTED = "planted-0123456789abcdef0123456789abcdef"
# What no reader on the way may touch, and how env.toml spells it.
FORMULA = "$a $$ ${b} $(c) 'x' \"y\" `d` \\ # Köln 🚀\n  two  "
FORMULA_TOML = json.dumps(FORMULA, ensure_ascii=False)


def write_project(job: Job, env_toml: str, launch: str, program: str) -> None:
    """Write env.toml, launch.py and train.py, and commit the last: nemo-run takes a commit to the job."""
    for name, text in (("env.toml", env_toml), ("launch.py", launch), ("train.py", program)):
        job.write(name, text)
    for command in (["init", "--quiet"], ["add", "train.py"], ["commit", "--quiet", "--message", "all"]):
        job.run("git", "-c", "user.name=me", "-c", "user.email=me@example.com", *command, shim=False)


def nemo_run_home(job: Job) -> Path:
    """Where nemo-run keeps its experiments."""
    return job.directory.parent / "nemo_run"


def launch(
    job: Job, *arguments: str, path: tuple[Path, ...] = (), environ: Mapping[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run launch.py on a host that has nemo-run and no shim; the key is not in what it says.

    Args:
        job: Whose directory has the project.
        arguments: Of launch.py.
        path: Directories in front of PATH.
        environ: Changes to the host's variables.
    """
    changes = {
        "WANDB_PROJECT": None,  # env.toml has it
        "PATH": ":".join([*map(str, path), job.environ["PATH"]]),
        "PYTHONPATH": f"{REPOSITORY}:{job.directory}",
        "NEMORUN_HOME": str(nemo_run_home(job)),
        **(environ or {}),
    }
    done = job.run(python_of("nemo-run"), "launch.py", *arguments, shim=False, environ=changes, timeout=240)
    assert API_KEY not in done.stdout + done.stderr
    return done


def the_key_lies_in_no_file_of(folder: Path, *planted: str) -> None:
    """Fail if the key is readable anywhere below; `planted` names files in which the search must find PLANTED."""
    assert files_with(PLANTED, folder).keys() >= set(planted)
    assert files_with(API_KEY, folder) == {}
