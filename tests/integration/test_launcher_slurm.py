"""A real Slurm behind a real SSH: nemo-run submits, the job is requeued, it stays one run, and its key lies nowhere."""

from __future__ import annotations

from pathlib import Path

from tests.jobs import Job
from tests.launching import (
    FORMULA,
    FORMULA_TOML,
    PLANTED,
    launch,
    nemo_run_home,
    the_key_lies_in_no_file_of,
    write_project,
)
from tests.slurm import SlurmCluster
from tests.wandb_server import API_KEY

ENV_TOML = """
[wandb]
project = "nemotron"

[cluster]
executor = "slurm"
account = "a"
partition = "batch"
ntasks_per_node = 2
time = "00:30:00"
tunnel = "ssh"
host = "127.0.0.1"
port = {port}
user = "{user}"
identity = "{identity}"
remote_job_dir = "{home}/jobs"
retries = {retries}
env_vars = {{ PLANTED = "{planted}", FORMULA = {formula} }}
"""

KEY_FILE = "wandb_api_key"

LAUNCH = """
import launcher
import nemo_run as run

if __name__ == "__main__":
    executor = launcher.build_executor("cluster", packager=run.GitArchivePackager())
    with run.Experiment("exp", executor=executor) as experiment:
        script = run.Script(path="train.py", entrypoint="python3", args=["--steps", "3"])
        experiment.add(script, executor=executor, name="task")
        experiment.run(detach=True, tail_logs=False)
"""

# Does not mention W&B. Its first attempt would take an hour.
TRAIN = """
import os, time

attempt = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
task = os.environ["SLURM_PROCID"]
key = "WANDB_API_KEY" in os.environ
print(f"attempt {attempt} task {task} formula {os.environ['FORMULA']!a} key {key}", flush=True)
if attempt == 0:
    time.sleep(3600)
"""

# The first task fails; srun then ends the other, which waits for nothing else.
FAILS = """
import os, sys, time

if os.environ["SLURM_PROCID"] != "0":
    time.sleep(3600)
print("attempt", os.environ.get("SLURM_RESTART_COUNT", "0"), flush=True)
sys.exit(3)
"""


# Two experiments with one executor, the second submitted when nothing of the first is left.
ONE_AFTER_THE_OTHER = """
import time

import launcher
import nemo_run as run

if __name__ == "__main__":
    executor = launcher.build_executor("cluster", packager=run.GitArchivePackager())
    for title in ("first", "second"):
        with run.Experiment(title, executor=executor) as experiment:
            script = run.Script(path="train.py", entrypoint="python3", args=[title])
            experiment.add(script, executor=executor, name="task")
            experiment.run(detach=True, tail_logs=False)
        executor.tunnel.connect()
        while executor.tunnel.run("squeue --noheader", hide=True).stdout.strip():
            time.sleep(0.5)
"""

# Does not mention W&B.
SHORT = "import os, sys\nprint('done', sys.argv[1:], os.environ.get('SLURM_ARRAY_TASK_ID'))\n"


def submit(
    job: Job, cluster: SlurmCluster, program: str, retries: int = 0, launch_by: str = LAUNCH, more: str = ""
) -> None:
    """Submit as a user would, from a project with an env.toml."""
    where = {"port": cluster.port, "user": cluster.user, "identity": cluster.identity, "home": cluster.home}
    toml = ENV_TOML.format(**where, retries=retries, planted=PLANTED, formula=FORMULA_TOML) + more
    write_project(job, toml, launch_by, program)
    launch(job, path=(cluster.tools,))


def test_a_job_of_two_tasks_that_is_requeued_is_one_run_and_its_key_lies_nowhere(
    job: Job, slurm: SlurmCluster, tmp_path: Path
) -> None:
    submit(job, slurm, TRAIN)
    number = slurm.only_job()
    slurm.wait_for(lambda: slurm.log().count("attempt 0 task") == 2)
    [key_file] = slurm.run("find", slurm.home, "-name", KEY_FILE).split()
    assert slurm.run("stat", "-c", "%a %U", key_file, str(Path(key_file).parent)).split() == ["600", "me", "700", "me"]
    assert slurm.run("cat", key_file) == API_KEY + "\n"

    slurm.run("scontrol", "requeue", number)
    slurm.run("sh", "-c", f"until scontrol show job {number} | grep -q PENDING; do sleep 0.2; done")
    assert slurm.run("cat", key_file) == API_KEY + "\n", "the next attempt needs it"
    slurm.wait_for(lambda: slurm.state(number) == "COMPLETED")

    run = job.server.run()
    assert (run.project, Path(run.program).name, run.exit_code) == ("nemotron", "train.py", 0)
    assert run.resumed
    assert f"attempt 1 task 0 formula {FORMULA!a} key False" in run.console_text()

    left = slurm.copy_of(slurm.home, tmp_path / "cluster")
    log = slurm.log()
    for attempt in (0, 1):
        for task in (0, 1):
            assert f"attempt {attempt} task {task} formula {FORMULA!a} key False" in log
    assert "PLANTED" in log, "the log is traced"
    the_key_lies_in_no_file_of(left, "task_sbatch.sh", "task_executor.yaml", "_TASKS")
    the_key_lies_in_no_file_of(nemo_run_home(job), "task_sbatch.sh", "task_executor.yaml", "_TASKS")
    the_key_lies_in_no_file_of(slurm.copy_of("/var/spool/slurmctld", tmp_path / "spool"))
    assert slurm.run("find", slurm.home, "-name", KEY_FILE) == ""


def test_a_job_that_fails_twice_keeps_its_key_for_the_retry_and_no_longer(job: Job, slurm: SlurmCluster) -> None:
    submit(job, slurm, FAILS, retries=1)
    number = slurm.only_job()
    slurm.wait_for(lambda: slurm.state(number) == "FAILED")
    run = job.server.run()
    assert (run.state, run.exit_code, bool(run.resumed)) == ("failed", 3, True)
    assert "attempt 1" in run.console_text()
    assert slurm.run("find", slurm.home, "-name", KEY_FILE) == ""


def test_a_job_that_is_cancelled_leaves_no_key(job: Job, slurm: SlurmCluster) -> None:
    submit(job, slurm, TRAIN)
    number = slurm.only_job()
    slurm.wait_for(lambda: slurm.log().count("attempt 0 task") == 2)
    slurm.run("scancel", number)
    slurm.wait_for(lambda: slurm.state(number) == "CANCELLED")
    slurm.wait_for(lambda: slurm.run("find", slurm.home, "-name", KEY_FILE) == "")


def test_two_tasks_of_one_executor_one_after_the_other_both_have_the_key(job: Job, slurm: SlurmCluster) -> None:
    submit(job, slurm, SHORT, launch_by=ONE_AFTER_THE_OTHER)
    runs = job.server.runs
    assert [run.exit_code for run in runs] == [0, 0]
    assert ["['first']" in run.console_text() for run in runs] == [True, False]
    slurm.wait_for(lambda: slurm.run("find", slurm.home, "-name", KEY_FILE) == "")


def test_an_array_of_three_shares_the_key_and_its_last_task_takes_it_along(job: Job, slurm: SlurmCluster) -> None:
    submit(job, slurm, SHORT, more='array = "0-2"\n')
    slurm.wait_for(lambda: not slurm.run("squeue", "--noheader"))
    runs = job.server.runs
    assert [run.exit_code for run in runs] == [0, 0, 0]
    tasks = sorted(task for run in runs for task in "012" if f"done ['--steps', '3'] {task}" in run.console_text())
    assert tasks == ["0", "1", "2"]
    slurm.wait_for(lambda: slurm.run("find", slurm.home, "-name", KEY_FILE) == "")
