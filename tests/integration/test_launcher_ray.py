"""`ray_runtime_env` in a real Ray cluster: a job submitted through Ray's own client, its driver as NeMo-RL has it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.environments import REPOSITORY, borrowing_environment, environment_of, python_of
from tests.jobs import Job
from tests.leaks import files_with
from tests.ray_cluster import RayCluster
from tests.wandb_server import API_KEY

pytestmark = pytest.mark.xdist_group("ray")

PLANTED = "planted-0123456789abcdef0123456789abcdef"

# nemo_rl/distributed/virtual_cluster.py, init_ray: all that the driver has goes to the workers, and a worker group
# copies it once more, with an interpreter of its own.
DRIVER = """\
import json, os, sys
import ray

ray.init(address="auto", log_to_driver=False, runtime_env={"env_vars": dict(os.environ)})

@ray.remote
def seen():
    names = ("WANDB_PROJECT", "WANDB_TAGS", "WANDB_API_KEY", "WANDB_API_KEY_FILE", "WANDB_NOTES")
    return {"prefix": sys.prefix, "wandb": "wandb" in sys.modules} | {name: os.environ.get(name) for name in names}

own = {"py_executable": sys.argv[1], "env_vars": dict(os.environ)}
print("SEEN " + json.dumps(ray.get([seen.remote(), seen.options(runtime_env=own).remote()])))
"""

SUBMIT = """\
import json, os, sys, time
from ray.job_submission import JobSubmissionClient
from launcher import ray_runtime_env
from launcher.key_files import write_key_file

address, worker_python, planted = sys.argv[1:]
key_file = write_key_file(os.environ["WANDB_API_KEY"])
environment = ray_runtime_env(env={"PLANTED": planted}, key_file=key_file, verify=True)
client = JobSubmissionClient(address)
job = client.submit_job(entrypoint="python driver.py " + worker_python, runtime_env={**environment, "working_dir": "."})
end = time.monotonic() + 120
while not (status := client.get_job_status(job)).is_terminal() and time.monotonic() < end:
    time.sleep(0.5)
jobs = [details.dict() for details in client.list_jobs()]
print(json.dumps({"status": status, "log": client.get_job_logs(job), "jobs": jobs, "sent": environment}, default=str))
"""


def test_a_submitted_job_is_one_run_and_ray_never_shows_the_key(job: Job, ray_cluster: RayCluster) -> None:
    job.write("env.toml", '[wandb]\nproject = "proj"\ntags = ["rl"]\nnotes = "it\'s 100 $ a \\"step\\""\n')
    job.write("driver.py", DRIVER)
    environ = {
        "WANDB_PROJECT": None,  # env.toml has it
        "PYTHONPATH": str(REPOSITORY),
    }
    worker = borrowing_environment(environment_of("launcher").base.executable, job.directory.parent / "own", "launcher")
    submit = job.directory.parent / "submit.py"
    submit.write_text(SUBMIT)
    done = job.run(
        python_of("launcher"), submit, ray_cluster.address, worker, PLANTED, shim=False, environ=environ, timeout=240
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["status"] == "SUCCEEDED", told["log"]

    line = next(line for line in told["log"].splitlines() if line.startswith("SEEN "))
    shared, own = json.loads(line.removeprefix("SEEN "))
    assert (Path(own["prefix"]), Path(shared["prefix"])) == (worker.parents[1], python_of("launcher").parents[1])
    for seen in (shared, own):
        assert (seen["WANDB_PROJECT"], seen["WANDB_TAGS"]) == ("proj", "rl")
        assert seen["WANDB_NOTES"] == 'it\'s 100 $ a "step"'
        assert seen["WANDB_API_KEY"] is None
        assert not seen["wandb"], "a worker has imported wandb"
        assert not os.path.exists(seen["WANDB_API_KEY_FILE"]), "the key file outlived the submitting process"

    run = job.server.run()
    assert (Path(run.program).name, run.tags, run.state) == ("driver.py", ["rl"], "finished")
    assert "SEEN " in run.console_text()

    # The same search finds what is put among the variables, so that finding nothing means something.
    assert files_with(PLANTED, ray_cluster.directory)["runtime_env_agent.log"] == "clear"
    assert PLANTED in json.dumps(told["jobs"])
    assert files_with(API_KEY, ray_cluster.directory) == {}
    assert API_KEY not in done.stdout + done.stderr


LOGS_IN_A_WORKER = """\
import ray

ray.init(address="auto", log_to_driver=False)

@ray.remote
def work():
    import wandb
    with wandb.init(project="theirs", name="of a worker", config={"lr": 1}) as run:
        run.log({"loss": 2.0})

ray.get(work.remote())
"""


def test_what_a_worker_of_a_submitted_job_logs_is_in_the_jobs_run(job: Job, ray_cluster: RayCluster) -> None:
    job.write("env.toml", '[wandb]\nproject = "proj"\n')
    job.write("driver.py", LOGS_IN_A_WORKER)
    submit = job.directory.parent / "submit.py"
    submit.write_text(SUBMIT)
    environ = {"WANDB_PROJECT": None, "PYTHONPATH": str(REPOSITORY)}
    done = job.run(python_of("launcher"), submit, ray_cluster.address, "", "", shim=False, environ=environ, timeout=240)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["status"] == "SUCCEEDED", told["log"]
    run = job.server.run()
    assert (run.project, run.display_name, run.config["lr"], run.state) == ("proj", "of a worker", 1, "finished")
    assert [row["loss"] for row in run.history] == [2.0]
