"""What tests with real processes may ask for besides: a W&B server of their own."""

from tests.jobs import job, shim_home
from tests.slurm import slurm
from tests.wandb_server.fixture import wandb_server

__all__ = ["job", "shim_home", "slurm", "wandb_server"]
