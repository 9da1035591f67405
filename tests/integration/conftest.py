"""What tests with real processes may ask for besides: a W&B server of their own, and interpreters with the shim."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import interpreters
from tests.benchmarks import places
from tests.jobs import job, shim_home
from tests.ray_cluster import ray_cluster
from tests.slurm import slurm
from tests.wandb_server.fixture import wandb_server

__all__ = ["job", "ray_cluster", "shim_home", "slurm", "wandb_server"]


@pytest.fixture(scope="session")
def places_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where copies of interpreters lie; all workers share them."""
    return places.shared_root(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session", params=interpreters.every_python())
def baked(request: pytest.FixtureRequest, places_root: Path) -> places.Baked:
    """A copy of each Python of this machine, with the shim in its standard library, and one without."""
    return places.baked(request.param, places_root)
