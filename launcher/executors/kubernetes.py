"""KubeRay clusters and Kubeflow's TrainJobs: the key is a Kubernetes secret, mounted as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shim import environment as contract

from ..config import Profile
from ..kinds import BOOL, TABLE, TABLES, TEXT, TEXTS, WHOLE
from .base import WANDB_SECRET, Cargo, Delivery, Executor, Field, assumed, doubled, fields_of

_MOUNTED = "/run/secrets/wandb-shim"


def _delivered(executor: Executor, cargo: Cargo, fields: Mapping[str, Any]) -> Delivery:
    """A secret that is mounted as a file.

    A file, not a variable: NeMo-RL's driver copies its environment into a runtime_env, which Ray logs. The last of
    the volumes: nemo-run copies the working directory to the first.
    """
    name = cargo.secret or executor.engine_secret
    create = f"`kubectl create secret generic {name} --from-file={contract.API_KEY}=/dev/stdin`, key on standard input"
    volume = {"name": "wandb-shim-key", "secret": {"secretName": name}}
    mount = {"name": "wandb-shim-key", "mountPath": _MOUNTED, "readOnly": True}
    return Delivery(
        env={contract.API_KEY_FILE: f"{_MOUNTED}/{contract.API_KEY}"},
        fields={
            "volumes": [*fields.get("volumes", ()), volume],
            "volume_mounts": [*fields.get("volume_mounts", ()), mount],
        },
        warning=assumed(executor.kind, cargo, name, create),
    )


def _to_kuberay(cargo: Cargo, fields: Mapping[str, Any]) -> Delivery:
    container = fields.get("container_kwargs") or {}
    if {"secretRef": {"name": cargo.secret or KUBERAY.engine_secret}} in (container.get("envFrom") or ()):
        return Delivery()
    return _delivered(KUBERAY, cargo, fields)


def _to_kubeflow(cargo: Cargo, fields: Mapping[str, Any]) -> Delivery:
    if any(item.get("name") == contract.API_KEY for item in fields.get("env_list") or ()):
        return Delivery()
    return _delivered(KUBEFLOW, cargo, fields)


# nemo-run spreads these fields over what it has built, the key's mount included: field, key, what it replaces, what
# to write instead.
_KUBERAY_REPLACING = (
    ("container_kwargs", "env", "variables", "env_vars"),
    ("container_kwargs", "volumeMounts", "mounts", "volume_mounts"),
    ("spec_kwargs", "volumes", "volumes", "volumes"),
)
_KUBEFLOW_REPLACING = (
    ("container_kwargs", "env", "variables", "env_vars or env_list"),
    ("pod_spec_overrides", "volumes", "volumes", "volumes"),
    ("pod_spec_overrides", "containers", "mounts", "volume_mounts"),
    ("spec_kwargs", "podTemplateOverrides", "overrides of the pod", "pod_spec_overrides"),
    ("spec_kwargs", "trainer", "settings of the trainer", "container_kwargs"),
)


def _refuse(replacing: tuple[tuple[str, str, str, str], ...], fields: dict[str, Any], profile: Profile) -> None:
    for field, key, all_others, instead in replacing:
        if key in (fields.get(field) or {}):
            raise profile.problem(field, f'"{key}" in {field} replaces all other {all_others}: use {instead}')


def _finish_kuberay(fields: dict[str, Any], profile: Profile) -> None:
    from nemo_run.core.execution.kuberay import KubeRayWorkerGroup

    _refuse(_KUBERAY_REPLACING, fields, profile)
    groups = [KubeRayWorkerGroup(**group) for group in fields.get("worker_groups", ())]
    if groups:
        fields["worker_groups"] = groups


def _finish_kubeflow(fields: dict[str, Any], profile: Profile) -> None:
    _refuse(_KUBEFLOW_REPLACING, fields, profile)


def _listed(fields: dict[str, Any], env: Mapping[str, str]) -> None:
    """Variables of the pod alone: nemo-run writes `env_vars` to the launch script, too, as a shell would read them."""
    doubled(fields, env)
    listed = [{"name": name, "value": value} for name, value in fields["env_vars"].items()]
    taken = {item.get("name") for item in fields.get("env_list") or ()}
    fields["env_list"] = [*(item for item in listed if item["name"] not in taken), *(fields.get("env_list") or ())]
    fields["env_vars"] = {}


KUBERAY = Executor(
    kind="kuberay",
    module="kuberay",
    class_name="KubeRayExecutor",
    fields={
        **WANDB_SECRET,
        **fields_of(
            {
                TEXT: "namespace ray_version image head_cpu head_memory service_type",
                BOOL: "reuse_volumes_in_worker_groups",
                TABLES: "worker_groups head_ports volume_mounts volumes",
                TABLE: "ray_head_start_params ray_worker_start_params labels spec_kwargs container_kwargs "
                "lifecycle_kwargs",
            }
        ),
        "container_image": Field(TEXT, "image"),
        "container": Field(TEXT, "image"),
    },
    spell=doubled,
    deliver=_to_kuberay,
    finish=_finish_kuberay,
    extra="ray",
    engine_secret="wandb",
)

KUBEFLOW = Executor(
    kind="kubeflow",
    module="kubeflow",
    class_name="KubeflowExecutor",
    fields={
        **WANDB_SECRET,
        **fields_of(
            {
                TEXT: "runtime_ref namespace image cpu_requests memory_requests cpu_limits memory_limits "
                "data_mover_image restart_policy workdir_pvc workdir_pvc_path workdir_local_path train_job_basename",
                WHOLE: "num_nodes nprocs_per_node gpus_per_node",
                TEXTS: "image_pull_secrets",
                TABLES: "volume_mounts volumes tolerations env_list",
                TABLE: "extra_resource_requests extra_resource_limits labels annotations pod_annotations pod_labels "
                "affinity pod_spec_overrides spec_kwargs container_kwargs",
            }
        ),
        "container_image": Field(TEXT, "image"),
        "container": Field(TEXT, "image"),
        "nodes": Field(WHOLE, "num_nodes"),
        "ntasks_per_node": Field(WHOLE, "nprocs_per_node"),
    },
    spell=_listed,
    deliver=_to_kubeflow,
    finish=_finish_kubeflow,
    extra="kubeflow",
    package="kubernetes",
    engine_secret="wandb",
)
