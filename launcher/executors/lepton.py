"""DGX Cloud Lepton: the key is a secret of the workspace, by reference, and a variable only in the container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shim import environment as contract

from ..kinds import BOOL, TABLE, TABLES, TEXT, TEXTS, WHOLE
from .base import WANDB_SECRET, Cargo, Delivery, Executor, Field, assumed, fields_of, plain


def _deliver(cargo: Cargo, fields: Mapping[str, Any]) -> Delivery:
    secret_vars = dict(fields.get("secret_vars") or {})
    if contract.API_KEY in secret_vars:
        return Delivery()
    name = cargo.secret or LEPTON.engine_secret
    create = f"`lep secret create -n {name} -v …`, or in the workspace's settings"
    return Delivery(
        fields={"secret_vars": {**secret_vars, contract.API_KEY: name}},
        warning=assumed("lepton", cargo, name, create),
    )


LEPTON = Executor(
    kind="lepton",
    module="lepton",
    class_name="LeptonExecutor",
    fields={
        **WANDB_SECRET,
        **fields_of(
            {
                TEXT: "container_image nemo_run_dir resource_shape node_group node_reservation ray_version "
                "head_resource_shape queue_priority",
                WHOLE: "nodes gpus_per_node nprocs_per_node shared_memory_size",
                BOOL: "launched_from_cluster can_be_preempted can_preempt",
                TEXTS: "image_pull_secrets pre_launch_commands",
                TABLES: "mounts",
                TABLE: "secret_vars custom_spec",
            }
        ),
        "container": Field(TEXT, "container_image"),
        "remote_job_dir": Field(TEXT, "nemo_run_dir"),
        "ntasks_per_node": Field(WHOLE, "nprocs_per_node"),
        "startup_commands": Field(TEXTS, "pre_launch_commands"),
    },
    spell=plain,
    deliver=_deliver,
    required=("container_image", "nemo_run_dir"),
    engine_secret="WANDB_API_KEY",
)
