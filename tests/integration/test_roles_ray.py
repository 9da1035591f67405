"""One run a job where Ray starts the processes: the driver's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.environments import python_of
from tests.jobs import Job

# A cluster of the driver's own, that ends with it. The workers say whether anything of ours or of W&B is in them.
DRIVER = """\
import os, sys
import ray

def there():
    return sorted({"wandb", "wrapt"} & set(sys.modules))

@ray.remote
def square(number):
    return number * number, there(), os.environ.get("WANDB_PROJECT")

@ray.remote(runtime_env={"env_vars": {"RANK": "0", "WORLD_SIZE": "1"}})
class Trainer:
    def train(self):
        import subprocess
        return subprocess.run([sys.executable, "-c", "print('a helper')"], check=True).returncode, there()

def drive(**copied):
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False, runtime_env=copied)
    trainer = Trainer.remote()
    print(ray.get([square.remote(number) for number in range(2)]), ray.get(trainer.train.remote()))
    ray.shutdown()
"""
COPIES_ALL = """drive(env_vars={name: value for name, value in os.environ.items() if name.startswith("WANDB")})"""
# As a driver does that knows nothing of the shim: without the mark that the owner leaves for its descendants.
COPIES_ITS_OWN = """drive(env_vars={"WANDB_PROJECT": "proj", "WANDB_SHIM_OWNED_BY": ""})"""
RESULT = "[(0, [], 'proj'), (1, [], 'proj')] (0, [])\n"


@pytest.fixture(scope="session")
def python() -> Path:
    return python_of("ray")


@pytest.mark.parametrize("copies", [COPIES_ALL, COPIES_ITS_OWN], ids=["all variables", "without the mark"])
def test_a_driver_owns_the_run_and_its_workers_do_not(job: Job, python: Path, copies: str) -> None:
    job.write("train.py", f"{DRIVER}\n{copies}\n")
    done = job.run(python, "train.py")
    assert done.stdout == RESULT
    run = job.server.run()
    assert (Path(run.program).name, run.exit_code) == ("train.py", 0)


def test_a_cluster_and_its_workers_open_no_run_of_their_own(job: Job, python: Path) -> None:
    # A driver that is no training: nothing in the cluster carries the owner's mark.
    job.write("driver.py", DRIVER)
    done = job.run(python, "-c", "from driver import drive; drive()")
    assert done.stdout == RESULT
    assert job.server.requests == []
