"""A wandb to come, in which a private name that the shim touches is another: the script is unharmed, nothing is lost.

A copy of the newest release, with one name changed throughout, is that wandb: it works as before by itself.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.environments import environment_of, environments
from tests.jobs import Job
from tests.private_names import touched

# What the shim touches now; a name more is a reason to look for another way.
NAMES = (
    *(
        "_active_runs",
        "_attach",
        "_attach_id",
        "_backend",
        "_connection",
        "_finalizer",
        "_finish",
        "_header",
        "_interface",
    ),
    *(
        "_is_attached",
        "_is_finished",
        "_items",
        "_log_artifact",
        "_monkeypatch_openai_gym",
        "_proc",
        "_publish_config",
        "_set_config_wandb",
    ),
    *("_settings", "_shared_service_notice_shown", "_show_info", "_singleton", "_start_time"),
    "_wl",
)
SILENT = "print('trained')\n"
ASKING = """\
import wandb
with wandb.init(name="mine", config={"lr": 0.1}, save_code=True) as run:
    for step in range(3):
        run.log({"loss": 1 / (step + 1)})
    artifact = wandb.Artifact("weights", type="model")
    with artifact.new_file("w") as file:
        file.write("w")
    run.log_artifact(artifact)
print("trained")
"""


def test_the_private_names_that_the_shim_touches_are_known_and_become_fewer() -> None:
    found = touched(environments()["wandb"].site_packages / "wandb")
    assert tuple(found) == NAMES


def wandb_without(name: str, directory: Path) -> Path:
    """A copy of the newest release, with that name changed throughout; what has it on sys.path finds it first."""
    source = environment_of("wandb").site_packages / "wandb"
    shutil.copytree(source, directory / "wandb", copy_function=os.link)
    word = re.compile(rf"(?<![A-Za-z0-9]){name}\b")
    for path in (directory / "wandb").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if word.search(text):
            path.unlink()  # a link to the environment's own file
            path.write_text(word.sub(f"{name}_to_come", text), encoding="utf-8")
    return directory


@pytest.mark.matrix
@pytest.mark.parametrize("name", NAMES)
def test_a_wandb_without_a_private_name_harms_no_script_and_loses_nothing_of_it(
    job: Job, tmp_path: Path, name: str
) -> None:
    future = wandb_without(name, tmp_path / "future")
    python = environment_of("wandb").python
    job.write("silent.py", SILENT)
    job.write("asking.py", ASKING)
    with_shim = {"PYTHONPATH": f"{job.home}:{future}"}
    native = job.run(python, "asking.py", shim=False, environ={"PYTHONPATH": str(future)})
    assert native.stdout == "trained\n", native.stderr
    lines = {}
    for program in ("silent.py", "asking.py"):
        done = job.run(python, program, environ=with_shim)
        assert done.stdout == "trained\n"
        assert "Traceback" not in done.stderr
        ours = [line for line in done.stderr.splitlines() if line.startswith("wandb-shim: ")]
        lines[program] = [line for line in ours if not line.startswith("wandb-shim: run ")]
        assert len(lines[program]) <= 1, done.stderr
    asked = [run for run in job.server.runs if run.history]
    assert [run.display_name for run in asked] == ["mine", "mine"], lines
    first, second = asked
    assert [row["loss"] for row in second.history] == [row["loss"] for row in first.history] == [1, 1 / 2, 1 / 3]
    assert second.config["lr"] == 0.1
    assert len(second.logged_artifacts) == len(first.logged_artifacts)
    print(name, lines)
