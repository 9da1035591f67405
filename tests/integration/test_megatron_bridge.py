"""The real `pretrain()` of Megatron-Bridge on the CPU, and its hooks: what reaches W&B, and what it costs training."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path

import pytest

from tests.benchmarks import stall
from tests.comparing import configured
from tests.environments import python_of
from tests.integration.test_nemo_rl import committed
from tests.jobs import Job
from tests.wandb_server import Artifact, Fault

MEGATRON = Path(__file__).parent / "megatron"
# Our longest save may take this part of one that waits for its commit, in the same situation.
SHARE = 8

ADDRESS = re.compile("0x[0-9a-f]+")
# Figures of Megatron's that are another each time.
TIMES = re.compile("time|_runtime|throughput|second|memory|mem-", re.IGNORECASE)


@pytest.fixture
def python(job: Job) -> Path:
    """The interpreter with Megatron-Bridge, and `saves` beside the script."""
    job.write("saves.py", (MEGATRON / "saves.py").read_text())
    return python_of("megatron")


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def pretrain(
    job: Job, *options: str, ranks: int = 1, shim: bool = True, script: Path = MEGATRON / "pretrain.py", **environ: str
) -> str:
    """Train, and return what was said on stderr. `pretrain.py` knows nothing of the shim or of W&B."""
    python = python_of("megatron")
    command = [str(python), str(script)]
    if ranks > 1:
        command[1:1] = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}", f"--master-port={free_port()}"]
    else:
        environ |= {
            "RANK": "0",
            "WORLD_SIZE": "1",
            "LOCAL_RANK": "0",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": free_port(),
        }
    environ["OMP_NUM_THREADS"] = "1"
    done = job.run(*command, "--save", "ckpts", *options, shim=shim, environ=environ, timeout=280)
    assert done.stdout.count("trained\n") == ranks
    return done.stderr


def check_artifacts(job: Job, iterations: list[int], shards: int = 2) -> list[Artifact]:
    """Each iteration is one version, whose references are the files of its checkpoint."""
    artifacts = committed(job)
    assert [artifact.name for artifact in artifacts] == [f"ckpts:v{version}" for version in range(len(iterations))]
    for iteration, artifact in zip(iterations, artifacts, strict=True):
        path = job.directory / "ckpts" / f"iter_{iteration:07d}"
        assert artifact.metadata == {"iteration": iteration, "absolute_path": str(path)}
        assert artifact.type == "model"
        assert set(artifact.aliases) - {"latest"} == {path.name}
        assert sum(name.endswith(".distcp") for name in artifact.entries) == shards
        assert artifact.entries[".metadata"]["ref"] == f"file://{path}/.metadata"
    assert "latest" in artifacts[-1].aliases
    return artifacts


def on_disk(job: Job) -> list[int]:
    return sorted(int(path.name.removeprefix("iter_")) for path in (job.directory / "ckpts").glob("iter_*"))


def check_save_dir(job: Job) -> None:
    """Megatron's own files are right, and nothing of ours looks like a checkpoint."""
    save_dir = job.directory / "ckpts"
    assert (save_dir / "latest_wandb_artifact_path.txt").read_text() == "acme/proj"
    assert all(re.fullmatch(r"iter_\d{7}", path.name) for path in job.directory.rglob("iter_*"))
    assert all(path.parent == save_dir for path in job.directory.rglob("iter_*"))


def check_metrics(job: Job, iterations: list[int], index: int = 0) -> None:
    """Megatron's own logging is in the run: its losses, and its configuration."""
    run = job.server.runs[index]
    assert [row["_step"] for row in run.history if "lm loss" in row] == iterations
    assert run.config["model"]["hidden_size"] == 16
    assert run.config["train"]["global_batch_size"] == 2
    assert (run.state, run.project) == ("finished", "proj")


@pytest.mark.xdist_group("pretrain-1")
def test_one_rank_logs_checkpoints_metrics_and_what_it_resumes_from(job: Job) -> None:
    stderr = pretrain(job, "--steps", "2")
    check_artifacts(job, [1, 2])
    assert on_disk(job) == [1, 2]
    check_metrics(job, [1, 2])
    check_save_dir(job)
    job.server.run()
    assert [line for line in stderr.splitlines() if line.startswith("wandb-shim:")] == [
        line for line in stderr.splitlines() if line.startswith("wandb-shim: run acme/proj/")
    ]
    pretrain(job, "--load", "ckpts", "--steps", "3")
    check_artifacts(job, [1, 2, 3])
    first, second = job.server.runs
    assert (first.used_artifacts, first.logged_artifacts) == ([], ["ckpts:v0", "ckpts:v1"])
    assert (second.used_artifacts, second.logged_artifacts) == (["ckpts:v1"], ["ckpts:v2"])
    check_metrics(job, [3], index=1)
    check_save_dir(job)


@pytest.mark.xdist_group("pretrain-1")
def test_a_recipe_that_has_wandb_on_logs_the_same_with_and_without_the_shim(job: Job) -> None:
    options = ("--steps", "2", "--wandb-project", "theirs", "--wandb-exp-name", "mine", "--tensorboard-dir", "tb")
    pretrain(job, *options, shim=False)
    shutil.rmtree(job.directory / "ckpts")
    pretrain(job, *options)
    native, run = job.server.runs
    for rows in zip(native.history, run.history, strict=True):
        before, after = ({name: row[name] for name in row if not TIMES.search(name)} for row in rows)
        assert after == before
    # Objects are there as they print, with their addresses.
    ours, theirs = (json.dumps(configured(one), sort_keys=True) for one in (run, native))
    assert json.loads(ADDRESS.sub("", ours)) == json.loads(ADDRESS.sub("", theirs))
    assert (run.display_name, run.state, len(run.history)) == (native.display_name, native.state, 2)
    assert (native.project, run.project) == ("theirs", "proj")


@pytest.mark.xdist_group("pretrain-2")
def test_two_ranks_have_one_run_on_the_last_rank(job: Job) -> None:
    pretrain(job, "--steps", "2", ranks=2)
    artifacts = check_artifacts(job, [1, 2], shards=4)
    assert on_disk(job) == [1, 2]
    run = job.server.run()
    assert {artifact.run_id for artifact in artifacts} == {run.id}
    check_metrics(job, [1, 2])
    check_save_dir(job)
    assert "iteration        2/       2" in run.console_text()  # Megatron prints on the last rank


@pytest.mark.xdist_group("pretrain-3")
def test_two_ranks_that_save_in_the_background_with_tensorboard(job: Job) -> None:
    pretrain(job, "--steps", "3", "--asynchronous", "--tensorboard-dir", "tensorboard", ranks=2)
    check_artifacts(job, [1, 2, 3], shards=4)
    check_metrics(job, [1, 2, 3])
    check_save_dir(job)
    job.server.run()
    assert list((job.directory / "tensorboard").glob("events.*"))


@pytest.mark.xdist_group("pretrain-4")
def test_one_rank_saves_in_the_background_and_deletes_older_ones_while_the_server_is_slow(job: Job) -> None:
    job.server.set_fault(Fault("slow", match="Artifact", seconds=0.5))
    # With 1, Megatron deletes the checkpoint that is being written in the background, and fails over it.
    pretrain(job, "--steps", "3", "--asynchronous", "--most-recent-k", "2")
    check_artifacts(job, [1, 2, 3])
    assert on_disk(job) == [2, 3]
    check_metrics(job, [1, 2, 3])
    check_save_dir(job)


@pytest.mark.matrix
def test_one_rank_deletes_older_ones_right_after_each_save_while_the_server_is_slow(job: Job) -> None:
    job.server.set_fault(Fault("slow", match="Artifact", seconds=0.5))
    pretrain(job, "--steps", "3", "--most-recent-k", "1")
    check_artifacts(job, [1, 2, 3])
    assert on_disk(job) == [3]
    check_metrics(job, [1, 2, 3])


# The blocking hook that the training scripts of Nemotron put in the place of Megatron-Bridge's, before they train.
BLOCKING = f"""\
import os, sys
sys.path.insert(0, {str(MEGATRON)!r})
import cpu, pretrain

def theirs(checkpoint_path, save_dir, iteration, wandb_writer):
    artifact = wandb_writer.Artifact("ckpts", type="model", metadata={{"by": "the script"}})
    artifact.add_reference("file://" + os.path.realpath(checkpoint_path), checksum=False)
    wandb_writer.run.log_artifact(artifact, aliases=[os.path.basename(checkpoint_path)]).wait()

if __name__ == "__main__":
    cpu.import_bridge()
    cpu.import_bridge = lambda: None
    from megatron.bridge.training.utils import wandb_utils
    wandb_utils.on_save_checkpoint_success = theirs
    pretrain.main()
"""


@pytest.mark.matrix
def test_a_hook_of_the_scripts_own_logs_the_checkpoints_by_itself(job: Job) -> None:
    stderr = pretrain(job, "--steps", "2", script=job.write("train.py", BLOCKING))
    assert [a.metadata for a in committed(job)] == [{"by": "the script"}] * 2  # the second, saved twice, is one to W&B
    check_metrics(job, [1, 2])
    assert "without calling" not in stderr
    assert "taken the place" not in stderr


@pytest.mark.parametrize(
    ("files", "per_request"),
    [pytest.param(2, 1, id="a slow server"), pytest.param(20_000, 0, id="many files", marks=pytest.mark.matrix)],
)
def test_training_is_not_held_up(job: Job, tmp_path: Path, files: int, per_request: float) -> None:
    ours = stalled(job, tmp_path / "ours", files=files, per_request=per_request, saves=3)
    theirs = stalled(job, tmp_path / "wait", files=files, per_request=per_request, saves=1, wait=True)
    assert (ours.committed, theirs.committed) == (3, 1)
    assert max(ours.seconds) < theirs.median / SHARE


def stalled(
    job: Job, scratch: Path, *, files: int = 2, saves: int, wait: bool = False, per_request: float = 0
) -> stall.Stall:
    scratch.mkdir()
    return stall.measure(job.home, job.environ, scratch, files=files, saves=saves, wait=wait, per_request=per_request)


@pytest.mark.parametrize("writer", ["None", "wandb"])
def test_the_run_is_found_with_and_without_a_writer(job: Job, python: Path, writer: str) -> None:
    opened = "wandb.init()\n" if writer == "wandb" else ""
    job.write("train.py", f"import wandb\n{opened}from saves import save\nsave(1, writer={writer})\n")
    job.run(python, "train.py")
    assert committed(job)[0].name == "ckpts:v0"
    assert (job.directory / "ckpts" / "latest_wandb_artifact_path.txt").read_text() == "acme/proj"


def test_without_a_run_and_a_writer_nothing_happens(job: Job, python: Path) -> None:
    job.write("train.py", "from saves import load, save\nsave(1)\nload(1)\nprint('trained')\n")
    done = job.run(python, "train.py", environ={"WANDB_SHIM_INIT": "off"})
    assert (done.stdout, job.server.requests) == ("trained\n", [])
    assert sorted(path.name for path in (job.directory / "ckpts").iterdir()) == ["iter_0000001"]


def test_the_function_called_by_hand_is_idempotent(job: Job, python: Path, repository: Path) -> None:
    by_hand = "import shim\nimport megatron.bridge.training as t\nimport sys, types\n"
    # Its other module needs all of Megatron-Bridge; where that is not to be had it is not installed.
    by_hand += "for _ in range(2): print(shim.patch_wandb_checkpoint_logging())\n"
    job.write(
        "train.py",
        f"import sys\nsys.path.append({str(repository)!r})\nimport wandb\nwandb.init()\n"
        f"from saves import save\n{by_hand}save(1, iteration=5)\nsave(1)\nwandb.finish()\n",
    )
    done = job.run(python, "train.py", shim=False)
    assert done.stdout.splitlines()[0] in ("True", "False")
    assert [artifact.metadata["iteration"] for artifact in committed(job)] == [1]


UNKNOWN = """\
import saves
def on_save_checkpoint_success(path, directory, step): print("original", step)
saves.hooks.on_save_checkpoint_success = on_save_checkpoint_success
from shim import patch_wandb_checkpoint_logging
patch_wandb_checkpoint_logging()
saves.hooks.on_save_checkpoint_success("ckpts/iter_0000001", "ckpts", 1)
"""


def test_an_unknown_shape_is_left_alone_with_one_warning(job: Job, python: Path) -> None:
    job.write("train.py", UNKNOWN)
    done = job.run(python, "train.py")
    assert done.stdout == "original 1\n"
    warnings = [line for line in done.stderr.splitlines() if "on_save_checkpoint_success" in line]
    assert len(warnings) == 1
    assert "megatron.bridge" in warnings[0]
