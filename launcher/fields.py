"""The profile fields of each executor: what kind of value each takes, and nemo-run's name for it.

Taken from the dataclasses of nemo-run 0.11.1 (a test compares them) and, for the names that env.toml files in use
have, from Nemotron's execution.py. A target with a leading "." is no field of nemo-run: executors.py puts it where it
belongs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .config import Profile
from .errors import LauncherError, did_you_mean
from .kinds import BOOL, NUMBER, OBJECT, TABLE, TABLES, TEXT, TEXTS, WHOLE, Kind, name_of


@dataclass(frozen=True)
class Field:
    """One profile field.

    Attributes:
        kind: What it takes.
        target: nemo-run's name; "" for the same name.
    """

    kind: Kind
    target: str = ""


@dataclass(frozen=True)
class Spec:
    """One executor.

    Attributes:
        module: Where nemo-run defines it.
        class_name: Its class; RayJob goes by the exact class, so never a subclass.
        fields: Profile fields, next to `COMMON`.
        required: Fields, by nemo-run's names, that it cannot do without.
        extra: What pip must install beside plain nemo-run.
    """

    module: str
    class_name: str
    fields: Mapping[str, Field]
    required: tuple[str, ...] = ()
    extra: str = ""


NEMO_RUN = "nemo-run==0.11.1"
# 0.11.1 asks for leptonai>=0.26.6 and imports leptonai.api.v1, which later releases lack.
LEPTON_PIN = "leptonai<0.28"


def _fields(table: Mapping[Kind, str]) -> dict[str, Field]:
    return {name: Field(kind) for kind, names in table.items() for name in names.split()}


COMMON = {
    **_fields({TEXT | OBJECT: "launcher", WHOLE: "retries", OBJECT: "packager"}),
    "executor": Field(TEXT, ".executor"),
    "env_vars": Field(TABLE, ".env_vars"),
    "wandb_secret": Field(TEXT, ".wandb_secret"),
}

LOCAL = {
    **_fields({WHOLE: "nodes ntasks_per_node"}),
    "nproc_per_node": Field(WHOLE, "ntasks_per_node"),
}

DOCKER = {
    **_fields(
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
}

SLURM = {
    **_fields(
        {
            TEXT: "account partition job_name_prefix time qos mem mem_per_gpu mem_per_cpu comment constraint exclude "
            "gres signal array open_mode container_image dependency_type setup_lines network ray_template",
            WHOLE: "nodes ntasks_per_node cpus_per_task cpus_per_gpu gpus_per_node gpus_per_task "
            "torchrun_nproc_per_node wait_time_for_group_job monitor_group_job_wait_time segment",
            BOOL: "heterogeneous memory_measure monitor_group_job poll_estimated_start_time",
            TEXT | BOOL: "exclusive",
            TEXTS: "container_mounts container_env srun_args dependencies",
            TABLE: "additional_parameters",
            OBJECT: "job_details",
        }
    ),
    "het_group_indices": Field(Kind("a list of whole numbers", lambda value: isinstance(value, list | tuple))),
    "container": Field(TEXT, "container_image"),
    "mounts": Field(TEXTS, "container_mounts"),
    "lustre_mount": Field(TEXT, ".lustre_mount"),
    "run_partition": Field(TEXT, ".run_partition"),
    "batch_partition": Field(TEXT, ".batch_partition"),
    "tunnel": Field(TEXT | OBJECT, ".tunnel"),
    "host": Field(TEXT, ".host"),
    "user": Field(TEXT, ".user"),
    "port": Field(WHOLE, ".port"),
    "identity": Field(TEXT, ".identity"),
    "remote_job_dir": Field(TEXT, ".remote_job_dir"),
}

SKYPILOT = {
    **_fields(
        {
            TEXT: "container_image cluster_name setup infra network_tier",
            TEXT | TEXTS: "cloud region zone gpus instance_type disk_tier",
            WHOLE: "gpus_per_node num_nodes idle_minutes_to_autostop torchrun_nproc_per_node",
            NUMBER | Kind("a list", lambda value: isinstance(value, list)): "cpus memory disk_size",
            BOOL: "autodown retry_until_up",
            BOOL | Kind("a list", lambda value: isinstance(value, list)): "use_spot",
            TEXTS: "ports",
            TABLE: "file_mounts storage_mounts cluster_config_overrides",
        }
    ),
    "container": Field(TEXT, "container_image"),
    "nodes": Field(WHOLE, "num_nodes"),
    "startup_commands": Field(TEXTS, ".startup_commands"),
}

DGXCLOUD = {
    **_fields(
        {
            TEXT: "base_url kube_apiserver_url client_id client_secret project_name container_image "
            "pvc_nemo_run_dir distributed_framework",
            WHOLE: "nodes gpus_per_node nprocs_per_node",
            BOOL: "launched_from_cluster",
            TABLES: "pvcs",
            TABLE: "custom_spec",
        }
    ),
    "container": Field(TEXT, "container_image"),
    "app_id": Field(TEXT, "client_id"),
    "app_secret": Field(TEXT, "client_secret"),
    "remote_job_dir": Field(TEXT, "pvc_nemo_run_dir"),
    "ntasks_per_node": Field(WHOLE, "nprocs_per_node"),
    "dgxcloud_max_args_chars": Field(WHOLE, "MAX_ARGS_CHARS"),
}

LEPTON = {
    **_fields(
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
}

KUBERAY = {
    **_fields(
        {
            TEXT: "namespace ray_version image head_cpu head_memory service_type",
            BOOL: "reuse_volumes_in_worker_groups",
            TABLES: "worker_groups head_ports volume_mounts volumes",
            TABLE: "ray_head_start_params ray_worker_start_params labels spec_kwargs container_kwargs lifecycle_kwargs",
        }
    ),
    "container_image": Field(TEXT, "image"),
    "container": Field(TEXT, "image"),
}

_EXECUTION = "nemo_run.core.execution"
SPECS = {
    "local": Spec(f"{_EXECUTION}.local", "LocalExecutor", LOCAL),
    "docker": Spec(f"{_EXECUTION}.docker", "DockerExecutor", DOCKER, ("container_image",)),
    "slurm": Spec(f"{_EXECUTION}.slurm", "SlurmExecutor", SLURM, ("account",)),
    "skypilot": Spec(f"{_EXECUTION}.skypilot", "SkypilotExecutor", SKYPILOT, extra="skypilot"),
    "dgxcloud": Spec(
        f"{_EXECUTION}.dgxcloud",
        "DGXCloudExecutor",
        DGXCLOUD,
        (
            "base_url",
            "kube_apiserver_url",
            "client_id",
            "client_secret",
            "project_name",
            "container_image",
            "pvc_nemo_run_dir",
        ),
    ),
    "lepton": Spec(f"{_EXECUTION}.lepton", "LeptonExecutor", LEPTON, ("container_image", "nemo_run_dir")),
    "kuberay": Spec(f"{_EXECUTION}.kuberay", "KubeRayExecutor", KUBERAY, extra="ray"),
}

# Read by Nemotron's own commands from the same profiles; they say nothing about an executor.
OTHER_TOOLS = frozenset(
    [
        "build_partition",
        "build_time",
        "build_cache_dir",
        "workspace",
        "repo_root",
        "pip_extras",
        "run_command",
        "existing_ray_cluster",
    ]
)


def kind_of(profile: Profile) -> str:
    """The executor that a profile names.

    Raises:
        LauncherError: Where it names none, or an unknown one.
    """
    kind = profile.fields.get("executor")
    if kind is None:
        raise LauncherError(f"{profile.source} has no `executor`: set one of {', '.join(SPECS)}")
    if not isinstance(kind, str) or kind not in SPECS:
        raise profile.problem("executor", f'unknown executor "{kind}"{did_you_mean(str(kind), SPECS)}')
    return kind


def read_fields(profile: Profile, kind: str) -> dict[str, Any]:
    """A profile's values by nemo-run's names, checked.

    Raises:
        LauncherError: For an unknown field, a wrong type, two names of the same field, a missing field.
    """
    known = {**COMMON, **SPECS[kind].fields}
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, value in profile.fields.items():
        if name in OTHER_TOOLS:
            continue
        if name not in known:
            text = f'{kind} profiles have no field "{name}"{did_you_mean(name, known)}'
            raise profile.problem(name, text)
        entry = known[name]
        if not entry.kind.accepts(value):
            text = f'"{name}" must be {entry.kind.name}, found {name_of(value)}'
            raise profile.problem(name, text)
        target = entry.target or name
        if target in values:
            raise profile.problem(name, f'"{name}" and "{names[target]}" mean the same: keep one')
        values[target], names[target] = value, name
    missing = [name for name in SPECS[kind].required if not values.get(name)]
    if missing:
        raise LauncherError(f"{profile.source}: a {kind} profile needs {', '.join(missing)}")
    return values


def install_command(kind: str) -> str:
    """The pip command for everything that an executor needs."""
    extra = SPECS[kind].extra
    package = NEMO_RUN.replace("==", f"[{extra}]==") if extra else NEMO_RUN
    return f'pip install "{package}" "{LEPTON_PIN}"'
