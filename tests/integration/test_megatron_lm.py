"""Megatron-LM's checkpoints and its own W&B logging: a double of the modules concerned, in its signatures.

No package of the registry holds `megatron.training`, and its training asks for a GPU. Where MEGATRON_LM_SRC names a
checkout (core_v0.16), its own modules take the place of the two that are patched.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.integration.test_nemo_rl import committed
from tests.jobs import NODE_DIES, Job
from tests.wandb_server import Fault

SOURCE = os.environ.get("MEGATRON_LM_SRC", "")

# `megatron/training/global_vars.py`, of its variables those for logging.
GLOBAL_VARS = """\
import os

_GLOBAL_TENSORBOARD_WRITER = None
_GLOBAL_WANDB_WRITER = None

def get_tensorboard_writer():
    return _GLOBAL_TENSORBOARD_WRITER

def get_wandb_writer():
    return _GLOBAL_WANDB_WRITER

def _set_tensorboard_writer(args):
    pass  # no --tensorboard-dir

def _set_wandb_writer(args):
    global _GLOBAL_WANDB_WRITER
    if getattr(args, "wandb_project", "") and args.rank == args.world_size - 1:
        if args.wandb_exp_name == "":
            raise ValueError("an experiment has a name")
        import wandb
        place = args.wandb_save_dir or os.path.join(args.save, "wandb")
        os.makedirs(place, exist_ok=True)
        entity = {"entity": args.wandb_entity} if args.wandb_entity else {}
        wandb.init(dir=place, name=args.wandb_exp_name, project=args.wandb_project, config=vars(args), **entity)
        _GLOBAL_WANDB_WRITER = wandb
"""
# `megatron/training/wandb_utils.py`; what it does by itself is what must not happen besides.
WANDB_UTILS = """\
from .global_vars import get_wandb_writer

def on_save_checkpoint_success(checkpoint_path, tracker_filename, save_dir, iteration):
    if get_wandb_writer():
        print("Megatron-LM's own hook", checkpoint_path)

def on_load_checkpoint_success(checkpoint_path, load_dir):
    if get_wandb_writer():
        print("Megatron-LM's own hook", checkpoint_path)
"""
# What `megatron/training/training.py` and `checkpointing.py` do with them, without a model.
TRAINING = """\
import os, shutil
from types import SimpleNamespace
from . import global_vars, wandb_utils
from .global_vars import get_tensorboard_writer, get_wandb_writer

DEFAULTS = {"rank": 0, "world_size": 1, "save": "ckpts", "load": None, "ckpt_format": "torch_dist", "keep": None,
            "wandb_project": "", "wandb_exp_name": "", "wandb_entity": "", "wandb_save_dir": "", "lr": 0.1}

def pretrain(steps, hook=True, finish=True, **changes):
    args = SimpleNamespace(**{**DEFAULTS, **changes})
    global_vars._set_tensorboard_writer(args)
    global_vars._set_wandb_writer(args)
    if args.load:
        step = int(open(os.path.join(args.load, "latest_checkpointed_iteration.txt")).read())
        wandb_utils.on_load_checkpoint_success(name_of(args.load, step, args.ckpt_format), args.load)
    for step in steps:
        writer, wandb_writer = get_tensorboard_writer(), get_wandb_writer()
        if writer:
            writer.add_scalar("lm loss", 1 / step, step)
            if wandb_writer:
                wandb_writer.log({"lm loss": 1 / step}, step)
        if args.save:
            save_checkpoint(step, args, hook)
    if get_wandb_writer() and finish:
        get_wandb_writer().finish()

def name_of(directory, step, ckpt_format):
    base = os.path.join(directory, f"iter_{step:07d}")
    return os.path.join(base, "mp_rank_00", "model_optim_rng.pt") if ckpt_format == "torch" else base

def save_checkpoint(step, args, hook):
    path, tracker = name_of(args.save, step, args.ckpt_format), args.save + "/latest_checkpointed_iteration.txt"
    file = path if args.ckpt_format == "torch" else path + "/__0_0.distcp"
    os.makedirs(os.path.dirname(file), exist_ok=True)
    open(file, "w").write(f"weights of {step}")
    open(tracker, "w").write(str(step))
    if hook:
        wandb_utils.on_save_checkpoint_success(path, tracker, args.save, step)
    if args.keep:
        for old in sorted(name for name in os.listdir(args.save) if name.startswith("iter_"))[:-args.keep]:
            shutil.rmtree(os.path.join(args.save, old))
"""


@pytest.fixture(scope="session")
def python() -> Path:
    return python_of("megatron" if SOURCE else "wandb-3.12")


@pytest.fixture
def lm(job: Job) -> Job:
    """A job in whose directory Megatron-LM lies."""
    job.write("megatron/training/__init__.py", "import megatron.core\n")
    job.write("megatron/training/training.py", TRAINING)
    if SOURCE:
        for name in ("global_vars.py", "wandb_utils.py", "dist_signal_handler.py"):
            shutil.copy(Path(SOURCE, "megatron", "training", name), job.directory / "megatron" / "training")
        job.write("megatron/training/tokenizer.py", "build_tokenizer = None\n")
        job.write("megatron/training/utils.py", 'def print_rank_last(text): print("Megatron-LM\'s own hook", text)\n')
    else:
        job.write("megatron/core/__init__.py", "__version__ = '0.16.1'\n")
        job.write("megatron/training/global_vars.py", GLOBAL_VARS)
        job.write("megatron/training/wandb_utils.py", WANDB_UTILS)
    return job


def warnings(stderr: str) -> list[str]:
    """What the shim said beside the name of the run."""
    lines = [line for line in stderr.splitlines() if line.startswith("wandb-shim:")]
    return [line for line in lines if " run acme/proj/" not in line]


def train(job: Job, python: Path, arguments: str, **environ: str) -> list[str]:
    """Train, and return the shim's warnings; Megatron-LM's own hooks, which would print, are not called."""
    job.write("train.py", f"from megatron.training.training import pretrain\npretrain({arguments})\n")
    done = job.run(python, "train.py", environ=environ)
    assert "own hook" not in done.stdout
    return warnings(done.stderr)


@pytest.mark.parametrize("ckpt_format", ["torch_dist", "torch"])
def test_each_checkpoint_is_one_version_although_older_ones_are_deleted(
    lm: Job, python: Path, ckpt_format: str
) -> None:
    lm.server.set_fault(Fault("slow", match="Artifact", seconds=0.3))
    said = train(lm, python, f"(1, 2, 3), keep=1, ckpt_format={ckpt_format!r}")
    artifacts = committed(lm)
    assert [artifact.metadata["iteration"] for artifact in artifacts] == [1, 2, 3]
    assert [set(a.aliases) - {"latest"} for a in artifacts] == [{f"iter_{step:07d}"} for step in (1, 2, 3)]
    assert [artifact.name for artifact in artifacts] == ["ckpts:v0", "ckpts:v1", "ckpts:v2"]
    file = "mp_rank_00/model_optim_rng.pt" if ckpt_format == "torch" else "__0_0.distcp"
    assert all({file, "checkpoint.json"} <= set(artifact.entries) for artifact in artifacts)
    assert (lm.directory / "ckpts" / "latest_wandb_artifact_path.txt").read_text() == "acme/proj"
    assert said == []


def test_its_own_logging_is_switched_on_in_the_one_run(lm: Job, python: Path) -> None:
    train(lm, python, "(1, 2)", WANDB_NAME="of the job")
    run = lm.server.run()
    assert [row["lm loss"] for row in run.history] == [1, 0.5]
    assert (run.config["lr"], run.project, run.display_name, run.exit_code) == (0.1, "proj", "of the job", 0)


def test_without_a_place_to_save_there_are_metrics_all_the_same(lm: Job, python: Path) -> None:
    train(lm, python, "(1, 2), save=None")
    assert [row["lm loss"] for row in lm.server.run().history] == [1, 0.5]


def test_a_resumed_job_has_its_checkpoint_as_input(lm: Job, python: Path) -> None:
    train(lm, python, "(1, 2)")
    train(lm, python, "(3,), load='ckpts'")
    first, second = lm.server.runs
    assert (first.used_artifacts, first.logged_artifacts) == ([], ["ckpts:v0", "ckpts:v1"])
    assert (second.used_artifacts, second.logged_artifacts) == (["ckpts:v1"], ["ckpts:v2"])


def test_a_job_that_names_its_project_and_never_finishes_gets_its_last_checkpoint(lm: Job, python: Path) -> None:
    named = "wandb_project='proj', wandb_exp_name='mine', finish=False"
    train(lm, python, f"(1, 2), {named}", WANDB_SHIM_INIT="defer")
    assert [artifact.metadata["iteration"] for artifact in committed(lm)] == [1, 2]
    assert lm.server.run().display_name == "mine"


def test_what_a_killed_job_left_is_logged_at_the_start_of_the_next(lm: Job, python: Path) -> None:
    lm.server.set_fault(Fault("hang", match="CreateArtifact$"))
    lm.write(
        "train.py",
        "from megatron.training.training import pretrain\nimport os, time\npretrain((1, 2), finish=False)\n"
        "time.sleep(2)\n" + NODE_DIES,
    )
    assert lm.run(python, "train.py", check=False).returncode == -9
    assert [artifact for artifact in lm.server.artifacts if artifact.state == "COMMITTED"] == []
    lm.server.clear_faults()
    for _ in range(2):
        train(lm, python, "()")  # nothing is loaded or saved
    assert sorted(a.metadata["iteration"] for a in lm.server.artifacts if a.state == "COMMITTED") == [1, 2]


@pytest.mark.parametrize("finish", [True, False])
def test_checkpoints_that_appear_past_the_patch_are_one_warning(lm: Job, python: Path, finish: bool) -> None:
    (warning,) = train(lm, python, f"(1, 2), hook=False, finish={finish}")
    assert all(word in warning for word in ("megatron-core 0.16.1", "iter_0000002", "on_save_checkpoint_success"))
    assert committed(lm) == []


def test_an_unknown_shape_is_left_alone_with_one_warning(lm: Job, python: Path) -> None:
    lm.write("megatron/training/wandb_utils.py", "def on_save_checkpoint_success(*args): pass\n")
    (warning,) = train(lm, python, "(1, 2)")
    assert all(
        word in warning for word in ("megatron-core 0.16.1", "on_save_checkpoint_success", "on_load_checkpoint_success")
    )
    assert committed(lm) == []


def test_without_a_run_nothing_is_switched_on(lm: Job, python: Path) -> None:
    train(lm, python, "(1, 2)", WANDB_SHIM_INIT="off")
    assert lm.server.runs == []


# `megatron/bridge/training/state.py`, of its loggers those that concern us; the real one is in test_megatron_bridge.
BRIDGE = """\
import os
from types import SimpleNamespace

class GlobalState:
    def __init__(self, cfg):
        self.cfg, self._wandb_logger = cfg, None

    @property
    def tensorboard_logger(self):
        return None

    @property
    def wandb_logger(self):
        if self._wandb_logger is None and self.cfg.logger.wandb_project:
            import wandb
            wandb.init(project=self.cfg.logger.wandb_project)
            self._wandb_logger = wandb
        return self._wandb_logger

def pretrain(steps, hooks=None):
    logger = SimpleNamespace(wandb_project="", wandb_entity="", wandb_exp_name="", wandb_save_dir="")
    state = GlobalState(SimpleNamespace(logger=logger, checkpoint=SimpleNamespace(save="ckpts")))
    state.wandb_logger
    for step in steps:
        os.makedirs(f"ckpts/iter_{step:07d}")
        open("ckpts/latest_checkpointed_iteration.txt", "w").write(str(step))
        open(f"ckpts/iter_{step:07d}/weights", "w").write(str(step))
        if hooks:
            hooks.on_save_checkpoint_success(f"ckpts/iter_{step:07d}", "ckpts", step, wandb_writer=state.wandb_logger)
    state.wandb_logger.finish()
"""


# `megatron/bridge/training/utils/wandb_utils.py`, which does nothing here.
BRIDGE_UTILS = """\
def on_save_checkpoint_success(checkpoint_path, save_dir, iteration, wandb_writer): pass
def on_load_checkpoint_success(checkpoint_path, load_dir, wandb_writer): pass
"""


@pytest.fixture
def bridge(job: Job) -> Job:
    """A job in whose directory Megatron-Bridge lies."""
    job.write("megatron/bridge/__init__.py", "__version__ = '0.9.0'\n")
    job.write("megatron/bridge/training/__init__.py", "")
    job.write("megatron/bridge/training/state.py", BRIDGE)
    job.write("megatron/bridge/training/utils/__init__.py", "")
    job.write("megatron/bridge/training/utils/wandb_utils.py", BRIDGE_UTILS)
    return job


# As the training scripts of Nemotron do: a function of their own in the place of the hook, which waits for the commit.
IN_ITS_PLACE = """\
import os
from megatron.bridge.training import state
from megatron.bridge.training.utils import wandb_utils
ours = wandb_utils.on_save_checkpoint_success

def log(path, writer):
    artifact = writer.Artifact("ckpts", type="model", metadata={"by": "the script"})
    artifact.add_reference("file://" + os.path.realpath(path), checksum=False)
    writer.run.log_artifact(artifact, aliases=[os.path.basename(path)]).wait()

def theirs(checkpoint_path, save_dir, iteration, wandb_writer):
    BODY

wandb_utils.on_save_checkpoint_success = theirs
state.pretrain((1, 2), wandb_utils)
"""


@pytest.mark.parametrize(
    "body", ["log(checkpoint_path, wandb_writer)", "ours(checkpoint_path, save_dir, iteration, wandb_writer); BODY", ""]
)
def test_a_function_in_the_place_of_the_hook_is_named_where_it_logs_nothing(bridge: Job, body: str) -> None:
    logs = "log(checkpoint_path, wandb_writer)"
    bridge.write("train.py", IN_ITS_PLACE.replace("BODY", body.replace("BODY", logs) or "pass"))
    said = warnings(bridge.run(python_of("wandb-3.12"), "train.py").stderr)
    artifacts = [(a.metadata.get("by"), *sorted(a.aliases)) for a in committed(bridge)]
    if body:
        assert artifacts == [("the script", "iter_0000001"), ("the script", "iter_0000002", "latest")]
        assert said == []
    else:
        (warning,) = said
        assert all(word in warning for word in ("megatron-bridge 0.9.0", "__main__.theirs", "iter_0000002"))


def test_checkpoints_of_megatron_bridge_past_the_patch_are_one_warning(bridge: Job) -> None:
    job = bridge
    job.write("train.py", "from megatron.bridge.training.state import pretrain\npretrain((1, 2))\n")
    (warning,) = warnings(job.run(python_of("wandb-3.12"), "train.py").stderr)
    assert all(word in warning for word in ("megatron-bridge 0.9.0", "iter_0000002", "on_save_checkpoint_success"))
