"""One job, one run, across restarts: a run id from the scheduler's name of the job and the command line.

A requeued Slurm job, a torchrun restart or a recovered SkyPilot task is the same job again, and continues its run
(resume="allow"). Without an identity of the job no id is derived, and W&B makes one up, as without the shim. An
explicit WANDB_RUN_ID always wins.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

# For each scheduler the variables that name the job, and those that name its part; the first row whose names of the job
# are all set counts. Array tasks and steps are jobs of their own. A requeued job keeps its number, and its steps are
# counted anew: sbatch(1), OUTPUT ENVIRONMENT VARIABLES. torchrun: TORCHELASTIC_RUN_ID is --rdzv-id, or with
# --standalone an id for the life of the agent (torch/distributed/run.py).
JOBS = (
    ("slurm", ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"), ("SLURM_STEP_ID",)),
    ("slurm", ("SLURM_JOB_ID",), ("SLURM_STEP_ID",)),
    ("skypilot", ("SKYPILOT_TASK_ID",), ()),
    ("ray", ("RAY_JOB_CONFIG_JSON_ENV_VAR",), ()),
    ("torchrun", ("TORCHELASTIC_RUN_ID",), ()),
    ("kubernetes", ("KUBERNETES_JOB_UID",), ()),
)

# The values that torchrun writes where nobody has named the job.
_NO_NAMES = frozenset({"", "none"})


def derived_run_id(environ: Mapping[str, str], command: Sequence[str]) -> str | None:
    """The run id of this job; None where the scheduler gives it no identity.

    Args:
        environ: The process's environment.
        command: What is run, with its arguments: two programs of one job are two runs.
    """
    for scheduler, names, parts in JOBS:
        values = [_value(environ, name) for name in names]
        if all(value not in _NO_NAMES for value in values):
            identity = [scheduler, *values, *(environ.get(name, "") for name in parts), *command]
            return hashlib.sha256("\0".join(identity).encode(errors="surrogateescape")).hexdigest()[:16]
    return None


def _value(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if name == "RAY_JOB_CONFIG_JSON_ENV_VAR":  # of the driver of a submitted job (ray/_private/ray_constants.py)
        try:
            return str(json.loads(value).get("metadata", {}).get("job_submission_id", ""))
        except (ValueError, AttributeError):
            return ""
    return value
