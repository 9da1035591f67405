"""NVIDIA DGX Cloud, which is Run:ai's.

The key is a Kubernetes secret where the profile names one (`wandb_secret`), else it lies in the pod's variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shim import environment as contract

from ..kinds import BOOL, TABLE, TABLES, TEXT, WHOLE
from .base import WANDB_SECRET, Cargo, Delivery, Executor, Field, fields_of, shell_quoted


def _deliver(cargo: Cargo, fields: Mapping[str, Any]) -> Delivery:
    spec = dict(fields.get("custom_spec") or {})
    variables = list(spec.get("environmentVariables") or ())
    if any(item.get("name") == contract.API_KEY for item in variables) or not (cargo.secret or cargo.key):
        return Delivery()
    if cargo.secret:
        # The form is Run:ai's: https://api-docs.run.ai/latest/tag/Environment (environmentVariables[].secret).
        entry: dict[str, Any] = {
            "name": contract.API_KEY,
            "secret": {"name": cargo.secret, "key": contract.API_KEY},
        }
        warning = ""
    else:
        entry = {"name": contract.API_KEY, "value": cargo.key}
        warning = (
            "dgxcloud: without `wandb_secret` the W&B key is a plain variable of the pod: it lies in nemo-run's "
            "experiment directory (<task>_executor.yaml, _TASKS), in its copy on the PVC, in the launching process's "
            "log and in the workload that the API shows. Make a Kubernetes secret with a key WANDB_API_KEY in the "
            'project\'s namespace and name it in the profile: wandb_secret = "wandb"'
        )
    return Delivery(fields={"custom_spec": {**spec, "environmentVariables": [*variables, entry]}}, warning=warning)


def _spell(fields: dict[str, Any], env: Mapping[str, str]) -> None:
    """Exported by the launch script as on Slurm, and unquoted variables of the pod.

    `custom_spec` replaces the latter, in jobs and in Ray jobs, which have no launch script.
    """
    fields["env_vars"] = {name: shell_quoted(value) for name, value in env.items() if name == name.upper()}
    spec = dict(fields.get("custom_spec") or {})
    own = list(spec.get("environmentVariables") or ())
    taken = {item.get("name") for item in own}
    listed = [{"name": name, "value": value} for name, value in env.items() if name not in taken]
    fields["custom_spec"] = {**spec, "environmentVariables": [*listed, *own]}


DGXCLOUD = Executor(
    kind="dgxcloud",
    module="dgxcloud",
    class_name="DGXCloudExecutor",
    fields={
        **WANDB_SECRET,
        **fields_of(
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
    },
    spell=_spell,
    deliver=_deliver,
    required=(
        "base_url",
        "kube_apiserver_url",
        "client_id",
        "client_secret",
        "project_name",
        "container_image",
        "pvc_nemo_run_dir",
    ),
)
