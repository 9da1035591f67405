"""What a script writes for TensorBoard is in the run, row by row as wandb has it for sync_tensorboard=True."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.comparing import check_nothing_is_missing, configured
from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Run

pytestmark = pytest.mark.in_turn

RELEASES = ["wandb-0.19.11", "wandb-0.21.4", "wandb-0.23.1", "wandb-0.25.1", "wandb-0.28.2", "ray-train"]
SYNCED = "import wandb\nwandb.init(sync_tensorboard=True)\n"

# Beside each other, since wandb reads a directory below another one twice.
WRITES_EVENTS = """\
import sys
early = sorted(name for name in ("tensorboard", "torch", "tensorflow", "wandb") if name in sys.modules)
from WRITER import SummaryWriter

train, val = SummaryWriter("runs/train"), SummaryWriter("runs/val")
for step in range(0, 50, 10):
    train.add_scalar("loss", 1 / (step + 1), step, walltime=1000 + step)
    train.add_scalar("lr/group0", 0.1, step, walltime=1001 + step)
    if not step % 20:
        val.add_scalar("loss", 2 / (step + 1), step, walltime=1002 + step)
train.add_scalar("loss", 5, 60, walltime=2000)
train.add_scalar("loss", 6, 60, walltime=2001)
train.add_scalar("without a step", 3.5, walltime=2002)
train.add_scalar("loss", float("nan"), 61, walltime=2003)
train.add_scalar("loss", float("-inf"), 62, walltime=2004)
train.add_text("said", "hello", 70, walltime=2005)
OF_TORCH
train.close(), val.close()
print("before the script's own imports:", [name for name in early if name != "wandb"])
"""
OF_TORCH = """\
import torch
train.add_scalar("new", 0.1, 63, walltime=2006, new_style=True)
train.add_scalar("exact", 0.1, 64, walltime=2007, new_style=True, double_precision=True)
train.add_scalar("tensor", torch.tensor([1.5]), 65, walltime=2008)
train.add_tensor("no scalar", torch.tensor(1.5), 66, walltime=2009)
"""
TORCH = WRITES_EVENTS.replace("WRITER", "torch.utils.tensorboard").replace("OF_TORCH", OF_TORCH)
TENSORBOARDX = WRITES_EVENTS.replace("WRITER", "tensorboardX").replace("OF_TORCH", "")
ONE_DIRECTORY = """\
from tensorboardX import SummaryWriter

with SummaryWriter() as writer:
    writer.add_scalar("loss", 1, 0)
    writer.add_scalar("loss", 2, 1)
"""
TENSORFLOW = """\
import enum, sys
early = sorted(name for name in ("tensorboard", "tensorflow") if name in sys.modules)
import tensorflow as tf

train, val = tf.summary.create_file_writer("runs/train"), tf.summary.create_file_writer("runs/val")
step = tf.Variable(60, dtype=tf.int64)
for number in range(0, 50, 10):
    with train.as_default(step=number):
        tf.summary.scalar("loss", 1 / (number + 1))
        tf.summary.scalar("lr/group0", tf.constant(0.1, tf.float64), step=tf.constant(number, tf.int64))
        with tf.name_scope("inner"):
            tf.summary.scalar("scoped", tf.Variable(number))
    if not number % 20:
        with val.as_default():
            tf.summary.scalar("loss", 2 / (number + 1), step=number)
tf.summary.scalar("nobody writes it", 1, step=1)
train.set_as_default()
tf.summary.experimental.set_step(step)
tf.summary.scalar("loss", 5)
tf.summary.scalar("loss", 6)
with tf.summary.record_if(False):
    tf.summary.scalar("hidden", 1)
step.assign_add(1)
tf.summary.scalar("loss", float("nan"))
step.assign_add(1)
tf.summary.scalar("loss", float("-inf"))
tf.summary.text("said", "hello", step=70)
tf.summary.write("no scalar", 1.5, step=72)
class Names(str, enum.Enum):
    ACCURACY = "accuracy"
tf.summary.scalar(Names.ACCURACY, 0.9, step=73)
train.close(), val.close()
print("before the script's own imports:", early)
"""
# What the callback writes, Keras's own hook tells; a histogram is no scalar, and a graph's value none of Python's.
KERAS = """\
import sys
import tensorflow as tf

@tf.function
def traced(value):
    tf.summary.scalar("in a function", value, step=9)

tf.keras.utils.set_random_seed(1)
model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(2,))])
model.compile("sgd", "mse")
write = lambda epoch, logs: tf.summary.scalar("rate", 0.5, step=epoch)
class TensorBoard(tf.keras.callbacks.Callback):  # one of the script's own, which only has the name
    pass
callbacks = [tf.keras.callbacks.LambdaCallback(on_epoch_end=write), tf.keras.callbacks.TensorBoard("logs")]
callbacks.append(TensorBoard())
x, y = tf.ones((16, 2)), tf.ones((16, 1))
with tf.summary.create_file_writer("logs/own").as_default():
    traced(tf.constant(1.0))
    tf.summary.histogram("weights", [1.0, 2.0], step=9)
    model.fit(x, y, epochs=2, verbose=0, validation_data=(x, y), callbacks=callbacks)
with tf.summary.create_file_writer("logs/train").as_default():
    tf.summary.scalar("of the script", 1.0, step=9)
print("trained")
"""
SEVERAL = ONE_DIRECTORY + '    writer.add_scalars("many", {"a": 1, "b": 2}, 1)\n'
PRINTED = "before the script's own imports: []\n"


def rows_of(run: Run, *left_out: str) -> list[list[str]]:
    """Its history; two directories are two threads of wandb's, so each is a list of its own."""
    left_out = ("_step", "_runtime", *left_out)
    rows = [{name: value for name, value in row.items() if name not in left_out} for row in run.history]
    told = [json.dumps(row, sort_keys=True) for row in rows]
    return [[row for row in told if ("val/" in row) is of_val] for of_val in (False, True)]


def check_rows(native: Run, ours: Run, *left_out: str) -> None:
    """The rows are the same, but for what is left out."""
    for expected, found in zip(rows_of(native, *left_out), rows_of(ours, *left_out), strict=True):
        assert found == expected
        assert found


@pytest.mark.xdist_group("frameworks")
def test_the_rows_are_those_that_wandb_makes_of_the_files(job: Job) -> None:
    python = python_of("frameworks")
    job.write("synced.py", SYNCED + TORCH)
    job.write("train.py", TORCH)
    job.run(python, "synced.py", shim=False)
    plain = job.run(python, "train.py", shim=False)
    done = job.run(python, "train.py")
    assert done.stdout == plain.stdout == PRINTED
    assert [line for line in done.stderr.splitlines() if "wandb-shim" not in line] == plain.stderr.splitlines()
    native, ours = job.server.runs
    check_rows(native, ours)


# Up to 0.25 wandb made a row of each value, and had a `global_step` for each prefix.
@pytest.mark.parametrize("environment", ["wandb-0.28.2", "ray-train"])
def test_with_tensorboardx_they_are_those_too(job: Job, environment: str) -> None:
    python = python_of(environment)
    job.write("synced.py", SYNCED + TENSORBOARDX)
    job.write("train.py", TENSORBOARDX)
    job.run(python, "synced.py", shim=False)
    done = job.run(python, "train.py")
    assert done.stdout == PRINTED
    native, ours = job.server.runs
    check_rows(native, ours)


QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.mark.matrix  # TensorFlow's environment takes a while to make
def test_with_tensorflow_they_are_those_too(job: Job) -> None:
    python = python_of("tensorflow")
    job.write("synced.py", SYNCED + TENSORFLOW)
    job.write("train.py", TENSORFLOW)
    job.run(python, "synced.py", shim=False, environ=QUIET)
    done = job.run(python, "train.py", environ=QUIET)
    job.run(python, "train.py", environ={**QUIET, "WANDB_SHIM_TENSORBOARD": "off"})
    native, ours, off = job.server.runs
    assert done.stdout == PRINTED
    assert done.stderr.count("wandb-shim:") == 1
    check_rows(native, ours, "_timestamp")
    assert not off.history


@pytest.mark.matrix
def test_what_keras_writes_for_tensorboard_is_there_once(job: Job) -> None:
    python = python_of("tensorflow")
    job.write("train.py", KERAS)
    for skipped in ("", "keras"):
        done = job.run(python, "train.py", environ={**QUIET, "WANDB_SHIM_SKIP": skipped})
        assert (done.stdout, done.stderr.count("wandb-shim:")) == ("trained\n", 1)
    ours, skipping = [
        {name for row in run.history for name in row if not name.startswith("_")} for run in job.server.runs
    ]
    of_keras = {"epoch/epoch", "epoch/learning_rate", "epoch/loss", "epoch/val_loss"}
    # The callback gives what it has of a batch to whatever writer is the default, and has one figure of its own.
    of_callback = {"own/batch_loss", "validation/evaluation_loss_vs_iterations"}
    assert ours == {*of_keras, *of_callback, "own/rate", "train/of the script", "global_step"}
    assert skipping > {"own/rate", "train/epoch_loss", "validation/epoch_loss"}
    assert not skipping & of_keras


@pytest.mark.matrix
def test_a_script_that_asks_wandb_for_what_tensorflow_writes_has_it_as_without_the_shim(job: Job) -> None:
    job.write("train.py", SYNCED.replace("init(", "init(name='tb', ") + TENSORFLOW.replace('"runs/', '"'))
    for shim in (False, True):
        job.run(python_of("tensorflow"), "train.py", shim=shim, environ=QUIET)
        for place in ("train", "val"):
            shutil.rmtree(job.directory / place)
    native, run = job.server.runs
    check_rows(native, run, "_timestamp")
    assert (run.display_name, configured(run)) == (native.display_name, configured(native))


@pytest.mark.parametrize("environment", RELEASES)
def test_a_script_that_asks_wandb_for_them_has_them_as_without_the_shim(job: Job, environment: str) -> None:
    job.write("train.py", SYNCED.replace("init(", "init(name='tb', ") + ONE_DIRECTORY)
    job.run(python_of(environment), "train.py", shim=False)
    shutil.rmtree(job.directory / "runs")  # with the shim the run begins earlier, and would have their events, too
    job.run(python_of(environment), "train.py")
    native, run = job.server.runs
    check_nothing_is_missing(native, run)


TOLD_BY_A_FRAMEWORK = """\
from tensorboardX import SummaryWriter
import importlib

content = importlib.import_module("_wandb_shim.script.content")
writer = SummaryWriter("one")
writer.add_scalar("before", 1, 0)
content.tells("some framework")
content.metrics({"train/loss": 2})
writer.add_scalar("loss", 2, 0)
writer.close()
"""


def test_metrics_that_a_framework_tells_are_not_told_again(job: Job) -> None:
    job.write("train.py", TOLD_BY_A_FRAMEWORK)
    job.run(python_of("wandb-0.28.2"), "train.py")
    told = {name for row in job.server.run().history for name in row if not name.startswith("_")}
    assert told == {"before", "global_step", "train/loss"}


def test_a_directory_that_was_made_up_is_no_prefix_and_a_variable_switches_all_off(job: Job) -> None:
    job.write("train.py", SEVERAL)
    python = python_of("wandb-0.28.2")
    job.run(python, "train.py")
    job.run(python, "train.py", environ={"WANDB_SHIM_TENSORBOARD": "off"})
    ours, off = job.server.runs
    told = sorted(name for row in ours.history for name in row if not name.startswith("_"))
    assert told == [*["global_step"] * 4, "loss", "loss", "many/a/many", "many/b/many"]
    assert not off.history
