"""The random streams of a script are those it has without the shim: from its first line on, while the run is open."""

from __future__ import annotations

import pytest

from tests.environments import python_of
from tests.jobs import Job

# Drawn right after seeding on the first lines, and again after artifacts, logging and what the shim's threads do.
DRAWS = """\
import random
random.seed(SEED)
print([random.random(), random.getrandbits(64), random.choices(range(9), k=3)])
import sys, time
import numpy
numpy.random.seed(SEED)
print(numpy.random.rand(2), numpy.random.default_rng(SEED).normal(size=2), numpy.random.randint(9, size=3))
if "torch" in sys.argv:
    import torch
    torch.manual_seed(SEED)
    print(torch.rand(2), torch.randperm(5), torch.initial_seed(), torch.empty(2).normal_())
TRACKED
print(random.random(), numpy.random.rand(2), random.getstate()[1][:3], numpy.random.get_state()[1][:3])
if "torch" in sys.argv:
    print(torch.rand(2), torch.get_rng_state().sum())
"""
# By what name it is called and how it ends is no matter here; artifacts are what has moved the stream (wandb 0.23.1).
LOGS = """
import os
if "WANDB_PROJECT" in os.environ:
    import wandb
    run = wandb.init()
    for step in range(3):
        run.log({"loss": step})
    artifact = wandb.Artifact("data", type="dataset")
    run.log_artifact(artifact)
    wandb.finish()
"""


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.matrix), 1234])
@pytest.mark.parametrize("tracked", ["time.sleep(1)", LOGS], ids=["no word of W&B", "logs to W&B"])
@pytest.mark.parametrize("arguments", [("frameworks", "torch"), ("wandb-0.23.1",), ("wandb-0.25.1",)], ids=" ".join)
def test_streams_are_the_same_with_and_without_the_shim(
    job: Job, seed: int, tracked: str, arguments: tuple[str, ...]
) -> None:
    environment, *words = arguments
    job.write("train.py", DRAWS.replace("SEED", str(seed)).replace("TRACKED", tracked))
    plain = job.run(python_of(environment), "train.py", *words, shim=False, environ={"WANDB_PROJECT": None})
    done = job.run(python_of(environment), "train.py", *words)
    assert done.stdout.splitlines() == plain.stdout.splitlines()
    assert len(plain.stdout.splitlines()) >= 3
    assert job.server.run().state == "finished"


def test_another_seed_is_another_stream(job: Job) -> None:
    printed = set()
    for seed in ("0", "1234"):
        job.write("train.py", DRAWS.replace("SEED", seed).replace("TRACKED", ""))
        printed.add(job.run(python_of("wandb-0.23.1"), "train.py", shim=False).stdout)
    assert len(printed) == 2
