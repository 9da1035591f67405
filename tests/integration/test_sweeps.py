"""W&B's sweeps: each trial is a run, with its agent's parameters, as without the shim."""

from __future__ import annotations

import pytest

from tests.comparing import configured
from tests.environments import python_of
from tests.jobs import Job

pytestmark = pytest.mark.in_turn

RELEASES = ["wandb-0.23.1", "wandb-3.12"]

MAKE_SWEEP = """\
import wandb
wandb.sweep({"method": "grid", "program": "train.py", "parameters": {"lr": {"value": 2}}}, project="proj")
"""

# A sweep's parameters win over the config of the script, its place and ids over what the script asks for.
TRIAL = """\
import wandb
run = wandb.init(project="theirs", id="theirs", config={"lr": 9, "batch": 8}, name="trial")
run.log({"loss": 1 / run.config.lr})
print(run.id, dict(run.config))
"""

AGENT = """\
import wandb

def train():
    with wandb.init(config={"lr": 9, "batch": 8}) as run:
        run.log({"loss": 1 / run.config.lr})
        print(run.id, dict(run.config))

sweep = wandb.sweep({"method": "grid", "parameters": {"lr": {"values": [1, 2]}}}, project="proj")
wandb.agent(sweep, train)
print("the last line")
"""


@pytest.mark.parametrize("release", RELEASES)
def test_a_trial_that_wandb_agent_starts_is_the_sweeps_run(job: Job, release: str) -> None:
    python = python_of(release)
    job.write("make_sweep.py", MAKE_SWEEP)
    job.write("train.py", TRIAL)
    job.run(python, "make_sweep.py", shim=False)
    path = {"PATH": f"{python.parent}:/usr/bin:/bin"}  # the agent calls `/usr/bin/env python`
    agent = job.run(python, "-m", "wandb", "agent", "acme/proj/sweep1", environ=path)
    run = job.server.run()
    assert (run.id, run.sweep, run.state, run.display_name) == ("sweep1-trial1", "sweep1", "finished", "trial")
    assert configured(run) == {"lr": 2, "batch": 8}
    assert [row["loss"] for row in run.history] == [0.5]
    assert run.upserts < 10, "opened once"
    assert "sweep1-trial1 {" in agent.stdout, agent.stdout
    for name in ("project", "id"):
        assert agent.stderr.count(f"wandb-shim: wandb.init({name}=…) has no effect in a sweep") == 1, agent.stderr


@pytest.mark.parametrize("release", RELEASES)
def test_an_agent_in_the_script_has_its_trials_and_one_line_says_that_the_jobs_run_ends(job: Job, release: str) -> None:
    job.write("train.py", AGENT)
    done = job.run(python_of(release), "train.py")
    trials = job.server.runs  # the empty run of the job is taken away
    assert "Traceback" not in done.stderr, done.stderr
    assert "the last line" in done.stdout
    assert [(run.id, run.state) for run in trials] == [(f"sweep1-trial{n}", "finished") for n in (1, 2)]
    assert [configured(run) for run in trials] == [{"lr": lr, "batch": 8} for lr in (1, 2)]
    assert [[row["loss"] for row in run.history] for run in trials] == [[1], [0.5]]
    assert done.stderr.count("asks for a run of its own (id='sweep1-trial1')") == 1, done.stderr
    assert done.stderr.count("wandb-shim") == 2, done.stderr
