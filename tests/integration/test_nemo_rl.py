"""NeMo-RL's checkpoints: a double of its manager in both shapes, and the real one where NEMO_RL_SRC names it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Artifact, Fault

# `nemo_rl/utils/checkpoint.py` without what concerns the loading of models. All releases share this …
MANAGER = """\
import glob, json, os, shutil, threading, warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


class CheckpointManager:
    def __init__(self, config):
        self.checkpoint_dir = Path(config["checkpoint_dir"])
        self.metric_name = config["metric_name"]
        self.higher_is_better = config["higher_is_better"]
        self.keep_top_k = config["keep_top_k"]
        self._finalize_thread = None
        self._delete_executor = ThreadPoolExecutor(max_workers=1)

    def init_tmp_checkpoint(self, step, training_info, run_config=None):
        save_dir = self.checkpoint_dir / f"tmp_step_{step}"
        save_dir.mkdir(parents=True, exist_ok=True)
        (save_dir / "training_info.json").write_text(json.dumps(training_info))
        return Path(os.path.abspath(save_dir))

    def get_latest_checkpoint_path(self):
        return max(self._history())[1] if self._history() else None

    def load_training_info(self, checkpoint_path=None):
        if checkpoint_path is None:
            return None
        return json.load(open(Path(checkpoint_path) / "training_info.json"))

    def _history(self):
        paths = glob.glob(str(self.checkpoint_dir / "step_*"))
        infos = [(int(path.rpartition("_")[2]), path, json.load(open(path + "/training_info.json"))) for path in paths]
        return sorted(infos, key=lambda row: (row[2].get(self.metric_name, -1), row[0]), reverse=True)

    def remove_old_checkpoints(self, exclude_latest=True):
        history = self._history()
        latest = max(step for step, _, _ in history)
        for step, path, _ in history[self.keep_top_k :] if self.keep_top_k else []:
            if step != latest:
                shutil.rmtree(path)

    def get_best_checkpoint_path(self):
        valid = [row for row in self._history() if self.metric_name in row[2]]
        if len(valid) != len(self._history()):
            warnings.warn("Ignoring checkpoint(s) that do not have the metric")
        return valid[0][1] if valid else self.get_latest_checkpoint_path()

    def _rename(self, checkpoint_path):
        checkpoint_path = Path(checkpoint_path)
        os.rename(checkpoint_path, checkpoint_path.parent / f"step_{checkpoint_path.name.split('_')[2]}")
"""
# … v0.2.1 to v0.7.0 end a save so …
UP_TO_07 = """
    def finalize_checkpoint(self, checkpoint_path):
        self._rename(checkpoint_path)
        self.remove_old_checkpoints()
"""
# … and main so: the algorithms call `begin_finalization`.
MAIN = """
    def _rename_checkpoint(self, checkpoint_path):
        self._rename(checkpoint_path)

    def finalize_checkpoint(self, checkpoint_path):
        self._rename_checkpoint(checkpoint_path)
        self.remove_old_checkpoints()

    def begin_finalization(self, checkpoint_path, wait_fn=None):
        self.finalize_pending()
        self.error = None

        def finalize():
            try:
                if wait_fn is not None:
                    wait_fn()
                self._rename_checkpoint(checkpoint_path)
                self._delete_executor.submit(self.remove_old_checkpoints)
            except Exception as error:
                self.error = error

        self._finalize_thread = threading.Thread(target=finalize, daemon=True)
        self._finalize_thread.start()

    def finalize_pending(self):
        if self._finalize_thread is not None:
            self._finalize_thread.join()
            self._finalize_thread = None
            if self.error is not None:
                raise RuntimeError("Background checkpoint finalization failed") from self.error

    def shutdown(self):
        self.finalize_pending()
        self._delete_executor.shutdown(wait=True)
"""
# `nemo_rl/utils/logger.py`, of its backends the one for W&B.
LOGGER = """\
import os
import wandb


class WandbLogger:
    def __init__(self, cfg, log_dir=None):
        self.run = wandb.init(**cfg, dir=log_dir)

    def log_metrics(self, metrics, step):
        self.run.log(metrics, step=step)

    def log_hyperparams(self, params):
        self.run.config.update(params)

    def finish(self):
        self.run.finish()


class Logger:
    def __init__(self, cfg):
        self.loggers = []
        if cfg["wandb_enabled"]:
            os.makedirs(os.path.join(cfg["log_dir"], "wandb"), exist_ok=True)
            self.loggers.append(WandbLogger(cfg["wandb"], log_dir=os.path.join(cfg["log_dir"], "wandb")))

    def log_metrics(self, metrics, step):
        for logger in self.loggers:
            logger.log_metrics(metrics, step)

    def log_hyperparams(self, params):
        for logger in self.loggers:
            logger.log_hyperparams(params)

    def finish(self):
        for logger in self.loggers:
            logger.finish()
"""
SHAPES = {"up to 0.7": UP_TO_07, "main": MAIN}
# NeMo-RL is not on the registry: the same tests with its own manager where a checkout of it is named.
SOURCE = os.environ.get("NEMO_RL_SRC", "")

# What an algorithm does with the manager: steps and their accuracy are on the command line.
TRAIN = """\
import sys, time
from pathlib import Path
from nemo_rl.utils.checkpoint import CheckpointManager

CONFIG = {"checkpoint_dir": "results", "metric_name": "val:accuracy", "higher_is_better": True, "keep_top_k": 1,
          "save_period": 1, "save_optimizer": True}

def save(manager, step, metrics, wait_fn=None):
    path = manager.init_tmp_checkpoint(step, metrics)
    (Path(path) / "policy").mkdir()
    (Path(path) / "policy" / "weights").write_text("weights")
    if hasattr(manager, "begin_finalization"):
        manager.begin_finalization(path, wait_fn)
    else:
        manager.finalize_checkpoint(path)

def train(steps, **changes):
    manager = CheckpointManager({**CONFIG, **changes})
    manager.load_training_info(manager.get_latest_checkpoint_path())  # resumes, or does not
    for step, accuracy in steps:
        time.sleep(0.5)  # training
        save(manager, step, {"val:accuracy": accuracy, "consumed": step * 8})
    if hasattr(manager, "shutdown"):
        manager.shutdown()
"""
THREE = "from algorithm import train\ntrain([(1, 0.5), (2, 0.9), (3, 0.7)])\n"


def nemo_rl(job: Job, shape: str) -> Job:
    """A job in whose directory NeMo-RL lies, in one of its shapes."""
    job.write("nemo_rl/__init__.py", "")
    job.write("nemo_rl/utils/__init__.py", "")
    job.write("nemo_rl/utils/checkpoint.py", MANAGER + shape)
    job.write("nemo_rl/utils/logger.py", LOGGER)
    job.write("algorithm.py", TRAIN)
    return job


def real_nemo_rl(job: Job) -> Job:
    """The manager of a checkout; its logger's other backends are not installed, so that one stays the double."""
    nemo_rl(job, "")
    shutil.copy(Path(SOURCE, "nemo_rl", "utils", "checkpoint.py"), job.directory / "nemo_rl" / "utils")
    return job


@pytest.fixture(params=[*SHAPES, *(["real"] if SOURCE else [])])
def either(job: Job, request: pytest.FixtureRequest) -> Job:
    """A job with NeMo-RL, once in each shape."""
    return real_nemo_rl(job) if request.param == "real" else nemo_rl(job, SHAPES[request.param])


@pytest.fixture
def main(job: Job) -> Job:
    """A job with NeMo-RL as it is on main."""
    return nemo_rl(job, MAIN)


@pytest.fixture(scope="session")
def python() -> Path:
    """The real manager imports torch and yaml, which Megatron-Bridge's environment has."""
    return python_of("megatron" if SOURCE else "wandb-3.12")


def committed(job: Job) -> list[Artifact]:
    """The artifact versions, all of which are committed."""
    artifacts = job.server.artifacts
    assert [artifact.state for artifact in artifacts] == ["COMMITTED"] * len(artifacts)
    return artifacts


def steps(job: Job) -> list[int]:
    return [artifact.metadata["step"] for artifact in committed(job)]


def check_three(job: Job, collection: str = "rl") -> None:
    """What `THREE` has to leave on the server."""
    artifacts = committed(job)
    assert [artifact.name for artifact in artifacts] == [f"{collection}:v{version}" for version in range(3)]
    assert [sorted(artifact.aliases) for artifact in artifacts] == [
        ["step_1"],
        ["best", "step_2"],
        ["latest", "step_3"],
    ]
    assert [artifact.metadata for artifact in artifacts] == [
        {
            "step": step,
            "absolute_path": str(job.directory / "results" / f"step_{step}"),
            "metrics": {"val:accuracy": accuracy, "consumed": step * 8},
        }
        for step, accuracy in ((1, 0.5), (2, 0.9), (3, 0.7))
    ]
    assert all({"policy/weights", "training_info.json", "checkpoint.json"} <= set(a.entries) for a in artifacts)
    assert job.server.run().logged_artifacts == [artifact.name for artifact in artifacts]


def test_each_checkpoint_is_one_artifact_although_older_ones_are_pruned(either: Job, python: Path) -> None:
    either.write("train.py", THREE)
    either.run(python, "train.py")
    check_three(either)
    assert sorted(path.name for path in (either.directory / "results").glob("step_*")) == ["step_2", "step_3"]


def test_metrics_that_are_no_numbers_are_kept_as_wandb_keeps_them(either: Job, python: Path) -> None:
    numbers = "(1, float('inf')), (2, float('nan')), (3, 0.5)"
    either.write("train.py", f"from algorithm import train\ntrain([{numbers}], keep_top_k=3)\n")
    either.run(python, "train.py")
    metrics = [artifact.metadata["metrics"]["val:accuracy"] for artifact in committed(either)]
    assert metrics == ["Infinity", "NaN", 0.5]


def test_with_a_slow_server_pruned_checkpoints_arrive_too(either: Job, python: Path) -> None:
    either.server.set_fault(Fault("slow", match="Artifact", seconds=0.3))
    either.write("train.py", THREE)
    either.run(python, "train.py")
    check_three(either)


def test_checkpoints_without_the_metric_are_not_called_best_and_nobody_is_warned(either: Job, python: Path) -> None:
    either.write(
        "train.py", "from algorithm import train\ntrain([(1, 0.5), (2, 0.9)], metric_name=None, keep_top_k=None)\n"
    )
    done = either.run(python, "train.py")
    assert "Ignoring" not in done.stderr
    assert [sorted(artifact.aliases) for artifact in committed(either)] == [["step_1"], ["latest", "step_2"]]


def test_a_lower_metric_may_be_the_better_one_and_of_two_equal_ones_the_newer(either: Job, python: Path) -> None:
    saves = "[(1, float('nan')), (2, 0.5), (3, 0.9), (4, 0.5)], higher_is_better=False, keep_top_k=None"
    either.write("train.py", f"from algorithm import train\ntrain({saves})\n")
    either.run(python, "train.py")
    best = [sorted(artifact.aliases) for artifact in committed(either) if "best" in artifact.aliases]
    assert best == [["best", "latest", "step_4"]]


def test_a_resumed_job_names_the_checkpoint_that_it_loads_as_its_input(either: Job, python: Path) -> None:
    for step in (1, 2):
        either.write("train.py", f"from algorithm import train\ntrain([({step}, 0.{step})], keep_top_k=None)\n")
        either.run(python, "train.py")
    first, second = either.server.runs
    assert (first.used_artifacts, first.logged_artifacts) == ([], ["rl:v0"])
    assert (second.used_artifacts, second.logged_artifacts) == (["rl:v0"], ["rl:v1"])


SINGLE_CONTROLLER = """\
import sys, time
from algorithm import CONFIG, save
from nemo_rl.utils.checkpoint import CheckpointManager
from nemo_rl.utils.logger import Logger

logger = Logger({"log_dir": "logs", "wandb_enabled": True, "wandb": {"project": "proj"}})
checkpointer = CheckpointManager(CONFIG)
for step in range(1, int(sys.argv[1]) + 1):
    save(checkpointer, step, {"val:accuracy": step / 10}, wait_fn=lambda: time.sleep(1))
logger.finish()
checkpointer.shutdown()
"""


@pytest.mark.parametrize("saves", [1, 2])
@pytest.mark.parametrize("init", ["auto", "defer"])
def test_a_logger_that_finishes_before_the_last_save_gets_it(main: Job, python: Path, saves: int, init: str) -> None:
    main.write("train.py", SINGLE_CONTROLLER)
    main.run(python, "train.py", str(saves), environ={"WANDB_SHIM_INIT": init})
    assert steps(main) == list(range(1, saves + 1))
    assert main.server.run().logged_artifacts == [f"rl:v{version}" for version in range(saves)]


# As the single-controller actor: the first manager's last save fails, the second's takes its time.
FAILING = """\
import sys, time
from algorithm import CONFIG, save
from nemo_rl.utils.checkpoint import CheckpointManager
from nemo_rl.utils.logger import Logger

def fail():
    raise ValueError("the disk is full")

logger = Logger({"log_dir": "logs", "wandb_enabled": True, "wandb": {"project": "proj"}})
failing, slow = (CheckpointManager({**CONFIG, "checkpoint_dir": name}) for name in ("failing", "slow"))
save(failing, 1, {}, wait_fn=fail)
save(slow, 2, {}, wait_fn=lambda: time.sleep(1))
logger.finish()
slow.shutdown()
failing.shutdown()
"""


def test_a_save_that_fails_in_the_background_fails_where_it_would_and_the_other_is_waited_for(
    main: Job, python: Path
) -> None:
    main.write("train.py", FAILING)
    native = main.run(python, "train.py", shim=False, check=False)
    shutil.rmtree(main.directory / "slow")
    shutil.rmtree(main.directory / "failing")
    done = main.run(python, "train.py", check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (native.returncode, native.stderr.splitlines()[-1])
    assert "Background checkpoint finalization failed" in done.stderr
    assert steps(main) == [2]


# A save that hangs; each wait for it is told.
HANGING = """\
import sys, threading, wandb
from algorithm import CONFIG, save
from nemo_rl.utils.checkpoint import CheckpointManager

run = wandb.init()
manager = CheckpointManager(CONFIG)
save(manager, 1, {}, wait_fn=threading.Event().wait)
join = manager._finalize_thread.join
manager._finalize_thread.join = lambda *args: (print("waited", flush=True), join(*args))
"""
FAILED = {
    "with": ("with run:\n    raise RuntimeError('diverged')\n", 1),
    "finally": ("try:\n    raise RuntimeError('diverged')\nfinally:\n    run.finish()\n", 1),
    "no finish": ("sys.exit(3)\n", 3),
}


@pytest.mark.parametrize("init", ["auto", pytest.param("defer", marks=pytest.mark.matrix)])
@pytest.mark.parametrize("end", FAILED)
def test_nobody_waits_for_a_save_where_the_script_has_failed(main: Job, python: Path, end: str, init: str) -> None:
    lines, code = FAILED[end]
    main.write("train.py", HANGING + lines)
    done = main.run(python, "train.py", check=False, environ={"WANDB_SHIM_INIT": init})
    assert ("waited" in done.stdout, done.returncode) == (False, code)


def test_a_save_that_hangs_is_waited_for_no_longer_than_wandb_would(main: Job, python: Path) -> None:
    main.write("train.py", HANGING + "run.finish()\nprint('trained')\n")
    done = main.run(python, "train.py", environ={"WANDB_FINISH_TIMEOUT": "1"})
    assert {"waited", "trained"} <= set(done.stdout.splitlines())


# The save goes on while the script finishes its run, and is complete after that.
LATE = """\
import threading, wandb
from algorithm import CONFIG, save
from nemo_rl.utils.checkpoint import CheckpointManager

run, finished = wandb.init(), threading.Event()
manager = CheckpointManager(CONFIG)
save(manager, 1, {}, wait_fn=finished.wait)
run.finish()
finished.set()
manager.shutdown()
"""


@pytest.mark.parametrize("init", ["auto", "defer"])
def test_a_save_that_is_complete_after_the_end_of_its_run_is_logged_by_the_next_start(
    main: Job, python: Path, init: str
) -> None:
    main.write("train.py", LATE)
    environ = {"WANDB_FINISH_TIMEOUT": "1", "WANDB_SHIM_INIT": init}
    done = main.run(python, "train.py", environ=environ)
    assert steps(main) == []
    told = f"{main.directory}/results/step_1 was complete after the run's end; the next start of this job logs it"
    assert [line for line in done.stderr.splitlines() if "step_1" in line] == [f"wandb-shim: {told}"]
    main.write("train.py", "from algorithm import train\ntrain([(2, 0.5)], keep_top_k=None)\n")
    main.run(python, "train.py")
    assert steps(main) == [1, 2]


EXITS_IN_A_SAVE = """\
import os, sys, time
from algorithm import CONFIG, save
from nemo_rl.utils.checkpoint import CheckpointManager

manager = CheckpointManager(CONFIG)
rename = manager._rename
manager._rename = lambda path: (rename(path), time.sleep(60))
save(manager, 1, {})
while not os.path.exists("results/step_1"):
    time.sleep(0.01)
sys.exit(1)
"""


def test_an_end_in_the_middle_of_a_save_is_no_reason_to_warn(main: Job, python: Path) -> None:
    main.write("train.py", EXITS_IN_A_SAVE)
    done = main.run(python, "train.py", check=False)
    assert done.returncode == 1
    assert "nemo" not in done.stderr


@pytest.mark.parametrize("init", ["auto", "defer"])
def test_a_driver_that_never_calls_finish_gets_its_last_checkpoint(either: Job, python: Path, init: str) -> None:
    either.write("train.py", "import wandb\nwandb.init()\n" + THREE)
    either.run(python, "train.py", environ={"WANDB_SHIM_INIT": init})
    check_three(either)


SWITCHED_OFF = """\
from nemo_rl.utils.logger import Logger

logger = Logger({"log_dir": "logs", "wandb_enabled": False, "wandb": {"project": "grpo-dev", "name": "of the recipe"}})
logger.log_hyperparams({"lr": 0.1})
for step in range(3):
    logger.log_metrics({"reward": step}, step)
"""


def test_the_logger_that_a_recipe_left_off_is_switched_on(main: Job, python: Path) -> None:
    main.write("train.py", SWITCHED_OFF)
    done = main.run(python, "train.py")
    run = main.server.run()
    assert [row["reward"] for row in run.history] == [0, 1, 2]
    assert (run.config["lr"], run.project, run.display_name) == (0.1, "proj", "of the recipe")
    assert "instead of" not in done.stderr


def test_without_a_run_the_logger_stays_off(main: Job, python: Path) -> None:
    main.write("train.py", SWITCHED_OFF)
    main.run(python, "train.py", environ={"WANDB_SHIM_INIT": "off"})
    assert main.server.runs == []


def test_an_unknown_shape_is_left_alone_with_one_warning(job: Job, python: Path) -> None:
    nemo_rl(job, "\n    def end_of_save(self, checkpoint_path):\n        self._rename(checkpoint_path)\n")
    job.write(
        "train.py",
        "from algorithm import *\nmanager = CheckpointManager(CONFIG)\n"
        "manager.end_of_save(manager.init_tmp_checkpoint(1, {}))\n",
    )
    done = job.run(python, "train.py")
    warnings = [line for line in done.stderr.splitlines() if "nemo_rl" in line]
    assert len(warnings) == 1
    assert all(word in warnings[0] for word in ("CheckpointManager", "_rename_checkpoint", "finalize_checkpoint"))
    assert (job.directory / "results" / "step_1").is_dir()
    assert job.server.artifacts == []


# A release to come: a save still begins as it did, and ends elsewhere.
ENDS_ELSEWHERE = UP_TO_07 + "\n    def end_of_save(self, checkpoint_path):\n        self._rename(checkpoint_path)\n"


@pytest.mark.parametrize("end", ["pass", "import wandb; wandb.init().finish()"])
def test_checkpoints_that_appear_past_the_patch_are_one_warning(job: Job, python: Path, end: str) -> None:
    nemo_rl(job, ENDS_ELSEWHERE)
    job.write("nemo_rl/__init__.py", "__version__ = '0.9.0'\n")
    job.write(
        "train.py",
        "from algorithm import *\nmanager = CheckpointManager(CONFIG)\n"
        f"for step in (1, 2): manager.end_of_save(manager.init_tmp_checkpoint(step, {{}}))\n{end}\n",
    )
    done = job.run(python, "train.py")
    (warning,) = [line for line in done.stderr.splitlines() if "nemo" in line]
    assert all(word in warning for word in ("nemo-rl 0.9.0", "step_2", "CheckpointManager", "finalize_checkpoint"))


def test_a_job_that_is_ended_in_its_first_save_is_no_reason_to_warn(job: Job, python: Path) -> None:
    nemo_rl(job, ENDS_ELSEWHERE)
    job.write("train.py", "from algorithm import *\nCheckpointManager(CONFIG).init_tmp_checkpoint(1, {})\n")
    assert "nemo" not in job.run(python, "train.py").stderr


def test_a_save_that_fails_fails_as_it_would_and_is_not_logged(either: Job, python: Path) -> None:
    either.write(
        "train.py",
        "from algorithm import *\n"
        "manager = CheckpointManager(CONFIG)\n"
        "try:\n"
        "    if hasattr(manager, 'begin_finalization'):\n"
        "        manager.begin_finalization('results/tmp_step_1'); manager.shutdown()\n"
        "    else:\n"
        "        manager.finalize_checkpoint('results/tmp_step_1')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n",
    )
    assert either.run(python, "train.py").stdout in ("FileNotFoundError\n", "RuntimeError\n")
    assert either.server.artifacts == []


BY_HAND = """\
from shim import patch_nemo_rl_checkpoint_logging
assert patch_nemo_rl_checkpoint_logging("mine")
assert patch_nemo_rl_checkpoint_logging("mine")
"""


def test_the_function_called_by_hand_changes_only_the_name(either: Job, python: Path) -> None:
    either.write("train.py", BY_HAND + THREE)
    either.run(python, "train.py")
    check_three(either, "mine")


def test_the_function_works_where_the_interpreter_did_not_start_the_shim(
    either: Job, python: Path, repository: Path
) -> None:
    either.write(
        "train.py", f"import sys\nsys.path.append({str(repository)!r})\nimport wandb\nwandb.init()\n" + BY_HAND + THREE
    )
    either.run(python, "train.py", shim=False)
    check_three(either, "mine")


def test_the_function_says_that_nemo_rl_is_not_there(job: Job, python: Path) -> None:
    job.write("train.py", "import shim\nprint(shim.patch_nemo_rl_checkpoint_logging())\n")
    assert job.run(python, "train.py").stdout == "False\n"


# What the training scripts of Nemotron do first: their own function around the manager's, and a wait for the commit.
AROUND = """\
import wandb
from pathlib import Path
from nemo_rl.utils.checkpoint import CheckpointManager

def log(path):
    artifact = wandb.Artifact({name!r}, type="model", metadata={{"by": "the script"}})
    artifact.add_reference("file://" + str(path), checksum=False)
    wandb.run.log_artifact(artifact, aliases=[path.name, "latest"]).wait()

original = CheckpointManager.finalize_checkpoint

def finalize_checkpoint(self, checkpoint_path):
    original(self, checkpoint_path)
    path = Path(checkpoint_path)
    log(path.resolve().parent / path.name.removeprefix("tmp_"))

wandb.init()
"""
TAKEN_OVER = "CheckpointManager.finalize_checkpoint = finalize_checkpoint\n"
# Main's algorithms do not call that function, but they may.
SYNCHRONOUS = "if hasattr(CheckpointManager, 'begin_finalization'): del CheckpointManager.begin_finalization\n"


def logged_by(job: Job) -> list[tuple[str, str]]:
    """Which checkpoints are artifacts, and whose."""
    return [
        (a.metadata.get("by", "the shim"), next(alias for alias in a.aliases if alias.startswith("step_")))
        for a in committed(job)
    ]


@pytest.mark.parametrize("name", ["rl", "mine"])
def test_a_checkpoint_that_a_function_around_ours_logs_is_one_version(either: Job, python: Path, name: str) -> None:
    either.write("train.py", AROUND.format(name=name) + TAKEN_OVER + SYNCHRONOUS + THREE)
    done = either.run(python, "train.py")
    assert logged_by(either) == [("the script", f"step_{step}") for step in (1, 2, 3)]
    assert "wandb-shim: nemo" not in done.stderr


def test_a_function_around_another_than_ours_leaves_the_checkpoints_to_us(main: Job, python: Path) -> None:
    main.write("train.py", AROUND.format(name="rl") + TAKEN_OVER + THREE)
    main.run(python, "train.py")
    check_three(main)


def test_a_function_around_ours_that_logs_nothing_leaves_them_to_us(job: Job, python: Path) -> None:
    nemo_rl(job, UP_TO_07)
    job.write("train.py", AROUND.format(name="rl") + "log = lambda path: None\n" + TAKEN_OVER + THREE)
    job.run(python, "train.py")
    check_three(job)


AFTER = """\
from algorithm import *
manager = CheckpointManager({**CONFIG, "keep_top_k": None})
for step in (1, 2, 3):
    path = Path(manager.init_tmp_checkpoint(step, {}))
    manager.finalize_checkpoint(path)
    time.sleep(2)  # ours has been logged by then
    log(path.parent / f"step_{step}")
manager.finalize_checkpoint(manager.init_tmp_checkpoint(4, {}))
"""


def test_a_script_that_logs_its_checkpoints_after_each_save_is_noticed(job: Job, python: Path) -> None:
    nemo_rl(job, UP_TO_07)
    job.write("train.py", AROUND.format(name="mine") + AFTER)
    job.run(python, "train.py")
    twice = [("the shim", "step_1"), ("the script", "step_1")]
    rest = [("the script", "step_2"), ("the script", "step_3"), ("the shim", "step_4")]
    assert logged_by(job) == twice + rest


AGAIN = """\
from algorithm import *
manager = CheckpointManager({**CONFIG, "keep_top_k": None})
for step, weights in ((1, "weights"), (2, "weights"), (1, "another"), (1, "another")):
    path = Path(manager.init_tmp_checkpoint(step, {"val:accuracy": 0.5}))
    (path / "weights").write_text(weights)
    if (path.parent / f"step_{step}").exists():
        shutil.rmtree(path.parent / f"step_{step}")
    manager.finalize_checkpoint(path)
"""


def test_a_loop_that_goes_back_saves_another_version_where_the_weights_are_others(either: Job, python: Path) -> None:
    either.write("train.py", "import shutil\n" + AGAIN)
    either.run(python, "train.py")
    assert steps(either) == [1, 2, 1]
    journal = (either.directory / "results" / ".wandb-shim-checkpoints.jsonl").read_text().split("\n")
    assert [line[:22] for line in journal if '"step": 1,' in line][-1] == '{"state": "committed",'
