"""A real Slurm behind a real SSH: nemo-run submits, the job is requeued, it stays one run, and its key lies nowhere."""

from __future__ import annotations

from pathlib import Path

from tests.environments import REPOSITORY, python_of
from tests.jobs import Job
from tests.leaks import files_with
from tests.slurm import SlurmCluster
from tests.wandb_server import API_KEY

PLANTED = "planted-0123456789abcdef0123456789abcdef"

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
setup_lines = "export PATH=/opt/venv/bin:$PATH"
env_vars = {{ PLANTED = "{planted}", FORMULA = "$a $$ ${{b}} 'x' `c` \\\\ Köln" }}
"""
FORMULA = "$a $$ ${b} 'x' `c` \\ Köln"

# As a user writes it, in a git repository whose last commit nemo-run takes to the cluster.
LAUNCH = """
import launcher
import nemo_run as run

if __name__ == "__main__":
    executor = launcher.build_executor("cluster", packager=run.GitArchivePackager())
    with run.Experiment("exp", executor=executor) as experiment:
        script = run.Script(path="train.py", entrypoint="python", args=["--steps", "3"])
        experiment.add(script, executor=executor, name="task")
        experiment.run(detach=True, tail_logs=False)
"""

# Does not mention W&B. Its first attempt would take an hour.
TRAIN = """
import os, time

attempt = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
task = os.environ["SLURM_PROCID"]
print(f"attempt {attempt} task {task} formula {os.environ['FORMULA']} key {'WANDB_API_KEY' in os.environ}", flush=True)
if attempt == 0:
    time.sleep(3600)
"""


def submit(job: Job, cluster: SlurmCluster) -> Path:
    """Submit as a user would, from a project with an env.toml; nemo-run's home."""
    where = {"port": cluster.port, "user": cluster.user, "identity": cluster.identity, "home": cluster.home}
    job.write("env.toml", ENV_TOML.format(**where, planted=PLANTED))
    job.write("train.py", TRAIN)
    job.write("launch.py", LAUNCH)
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.com"]
    for command in (["init", "-q"], ["add", "train.py"], ["commit", "-q", "-m", "all"]):
        job.run(*git, *command, shim=False)
    home = job.directory.parent / "nemo_run"
    environ = {
        "WANDB_PROJECT": None,  # env.toml has it
        "PATH": f"{cluster.tools}:{job.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "NEMORUN_HOME": str(home),
    }
    done = job.run(python_of("nemo-run"), "launch.py", shim=False, environ=environ, timeout=240)
    assert API_KEY not in done.stdout + done.stderr
    return home


def test_a_job_of_two_tasks_that_is_requeued_is_one_run_and_its_key_lies_nowhere(
    job: Job, slurm: SlurmCluster, tmp_path: Path
) -> None:
    nemo_run_home = submit(job, slurm)
    number = slurm.only_job()
    slurm.wait_for(lambda: any("attempt 0 task 0" in run.console_text() for run in job.server.runs))
    [key_file] = slurm.run("find", slurm.home, "-name", "wandb_api_key").split()
    assert slurm.run("stat", "-c", "%a %U", key_file, str(Path(key_file).parent)).split() == ["600", "me", "700", "me"]
    assert slurm.run("cat", key_file) == API_KEY + "\n"

    slurm.run("scontrol", "requeue", number)
    slurm.run("sh", "-c", f"until scontrol show job {number} | grep -q PENDING; do sleep 0.2; done")
    assert slurm.run("cat", key_file) == API_KEY + "\n", "the next attempt needs it"
    slurm.wait_for(lambda: slurm.state(number) == "COMPLETED")

    run = job.server.run()
    assert (run.project, Path(run.program).name, run.exit_code) == ("nemotron", "train.py", 0)
    assert run.resumed
    assert f"attempt 1 task 0 formula {FORMULA} key False" in run.console_text()

    left = slurm.copy_of(slurm.home, tmp_path / "cluster")
    log = "".join(path.read_text() for path in left.rglob("*.out"))
    for attempt in (0, 1):
        for task in (0, 1):
            assert f"attempt {attempt} task {task} formula {FORMULA} key False" in log
    # The same search finds what is put among the variables, so that finding nothing means something.
    assert files_with(PLANTED, left).keys() >= {"task_sbatch.sh", "task_executor.yaml", "_TASKS"}
    assert "PLANTED" in log, "the log is traced"
    for place in (left, nemo_run_home, slurm.copy_of("/var/spool/slurmctld", tmp_path / "spool")):
        assert files_with(API_KEY, place) == {}
    assert slurm.run("find", slurm.home, "-name", "wandb_api_key") == ""
