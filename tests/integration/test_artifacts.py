"""Checkpoints on their way to W&B while the server fails, the job is killed, or there is no network at all."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.integration.test_nemo_rl import UP_TO_07, committed, nemo_rl, steps
from tests.jobs import NODE_DIES, Job
from tests.wandb_server import Fault

# Megatron-Bridge's hook on checkpoints of a few bytes; see there.
SAVES = Path(__file__).parent / "megatron" / "saves.py"

# Save, and be killed before the server has answered.
KILLED = "from saves import save\nimport os, time\nsave(1)\ntime.sleep({seconds})\n" + NODE_DIES


@pytest.fixture
def python(job: Job) -> Path:
    """The interpreter with Megatron-Bridge, and `saves` beside the script."""
    job.write("saves.py", SAVES.read_text())
    return python_of("megatron")


UNTIL_COMMITTED = """\
import importlib, time
channel = importlib.import_module("_wandb_shim.script.channel").current()
while [row["state"] for row in channel.ask({"ask": "status"}, 60)["checkpoints"]] != ["committed"] * COUNT:
    time.sleep(0.05)
"""


def until_committed(count: int) -> str:
    """Lines of a script that wait until this many checkpoints are at the server."""
    return UNTIL_COMMITTED.replace("COUNT", str(count))


def iterations(job: Job) -> list[int]:
    return [a.metadata["iteration"] for a in job.server.artifacts if a.state == "COMMITTED"]


def mentions(stderr: str, path: Path | str) -> list[str]:
    """The shim's lines that name a path."""
    return [line for line in stderr.splitlines() if line.startswith("wandb-shim:") and str(path) in line]


def wait_until_killed(job: Job, python: Path, script: str, *, match: str) -> None:
    """Run a script that kills itself while the server hangs in the requests that match."""
    job.server.set_fault(Fault("hang", match=match))
    job.write("train.py", script)
    assert job.run(python, "train.py", check=False).returncode == -9
    assert [artifact for artifact in job.server.artifacts if artifact.state == "COMMITTED"] == []
    job.server.clear_faults()


@pytest.mark.parametrize("match", ["CreateArtifact$", "CommitArtifact"])
@pytest.mark.parametrize("again", ["save({step})", "load(1)"])
def test_what_a_kill_kept_from_being_committed_is_logged_once(job: Job, python: Path, match: str, again: str) -> None:
    wait_until_killed(job, python, KILLED.format(seconds=3), match=match)
    for step in (2, 3):
        job.write("train.py", f"from saves import load, save\n{again.format(step=step)}\n")
        job.run(python, "train.py")
    assert iterations(job) == ([1, 2, 3] if "save" in again else [1])


def test_what_was_committed_but_not_noted_is_not_logged_twice(job: Job, python: Path) -> None:
    job.write("train.py", "from saves import save\nsave(1)\n")
    job.run(python, "train.py")
    journal = job.directory / "ckpts" / ".wandb-shim-checkpoints.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"committed"' not in line))
    job.write("train.py", "from saves import save\nsave(2)\n")
    job.run(python, "train.py")
    assert iterations(job) == [1, 2]


def test_a_killed_job_of_nemo_rl_logs_the_rest_at_its_next_save(job: Job) -> None:
    nemo_rl(job, UP_TO_07)
    other = python_of("wandb-3.12")
    script = "from algorithm import train\ntrain([(1, 0.1)])\nimport os, time; time.sleep(2)\n" + NODE_DIES
    wait_until_killed(job, other, script, match="CreateArtifact$")
    job.write("train.py", "from algorithm import train\ntrain([(2, 0.2)], keep_top_k=None)\n")
    job.run(other, "train.py")
    assert steps(job) == [1, 2]


@pytest.mark.parametrize("fault", [Fault("status", status=500, match="Artifact"), Fault("reset")], ids=["500", "reset"])
def test_when_the_server_dies_during_a_save_training_goes_on_and_one_warning_names_it(
    job: Job, python: Path, fault: Fault
) -> None:
    job.write(
        "train.py",
        f"from saves import save\nsave(1)\n{until_committed(1)}print('go', flush=True)\n"
        "time.sleep(3)\nsave(2)\nprint('trained')\nraise SystemExit(7)\n",
    )
    process = subprocess.Popen(
        [python, "train.py"],
        cwd=job.directory,
        env={**job.environ, "PYTHONPATH": str(job.home), "WANDB_FINISH_TIMEOUT": "5"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    job.server.set_fault(fault)
    start = time.monotonic()
    stdout, stderr = process.communicate(timeout=280)
    assert (process.returncode, stdout) == (7, "trained\n")
    assert len(mentions(stderr, job.directory / "ckpts" / "iter_0000002")) == 1
    assert mentions(stderr, job.directory / "ckpts" / "iter_0000001") == []
    assert time.monotonic() - start < 60
    job.server.clear_faults()
    job.write("train.py", "from saves import load\nload(2)\n")
    job.run(python, "train.py")
    assert iterations(job) == [1, 2]


def test_the_same_checkpoint_twice_in_a_process_is_one_version(job: Job, python: Path) -> None:
    # Once the second is committed: two at once would be waited for as one.
    job.write("train.py", f"from saves import save\nsave(1)\nsave(2)\n{until_committed(2)}save(2)\n")
    job.run(python, "train.py")
    assert iterations(job) == [1, 2]


def test_the_step_is_that_of_the_path_and_not_of_the_argument(job: Job, python: Path) -> None:
    job.write("train.py", "from saves import save\nsave(1, iteration=2)\nsave(2, iteration=2)\n")
    job.run(python, "train.py")
    assert iterations(job) == [1, 2]
    assert [sorted(artifact.aliases) for artifact in committed(job)] == [["iter_0000001"], ["iter_0000002", "latest"]]


def test_a_rewritten_directory_is_a_new_version_an_unchanged_one_not(job: Job, python: Path) -> None:
    def version(script: str) -> int:
        job.write("train.py", f"from saves import call, save\n{script}\n")
        job.run(python, "train.py")
        return len(committed(job))

    assert version("save(1, name='last')") == 1
    assert version("call('ckpts/last', 'ckpts', 1)") == 1
    assert version("save(1, name='last', text='another')") == 2
    assert version("save(2, name='last'); import time; time.sleep(1); save(3, name='last', text='more')") == 4


def test_offline_all_is_in_the_file_that_wandb_sync_uploads(job: Job, python: Path) -> None:
    job.write("train.py", "from saves import load, save\nload(1)\nsave(1)\nsave(2)\nprint('trained')\n")
    done = job.run(python, "train.py", environ={"WANDB_MODE": "offline"})
    assert (done.stdout, job.server.requests) == ("trained\n", [])
    assert mentions(done.stderr, "iter_") == []
    (directory,) = (job.directory / "wandb").glob("offline-run-*")
    job.run(python.parent / "wandb", "sync", directory, shim=False, environ={"WANDB_PROJECT": None})
    assert iterations(job) == [1, 2]
    assert job.server.run().config["wandb_shim"] == {"inputs": ["ckpts:iter_0000001"]}


@pytest.mark.parametrize("init", ["auto", "defer"])
@pytest.mark.parametrize("end", ["pass", "wandb.finish()", "with"])
def test_the_end_of_the_run_waits_however_it_ends(job: Job, python: Path, init: str, end: str) -> None:
    job.server.set_fault(Fault("slow", match="Artifact", seconds=0.5))
    body = "with wandb.init():\n    save(1)\n" if end == "with" else f"wandb.init()\nsave(1)\n{end}\n"
    job.write("train.py", "from saves import save\nimport wandb\n" + body)
    job.run(python, "train.py", environ={"WANDB_SHIM_INIT": init})
    assert iterations(job) == [1]
    assert job.server.run().exit_code == 0


TERMINATED = (
    "from saves import save\nimport os, time\nsave(1)\ntime.sleep(1)\nos.kill(os.getpid(), 15)\ntime.sleep(60)\n"
)


def test_a_job_that_gets_sigterm_ends_its_run_although_an_artifact_is_on_its_way(job: Job, python: Path) -> None:
    job.server.set_fault(Fault("slow", match="CommitArtifact", seconds=3))
    job.write("train.py", TERMINATED)
    assert job.run(python, "train.py", check=False).returncode == -15
    assert job.server.run().exit_code == 128 + 15
    job.write("train.py", "from saves import load\nload(1)\n")
    job.run(python, "train.py")
    assert iterations(job) == [1]


def test_a_job_that_gets_sigterm_while_the_server_hangs_dies_by_it_in_time(job: Job, python: Path) -> None:
    job.server.set_fault(Fault("hang", match="CreateArtifact$"))
    job.write("train.py", TERMINATED)
    start = time.monotonic()
    done = job.run(python, "train.py", check=False)
    assert done.returncode == -15
    assert time.monotonic() - start < 60  # its companion, too, is gone by then
    assert mentions(done.stderr, "iter_0000001") == []  # the script died at once, and nobody reads on


# Saves without a pause; what the companion holds in memory once the first 20 are committed, and once all are.
MANY = """\
from saves import save
import importlib, pathlib, sys, time
companion = importlib.import_module("_wandb_shim.script.channel").current().companion

def resident_kib(step):
    journal = pathlib.Path("ckpts/.wandb-shim-checkpoints.jsonl")
    while journal.read_text().count('"committed"') < step:
        time.sleep(0.1)
    status = pathlib.Path(f"/proc/{companion}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])

for step in range(1, int(sys.argv[1]) + 1):
    save(step)
    if step == 20:
        print(resident_kib(step))
print(resident_kib(step))
"""


@pytest.mark.matrix
def test_many_saves_without_a_pause_are_all_committed_in_little_memory(job: Job, python: Path) -> None:
    job.write("train.py", MANY)
    done = job.run(python, "train.py", "200", timeout=280)
    assert iterations(job) == list(range(1, 201))
    before, after = map(int, done.stdout.split())
    assert after - before < 20_000, (before, after)


# Commits as many checkpoints twice, as the companion does; prints what that holds after each time: how many objects of
# our classes and of wandb's artifacts there are, and how many values the committer leads to.
HOLDS = """\
import collections, gc, pathlib, sys
sys.path.insert(0, sys.argv[1])
import wandb
from shim.checkpoint import Checkpoint
from shim.companion.committer import Committer

PLAIN = (collections.deque, dict, list, set, str, tuple)

def is_ours(one):
    return str(type(one).__module__).startswith("shim.")

def values_below(one):
    found, left = {}, [one]
    while left:
        one = left.pop()
        if id(one) not in found and (type(one) in PLAIN or is_ours(one)):
            found[id(one)] = one
            left += gc.get_referents(one)
    return len(found)

committer, count = Committer(), int(sys.argv[2])
committer.begin(wandb.init(mode="offline"))
for first in (1, 1 + count):
    for step in range(first, first + count):
        path = pathlib.Path(f"ckpts/step-{step}").absolute()
        path.mkdir(parents=True)
        path.joinpath("weights").write_text("weights")
        committer.commit(Checkpoint(str(path), "ckpts", step))
    committer.drain()
    gc.collect()
    kinds = collections.Counter(type(one).__name__ for one in gc.get_objects() if is_ours(one))
    artifacts = sum(type(one) is wandb.Artifact for one in gc.get_objects())
    print(artifacts, sorted(kinds.items()), values_below(committer))
"""


def test_a_companion_holds_no_more_after_many_checkpoints_than_after_some(job: Job) -> None:
    job.write("holds.py", HOLDS)
    done = job.run(python_of("wandb-3.12"), "holds.py", job.home, "120", shim=False, environ={"WANDB_SILENT": "true"})
    after_some, after_many = done.stdout.splitlines()
    assert after_many == after_some
    assert after_some.startswith("100 [")  # as many as wandb keeps in any process
    assert "('Committer', 1)" in after_some


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make a mount namespace here")
def test_the_path_in_the_metadata_is_that_outside_of_a_bind_mount(job: Job, python: Path) -> None:
    (job.directory / "on the host").mkdir()
    (job.directory / "inside").mkdir()
    job.write("train.py", "from saves import save\nsave(1, directory='inside/ckpts')\n")
    mounted = f"mount --bind 'on the host' inside && exec {python} train.py"
    job.run("unshare", "--mount", "/bin/sh", "-c", mounted)
    (artifact,) = committed(job)
    path = job.directory / "on the host" / "ckpts" / "iter_0000001"
    assert path.is_dir()
    assert artifact.metadata["absolute_path"].endswith(str(path.relative_to(job.directory)))
    assert artifact.entries["__0_0.distcp"]["ref"] == f"file://{job.directory}/inside/ckpts/iter_0000001/__0_0.distcp"


READ_ONLY = """\
from saves import call, write
import subprocess
write("ckpts/iter_0000001")
subprocess.run(["mount", "--bind", "ckpts", "ckpts"], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", "ckpts"], check=True)
call("ckpts/iter_0000001", "ckpts", 1)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make a mount namespace here")
def test_a_checkpoint_that_lies_where_nothing_can_be_written_is_logged(job: Job, python: Path) -> None:
    job.write("train.py", READ_ONLY)
    done = job.run("unshare", "--mount", python, "train.py")
    assert iterations(job) == [1]
    (warning,) = mentions(done.stderr, "ckpts")  # of the next job, which will look for it in its own project
    assert "latest_wandb_artifact_path.txt" in warning


LINKED = """\
from saves import call, write
import os
write("elsewhere/a")
os.makedirs("disk")
os.symlink("disk", "ckpts")
os.symlink("../elsewhere/a", "ckpts/iter_0000001")
call("ckpts/iter_0000001", "ckpts", 7)
"""


def test_a_checkpoint_behind_links_has_the_name_of_the_link(job: Job, python: Path) -> None:
    job.write("train.py", LINKED)
    assert mentions(job.run(python, "train.py").stderr, "iter_") == []
    (artifact,) = committed(job)
    assert (artifact.name, artifact.metadata["iteration"]) == ("ckpts:v0", 1)
    assert set(artifact.aliases) == {"iter_0000001", "latest"}
    assert artifact.metadata["absolute_path"] == str(job.directory / "elsewhere" / "a")
    journal = (job.directory / "disk" / ".wandb-shim-checkpoints.jsonl").read_text()
    assert f'"path": "{job.directory}/ckpts/iter_0000001"' in journal  # whatever directory the script is in later
    assert artifact.entries["__0_0.distcp"]["ref"] == f"file://{job.directory}/elsewhere/a/__0_0.distcp"


def test_a_checkpoint_goes_to_the_run_that_is_open_or_to_none(job: Job, python: Path) -> None:
    job.write(
        "train.py",
        "from saves import save\nimport wandb\nwandb.init().finish()\nsave(1)\nsave(2, writer=wandb)\n"
        "run = wandb.init()\nsave(3)\nprint(run.id)\n",
    )
    done = job.run(python, "train.py")
    (artifact,) = committed(job)
    assert (artifact.metadata["iteration"], artifact.run_id) == (3, job.server.runs[1].id)
    assert [line for line in done.stderr.splitlines() if "Traceback" in line] == []


FORKED = """\
from saves import save
import os, sys, time
save(1)
start = time.monotonic()
child = os.fork()
if child == 0:
    sys.exit(5)
status = os.waitpid(child, 0)[1]  # wandb has children of its own
print(os.waitstatus_to_exitcode(status), time.monotonic() - start < 6)
"""


def test_a_forked_child_does_not_wait_for_its_parents_artifacts(job: Job, python: Path) -> None:
    job.server.set_fault(Fault("slow", match="CommitArtifact", seconds=8))
    job.write("train.py", FORKED)
    assert job.run(python, "train.py").stdout == "5 True\n"
    assert iterations(job) == [1]
