"""A container of this host.

The key is a 0600 file on this host, mounted read-only, gone when the launching process ends: `docker inspect` shows
variables, and so do nemo-run's own files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from shim import environment as contract

from ..config import Profile
from ..key_files import write_key_file
from ..kinds import BOOL, TABLE, TEXT, TEXTS, WHOLE
from .base import MOUNTED_FILE, Cargo, Delivery, Executor, Field, fields_of, plain


def _deliver(cargo: Cargo, fields: Mapping[str, Any]) -> Delivery:
    if not cargo.key:
        return Delivery()
    volume = f"{write_key_file(cargo.key)}:{MOUNTED_FILE}:ro"
    return Delivery({contract.API_KEY_FILE: MOUNTED_FILE}, {"volumes": [*fields.get("volumes", ()), volume]})


def _finish(fields: dict[str, Any], profile: Profile) -> None:
    mounts = [_expanded(mount) for mount in fields.pop(".mounts", ())]
    if mounts:
        fields["volumes"] = [*fields.get("volumes", ()), *mounts]


def _expanded(mount: str) -> str:
    """`~/data:/data` with the host's side made absolute: `~`, variables and relative paths."""
    source, colon, rest = mount.partition(":")
    return os.path.abspath(os.path.expandvars(os.path.expanduser(source))) + colon + rest


DOCKER = Executor(
    kind="docker",
    module="docker",
    class_name="DockerExecutor",
    fields={
        **fields_of(
            {
                TEXT: "container_image runtime shm_size ipc_mode network",
                WHOLE: "num_gpus ntasks_per_node",
                BOOL: "privileged",
                TEXTS: "volumes ulimits",
                TABLE: "healthcheck additional_kwargs",
            }
        ),
        "container": Field(TEXT, "container_image"),
        "gpus_per_node": Field(WHOLE, "num_gpus"),
        "nproc_per_node": Field(WHOLE, "ntasks_per_node"),
        "mounts": Field(TEXTS, ".mounts"),
    },
    spell=plain,
    deliver=_deliver,
    finish=_finish,
    required=("container_image",),
)
