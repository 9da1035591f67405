"""Every node's machine in the job's run: WANDB_SHIM_NODES=on.

One process of each node, its local rank 0, joins the run in wandb's shared mode and adds what wandb measures of its
machine (GPU, CPU, memory) under the node's own label; the owner does so for its own node. All nodes must know the run's
id before the run exists: WANDB_RUN_ID, or an id derived from the scheduler's name of the job (identity.py).

Shared mode is online only (https://docs.wandb.ai/guides/track/log/distributed-training, wandb 0.19.9 and newer).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from .. import environment, ranks
from .identity import derived_run_id

# Settings of a process that joins: the run's config, metadata and end are left to the owner.
_SECONDARY = {"x_primary": False, "x_update_finish_state": False}


def run_id(environ: Mapping[str, str], command: Sequence[str]) -> str | None:
    """The run id that all nodes of this job know; None where they know none."""
    return environ.get(environment.RUN_ID) or derived_run_id(environ, command)


def settings(environ: Mapping[str, str], command: Sequence[str], *, primary: bool) -> dict[str, Any]:
    """The fields of `wandb.Settings` with which an init opens or joins a shared run."""
    rank = ranks.find_rank(environ)[0]
    label = f"{socket.gethostname()}-rank{rank}"  # with the rank: containers of two nodes may have the same name
    return {"mode": "shared", "run_id": run_id(environ, command), "x_label": label, **({} if primary else _SECONDARY)}


def obstacle(wandb: ModuleType, environ: Mapping[str, str], command: Sequence[str]) -> str:
    """Why the nodes of this job cannot share a run; empty where they can."""
    if run_id(environ, command) is None:
        return f"no run id that all nodes know: set {environment.RUN_ID}"
    if "x_label" not in getattr(wandb.Settings, "model_fields", {}):
        return f"wandb {wandb.__version__} cannot share a run; 0.19.9 and newer can"
    return ""
