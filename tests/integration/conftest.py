"""What tests with real processes may ask for besides: a W&B server of their own."""

from tests.jobs import job, shim_home
from tests.ray_cluster import ray_cluster
from tests.slurm import slurm
from tests.wandb_server.fixture import wandb_server

__all__ = ["job", "ray_cluster", "shim_home", "slurm", "wandb_server"]
