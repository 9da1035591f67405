"""The script's own import of numpy is the first, and wandb then knows numpy as ever."""

from __future__ import annotations

import pytest

from tests.comparing import check_nothing_is_missing
from tests.environments import python_of
from tests.jobs import Job

pytestmark = pytest.mark.in_turn

RELEASES = ["wandb-0.19.11", "wandb-0.21.4", "wandb-0.23.1", "wandb-0.25.1", "wandb-0.28.2", "demo"]


def test_what_a_script_sets_before_it_imports_numpy_counts(job: Job) -> None:
    script = """
import os
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy
from threadpoolctl import threadpool_info
assert {library["num_threads"] for library in threadpool_info()} == {1}
"""
    job.write("train.py", script)
    job.run(python_of("demo"), "train.py", environ={"OMP_NUM_THREADS": None})


# All the places where wandb looks at numpy: its types, what it makes of values, histograms, tables and configs.
VALUES = """\
import sys
import numpy
import wandb
from wandb.sdk.data_types import _dtypes
registry = _dtypes.TypeRegistry.types_by_class()
print(sorted(f"{cls.__module__}.{cls.__qualname__} {kind.name}" for cls, kind in registry.items()))
print(sorted(map(str, _dtypes.NumberType.types)), _dtypes.NDArrayType.types)
config = {"lr": numpy.float32(0.5), "shape": numpy.arange(3), "flag": numpy.bool_(True)}
with wandb.init(name="np", config=config) as run:
    row = [numpy.int64(1), numpy.float32(2), numpy.bool_(True), numpy.zeros(2), numpy.datetime64("2020-01-01"), "text"]
    table = wandb.Table(columns=list("abcdef"), data=[row, row])
    print(table._column_types)
    run.log({"scalar": numpy.float16(1), "zero": numpy.array(2.0), "long": numpy.arange(100), "table": table})
    run.log({"histogram": wandb.Histogram(numpy.arange(10.0))})
"""


@pytest.mark.parametrize("release", RELEASES)
def test_wandb_takes_the_values_of_numpy_as_it_would_have(job: Job, release: str) -> None:
    job.write("train.py", VALUES)
    plain = job.run(python_of(release), "train.py", shim=False)
    tracked = job.run(python_of(release), "train.py")
    assert tracked.stdout.splitlines()[:3] == plain.stdout.splitlines()[:3]
    native, run = job.server.runs
    check_nothing_is_missing(native, run)
