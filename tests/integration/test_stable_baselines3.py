"""Stable-Baselines3 in a script that never mentions W&B: what its logger dumps, as W&B reads it from TensorBoard."""

from __future__ import annotations

from typing import Any

import pytest

from tests.comparing import configured, steady
from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Run

pytestmark = [pytest.mark.matrix, pytest.mark.xdist_group("rl-vision")]

PROGRAM = """\
import hashlib, io
native = {native}
if native:
    import wandb
    wandb.init(project="theirs", name="mine", sync_tensorboard=True)
from stable_baselines3 import PPO

def digest(agent):
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in agent.policy.state_dict().values())).hexdigest()

agent = PPO(
    "MlpPolicy", "CartPole-v1", n_steps=64, batch_size=32, n_epochs=1, seed=1, device="cpu",
    tensorboard_log="tb" if native else None,
)
agent.learn(256)
agent.logger.record("mine/shown", 3)
agent.logger.record("mine/hidden", 4, exclude="tensorboard")
agent.logger.record("mine/text", "words")
agent.logger.dump(300)
file = io.BytesIO()
agent.save(file)
file.seek(0)
print(digest(agent), digest(PPO.load(file, device="cpu")), [type(f).__name__ for f in agent.logger.output_formats])
"""
TIMES = ("time/fps", "time/time_elapsed")


def rows(run: Run) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in steady(row).items() if name not in TIMES} for row in run.history if len(row) > 3
    ]


def test_the_rows_are_those_that_wandb_reads_from_tensorboard(job: Job) -> None:
    python = python_of("rl-vision")
    job.write("native.py", PROGRAM.format(native=True))
    job.write("plain.py", PROGRAM.format(native=False))
    job.run(python, "native.py", shim=False)
    plain = job.run(python, "plain.py", shim=False)
    done = job.run(python, "plain.py")
    assert done.stdout == plain.stdout
    job.run(python, "native.py")
    native, ours, both = job.server.runs
    assert len(rows(ours)) == len(rows(native)) == 5
    for row, theirs in zip(rows(ours), rows(native), strict=True):
        assert row == pytest.approx(theirs, rel=1e-6)  # TensorBoard keeps floats of 32 bits
    config = ours.config["stable_baselines3"]
    assert (config["algo"], config["n_steps"], config["device"]) == ("PPO", 64, "cpu")
    assert rows(both) == rows(native)
    assert configured(both) == configured(native)
