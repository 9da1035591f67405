"""A script that calls `wandb.init` itself, without the shim and with it: what W&B has is compared, on six releases."""

from __future__ import annotations

import pytest

from tests.comparing import check_nothing_is_missing
from tests.environments import python_of
from tests.jobs import Job

pytestmark = pytest.mark.in_turn

RELEASES = ["wandb-0.19.11", "wandb-0.21.4", "wandb-0.23.1", "wandb-0.25.1", "wandb-0.28.2", "wandb-3.12"]

ARGUMENTS = """\
import wandb
run = wandb.init(
    project="theirs", entity="acme", name="mine", notes="n", group="g", job_type="j", tags=["b", "a"],
    config={"lr": 1, "nested": {"a": [1, 2]}, "dropped": 1}, config_exclude_keys=["dropped"], allow_val_change=True,
    save_code=True, dir=".", reinit=True, resume="allow", anonymous="allow", force=True,
)
run.config.update({"lr": 2}, allow_val_change=True)
run.log({"loss": 1.0})
"""

# Settings as an object and as a mapping.
SETTINGS = """\
import wandb
settings = wandb.Settings(
    run_name="by settings", run_tags=("s",), run_notes="n", run_group="g", run_job_type="j", quiet=True, save_code=True,
    code_dir=".", summary_warnings=1,
)
run = wandb.init(settings=settings)
assert run.settings.quiet and run.settings.run_group == "g", run.settings
run.log({"loss": 1.0})
"""
MAPPING = """\
import wandb
wandb.init(project="theirs", settings={"run_name": "by mapping", "run_group": "g", "silent": True}, config="lr.yaml")
wandb.log({"loss": 1.0})
"""

# What scripts do with a run once they have it.
USES = """\
import os, sys
import wandb
wandb.login()
wandb.setup()
with wandb.init(name="uses", config={"lr": 1}) as run:
    run.define_metric("epoch")
    run.define_metric("loss", step_metric="epoch", summary="min")
    for epoch in range(3):
        run.log({"epoch": epoch, "loss": 3 - epoch, "nested": {"deep": epoch}}, commit=epoch != 1)
    run.log({"late": 1}, step=10)
    run.log({"table": wandb.Table(columns=["a"], data=[[1], [2]]), "html": wandb.Html("<b>x</b>")})
    run.alert("attention", "of somebody")
    run.summary["best"] = {"loss": 1}
    with open("note.txt", "w") as file:
        file.write("saved")
    run.save("note.txt", policy="now")
    artifact = wandb.Artifact("data", type="dataset", metadata={"rows": 2})
    artifact.add_file("note.txt")
    run.log_artifact(artifact).wait()
    run.use_artifact("data:latest")
    run.tags += ("late",)
    run.notes = "late"
    run.config["more"] = [1]
    print("the last line")
    print("and a warning", file=sys.stderr)
sys.exit(0)
"""

# The run as a module's global.
MODULE_LEVEL = """\
import wandb
wandb.init(name="module", config=dict(lr=1))
wandb.config.update({"batch": 8})
wandb.run.name = "renamed"
for loss in (2, 1):
    wandb.log({"loss": loss})
wandb.summary.update({"end": 1})
wandb.finish(exit_code=0)
"""

PROGRAMS = {
    "arguments": ARGUMENTS,
    "settings": SETTINGS,
    "mapping": MAPPING,
    "uses": USES,
    "module level": MODULE_LEVEL,
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_that_a_script_says_is_missing_in_the_jobs_run(job: Job, release: str, program: str) -> None:
    job.write("lr.yaml", "lr:\n  desc: rate\n  value: 3\n")
    job.write("train.py", PROGRAMS[program])
    plain = job.run(python_of(release), "train.py", shim=False)
    tracked = job.run(python_of(release), "train.py")
    native, run = job.server.runs
    check_nothing_is_missing(native, run)
    assert "Traceback" not in tracked.stderr, tracked.stderr
    # wandb's last words: on stdout where the script leaves the run's end to wandb.
    assert tracked.stdout.count("View run") == plain.stdout.count("View run")
