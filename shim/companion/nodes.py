"""Every node's machine in the job's run: WANDB_SHIM_NODES=on.

One process a node, its local rank 0, joins the run in wandb's shared mode and adds what wandb measures of its machine
(GPU, CPU, memory) under the node's own label; the owner does so for its own node. All nodes must know the run's id
before it is there: WANDB_RUN_ID, or the one derived from the scheduler's name of the job (identity.py).

Shared mode is online only (https://docs.wandb.ai/guides/track/log/distributed-training, wandb 0.19.9 and newer).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from .. import environment, ranks
from .identity import derived_run_id

# What a joining process must not touch: the run's config, metadata and end are the owner's.
_SECONDARY = {"x_primary": False, "x_update_finish_state": False}


def run_id(environ: Mapping[str, str], command: Sequence[str]) -> str | None:
    """The run id that all nodes of this job know; None where there is none."""
    return environ.get(environment.RUN_ID) or derived_run_id(environ, command)


def settings(environ: Mapping[str, str], command: Sequence[str], *, primary: bool) -> dict[str, Any]:
    """What makes an init one of a shared run: fields of `wandb.Settings`."""
    rank = ranks.find_rank(environ)[0]
    label = f"{socket.gethostname()}-rank{rank}"  # containers of two nodes may have one name
    return {"mode": "shared", "run_id": run_id(environ, command), "x_label": label, **({} if primary else _SECONDARY)}


def obstacle(wandb: ModuleType, environ: Mapping[str, str], command: Sequence[str]) -> str:
    """Why the nodes of this job cannot share a run; empty where they can."""
    if run_id(environ, command) is None:
        return f"no run id that all nodes know: set {environment.RUN_ID}"
    if "x_label" not in getattr(wandb.Settings, "model_fields", {}):
        return f"wandb {wandb.__version__} cannot share a run; 0.19.9 and newer can"
    return ""
