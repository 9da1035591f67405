"""Clusters and managed jobs of SkyPilot.

The key is a 0600 file on this host that SkyPilot's file mounts copy; it stays until the cluster is down.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shim import environment as contract

from ..config import Profile
from ..key_files import FILE_NAME, write_key_file
from ..kinds import BOOL, NUMBER, TABLE, TEXT, TEXTS, WHOLE
from .base import LIST, Cargo, Delivery, Executor, Field, doubled, fields_of


def _deliver(cargo: Cargo, fields: Mapping[str, Any]) -> Delivery:
    if not cargo.key:
        return Delivery()
    # Below /tmp SkyPilot copies straight to the place; elsewhere it needs sudo and leaves a link.
    target = f"/tmp/wandb-shim-{secrets.token_hex(8)}/{FILE_NAME}"
    mounts = {**(fields.get("file_mounts") or {}), target: str(write_key_file(cargo.key))}
    warning = (
        "skypilot: the W&B key is copied as a 0600 file, in no job file; it stays on the cluster until that is down "
        "(set autodown = true), and a remote SkyPilot API server keeps its own copy of file mounts"
    )
    return Delivery({contract.API_KEY_FILE: target}, {"file_mounts": mounts}, warning)


def _finish(fields: dict[str, Any], profile: Profile) -> None:
    commands = fields.pop(".startup_commands", ())
    if commands:
        fields["setup"] = "\n".join([*filter(None, [fields.get("setup")]), *commands])
    if fields.get("ports"):
        fields["ports"] = tuple(fields["ports"])


SKYPILOT = Executor(
    kind="skypilot",
    module="skypilot",
    class_name="SkypilotExecutor",
    fields={
        **fields_of(
            {
                TEXT: "container_image cluster_name setup infra network_tier",
                TEXT | TEXTS: "cloud region zone gpus instance_type disk_tier",
                WHOLE: "gpus_per_node num_nodes idle_minutes_to_autostop torchrun_nproc_per_node",
                NUMBER | LIST: "cpus memory disk_size",
                BOOL: "autodown retry_until_up",
                BOOL | LIST: "use_spot",
                TEXTS: "ports",
                TABLE: "file_mounts storage_mounts cluster_config_overrides",
            }
        ),
        "container": Field(TEXT, "container_image"),
        "nodes": Field(WHOLE, "num_nodes"),
        "startup_commands": Field(TEXTS, ".startup_commands"),
    },
    spell=doubled,
    deliver=_deliver,
    finish=_finish,
    extra="skypilot",
    package="sky",
)

# The same task, handed to SkyPilot's controller: it recovers from preemption, and its clusters go down by themselves.
SKYPILOT_JOBS = replace(SKYPILOT, kind="skypilot-jobs", module="skypilot_jobs", class_name="SkypilotJobsExecutor")
