"""Artifacts of jobs that seed `random` alike, and of forked children, get through; the script's stream is its own."""

from __future__ import annotations

import ast

import pytest

from tests.environments import python_of
from tests.jobs import Job

DEFECT = "Invalid Client ID digest"
# Logs one artifact after `random.seed(0)`, waits for it, and prints what the script's own stream then gives.
SEEDED = """
import random, sys
import wandb
BY_HAND
wandb.init()
random.seed(0)
if sys.argv[1]:
    artifact = wandb.Artifact(sys.argv[1], "model")
    with artifact.new_file("weights.txt") as file:
        file.write(sys.argv[1])
    try:
        print(wandb.run.log_artifact(artifact).wait(30).version)
    except ValueError as error:
        print(error)
print([random.random() for _ in range(4)])
"""
FORKED = """
import os
import wandb
for number in range(2):
    pid = os.fork()
    if not pid:
        print(wandb.Artifact(str(number), "model")._client_id, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""


def logged_twice(job: Job, environment: str, *, shim: bool = True, by_hand: str = "", skip: str = "") -> list[str]:
    """Two jobs that differ in nothing but the artifact; what each of them printed."""
    job.write("train.py", SEEDED.replace("BY_HAND", by_hand))
    environ = {"WANDB_SHIM_SKIP": skip}
    return [
        job.run(python_of(environment), "train.py", name, shim=shim, environ=environ).stdout for name in ("one", "two")
    ]


def committed(job: Job) -> list[str]:
    """The artifacts that arrived."""
    return sorted(artifact.collection for artifact in job.server.artifacts if artifact.state == "COMMITTED")


def test_without_the_shim_the_second_job_loses_its_artifact(job: Job) -> None:
    first, second = logged_twice(job, "wandb-0.23.1", shim=False)
    assert (DEFECT in first, DEFECT in second) == (False, True)
    assert committed(job) == ["one"]


def test_skipped_the_fix_is_not_there(job: Job) -> None:
    first, second = logged_twice(job, "wandb-0.23.1", skip="wandb_runid")
    assert (DEFECT in first, DEFECT in second) == (False, True)
    assert committed(job) == ["one"]


@pytest.mark.in_turn
@pytest.mark.parametrize("environment", ["wandb-0.23.1", "wandb-0.19.11", "wandb-0.25.1", "wandb-3.12"])
def test_with_the_shim_both_jobs_keep_their_artifacts(job: Job, environment: str) -> None:
    first, second = logged_twice(job, environment)
    assert first.startswith("v0\n")
    assert second.startswith("v0\n")
    assert committed(job) == ["one", "two"]


def test_the_fix_may_be_called_by_hand(job: Job) -> None:
    by_hand = "from shim import patch_wandb_runid_for_seeded_random as patch\nassert [patch(), patch()] == [True, True]"
    first, second = logged_twice(job, "wandb-0.23.1", by_hand=by_hand, skip="wandb_runid")
    assert DEFECT not in first + second
    assert committed(job) == ["one", "two"]


@pytest.mark.in_turn
@pytest.mark.parametrize("environment", ["wandb-0.23.1", "wandb-3.12"])
def test_the_scripts_random_stream_is_the_same_with_and_without_an_artifact(job: Job, environment: str) -> None:
    job.write("train.py", SEEDED.replace("BY_HAND", ""))
    printed = [job.run(python_of(environment), "train.py", name).stdout for name in ("", "one")]
    without, logging = (ast.literal_eval(text[text.index("[0.") :].splitlines()[0]) for text in printed)
    assert without == logging


def test_forked_children_share_ids_in_0_25_1_and_not_with_the_shim(job: Job) -> None:
    job.write("train.py", FORKED)
    python = python_of("wandb-0.25.1")
    plain = job.run(python, "train.py", shim=False).stdout.split()
    tracked = job.run(python, "train.py").stdout.split()
    assert (len(set(plain)), len(set(tracked))) == (1, 2)


@pytest.mark.parametrize(
    ("environment", "had_the_defect"),
    [("wandb-0.19.11", False), ("wandb-0.23.1", True), ("wandb-0.25.1", True), ("wandb-3.12", False)],
)
def test_only_releases_with_the_defect_are_touched(job: Job, environment: str, had_the_defect: bool) -> None:
    job.write(
        "train.py",
        "from wandb.sdk.lib import runid\nimport random\n"
        "print(any(isinstance(value, random.SystemRandom) for value in vars(runid).values()))\n",
    )
    assert job.run(python_of(environment), "train.py", environ={"WANDB_PROJECT": None}).stdout == f"{had_the_defect}\n"
