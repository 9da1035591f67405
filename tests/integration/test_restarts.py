"""One job, one run, across restarts: the real torchrun, the real client."""

from __future__ import annotations

import pytest

from tests.environments import python_of
from tests.jobs import Job

# Rank 0 crashes in iteration 3; the agent then ends rank 1 and starts both again. Without a process group: that of
# gloo does not survive a restart in which one rank comes late.
CRASHES_ONCE = """\
import os, time
attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
if os.environ["RANK"] == "1":
    time.sleep(600 if attempt == 0 else 0)
else:
    import wandb
    run = wandb.init(project="owt", name="mine", config={"lr": 1})
    for step in range(3 * attempt, 6):
        if attempt == 0 and step == 3:
            raise RuntimeError("iteration 3")
        run.log({"loss": 1.0 / (step + 1)}, step=step)
"""


@pytest.mark.xdist_group("torch")
def test_a_torchrun_restart_continues_the_run(job: Job) -> None:
    torchrun = python_of("torch").with_name("torchrun")
    job.write("train.py", CRASHES_ONCE)
    job.run(torchrun, "--standalone", "--nproc-per-node", "2", "--max-restarts", "2", "train.py", timeout=180)
    run = job.server.run()
    assert (run.project, run.display_name, run.state) == ("proj", "mine", "finished")
    assert run.resumed
    assert [row["_step"] for row in run.history] == [0, 1, 2, 3, 4, 5]
