"""Keras without a W&B callback: what W&B's own would have logged, and what ModelCheckpoint saves as artifacts."""

from __future__ import annotations

import shutil

import pytest

from tests.comparing import steady
from tests.environments import python_of
from tests.jobs import Job

# The score is best in the second epoch.
TRAINS = """\
import os, pickle, sys
native = sys.argv[1] == "wandb"
if native:
    import wandb
    wandb.init(project="theirs", name="mine")
    from wandb.integration.keras import WandbMetricsLogger
import keras, numpy as np

class Score(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.scored.assign(abs(epoch - 1.0))

keras.utils.set_random_seed(1)
model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])
model.scored = keras.Variable(0.0, trainable=False)
schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
model.compile(
    keras.optimizers.SGD(schedule, momentum=0.9), "mse",
    metrics=[keras.metrics.MeanMetricWrapper(lambda y, p: model.scored + 0 * p[:, 0], name="score")],
)
x, y = np.ones((16, 2), "float32"), np.ones((16, 1), "float32")
callbacks = [
    Score(),
    keras.callbacks.ModelCheckpoint("exp/top.weights.h5", "val_score", 1, True, True, mode="min"),
    keras.callbacks.ModelCheckpoint("exp/all-{epoch}.keras"),
    keras.callbacks.BackupAndRestore("backup"),
    *([WandbMetricsLogger()] if native else []),
]
done = model.fit(x, y, batch_size=8, epochs=3, verbose=2, validation_data=(x, y), callbacks=callbacks)
print(model.evaluate(x, y, verbose=0), sorted(done.history), len(callbacks), sorted(os.listdir("exp"))[-4:])
print({name.partition(".")[0] for name in sys.modules} & {"wrapt"} if "tensorflow" not in sys.modules else "")
pickle.dumps(done.history)
print(keras.random.uniform(()).numpy() if hasattr(keras.random.uniform(()), "numpy") else "")
"""


def versions(job: Job) -> list[tuple[int, list[str]]]:
    found = [artifact for artifact in job.server.artifacts if artifact.collection == "exp"]
    found = sorted((one for one in found if one.version is not None), key=lambda one: one.version or 0)
    return [(one.metadata["step"], sorted(one.aliases)) for one in found]


@pytest.mark.matrix  # W&B's callbacks need TensorFlow, whose environment takes minutes to make
@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_the_run_has_what_the_own_callback_would_have_logged_and_the_checkpoints(job: Job, backend: str) -> None:
    python = python_of("keras")
    environ = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_HOME": str(job.directory / "home")}
    job.write("train.py", TRAINS)
    job.run(python, "train.py", "wandb", shim=False, environ=environ)
    shutil.rmtree(job.directory / "exp")
    plain = job.run(python, "train.py", "none", shim=False, environ=environ)
    shutil.rmtree(job.directory / "exp")
    done = job.run(python, "train.py", "none", environ=environ)
    native, run = job.server.runs
    assert without_times(done.stdout) == without_times(plain.stdout)
    assert done.stderr.count("wandb-shim:") == 1
    assert [steady(row) for row in run.history] == [steady(row) for row in native.history]
    assert len(run.history) == 3
    assert {"epoch/val_score", "epoch/learning_rate", "epoch/loss"} <= {*run.history[0]}
    assert steady(run.summary) == steady(native.summary)
    assert run.config["_wandb"]["m"] == native.config["_wandb"]["m"]
    parameters = run.config["keras"]
    assert (parameters["epochs"], parameters["loss"], parameters["optimizer"]["class"]) == (3, "mse", "SGD")
    assert parameters["optimizer"]["momentum"] == 0.9
    assert versions(job) == [
        (2, []),
        (2, ["all-1", "epoch_0"]),
        (4, ["best", "top"]),
        (4, ["all-2", "epoch_1"]),
        (6, ["all-3", "epoch_2", "latest"]),
    ]


def without_times(text: str) -> list[str]:
    """What `fit` prints, but for how long it took."""
    return [word for word in text.split() if not word.endswith(("s", "ms/step", "s/step"))]
