"""The executors, by the word that a profile has for each. A new one is a file here and a line below."""

from __future__ import annotations

from .base import Executor
from .dgxcloud import DGXCLOUD
from .docker import DOCKER
from .kubernetes import KUBEFLOW, KUBERAY
from .lepton import LEPTON
from .local import LOCAL
from .skypilot import SKYPILOT, SKYPILOT_JOBS
from .slurm import SLURM

EXECUTORS: dict[str, Executor] = {
    executor.kind: executor
    for executor in (LOCAL, DOCKER, SLURM, SKYPILOT, SKYPILOT_JOBS, DGXCLOUD, LEPTON, KUBERAY, KUBEFLOW)
}
