"""Slurm, from this host or through an SSH tunnel.

Secrets are 0600 files on the cluster, in a folder that all jobs of one executor share; it goes with the last of them
(slurm_key.sh). Secret variables of a profile lie there, too, and the batch script reads them with tracing off.
"""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shim import environment as contract

from ..config import Profile
from ..errors import LauncherError, LauncherWarning, did_you_mean
from ..key_files import FILE_NAME, place_on_cluster, run_at_exit, run_through
from ..kinds import BOOL, OBJECT, TABLE, TEXT, TEXTS, WHOLE
from .base import LIST, Cargo, Delivery, Executor, Field, fields_of, shell_quoted

# Secret variables of a job, as a shell reads them; beside the key's file.
VARIABLES = "variables"

_LINES, _, _JOB_LINES = (
    Path(__file__).with_name("slurm_key.sh").read_text(encoding="utf-8").partition("# --- in a job ---\n")
)


def job_lines(folder: str) -> str:
    """Lines for the sbatch script: its secrets are there, and go with the last job that names the folder.

    Args:
        folder: The folder of the key, on the cluster.
    """
    return _without_comments(f"{_LINES}\n{_JOB_LINES}").replace("@FOLDER@", shlex.quote(folder))


def closing_lines(folder: str) -> str:
    """What the launching process has run on the cluster when it ends: nothing more will name the folder."""
    lines = _without_comments(_LINES).replace("@FOLDER@", shlex.quote(folder))
    return f'{lines}\n[ ! -d "$wandb_shim_folder" ] || {{ : >"$wandb_shim_folder/closed"; wandb_shim_forget_key; }}'


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _deliver(cargo: Cargo, fields: Mapping[str, Any]) -> Delivery:
    files = {FILE_NAME: f"{cargo.key}\n"} if cargo.key else {}
    if cargo.others:
        exports = [f"export {name}={shlex.quote(value)}\n" for name, value in cargo.others.items()]
        files[VARIABLES] = "".join(exports)
    if not files:
        return Delivery()
    tunnel = fields["tunnel"]
    # The one directory that compute nodes surely share: sbatch scripts lie there.
    base = tunnel.job_dir or run_through(tunnel, 'printf %s "$HOME"')
    own = place_on_cluster(tunnel, f"{base.rstrip('/')}/.wandb-shim", files)
    run_at_exit(tunnel, closing_lines(own))
    added: dict[str, Any] = {"setup_lines": _joined(fields.get("setup_lines"), job_lines(own))}
    if fields.get("container_image"):
        if cargo.key:
            added["container_mounts"] = [*fields.get("container_mounts", ()), f"{own}:{own}:ro"]
        added["container_env"] = [*(fields.get("container_env") or ()), *cargo.others]
    env = {contract.API_KEY_FILE: f"{own}/{FILE_NAME}"} if cargo.key else {}
    return Delivery(env, added, carried=frozenset(cargo.others))


def _joined(first: str | None, second: str) -> str:
    return f"{first.rstrip()}\n{second}" if first else second


def _finish(fields: dict[str, Any], profile: Profile) -> None:
    special = {name: fields.pop(name) for name in list(fields) if name.startswith(".")}
    partition = special.get(".batch_partition") or special.get(".run_partition")
    if partition and not fields.get("partition"):
        fields["partition"] = partition
    if special.get(".lustre_mount"):
        fields["container_mounts"] = [*fields.get("container_mounts", ()), special[".lustre_mount"]]
    commands = special.get(".startup_commands", ())
    if commands:
        fields["setup_lines"] = "\n".join([*filter(None, [fields.get("setup_lines")]), *commands])
        if fields.get("container_image"):
            text = (
                f"{profile.source}: startup_commands run in the batch script, outside of the container; "
                f"what they are to change in the container belongs into the image"
            )
            warnings.warn(text, LauncherWarning, stacklevel=4)
    fields["tunnel"] = _tunnel(special, profile)


def _tunnel(special: Mapping[str, Any], profile: Profile) -> Any:
    from nemo_run.core.tunnel.client import LocalTunnel, SSHTunnel

    given = special.get(".tunnel", "ssh" if special.get(".host") else "local")
    if not isinstance(given, str):
        return given
    job_dir = special.get(".remote_job_dir", "")
    if given == "local":
        return LocalTunnel(job_dir=job_dir)
    if given != "ssh":
        raise profile.problem("tunnel", f'unknown tunnel "{given}"{did_you_mean(given, ("ssh", "local"))}')
    missing = [name for name in ("host", "user", "remote_job_dir") if not special.get(f".{name}")]
    if missing:
        raise LauncherError(f'{profile.source}: tunnel = "ssh" needs {", ".join(missing)}')
    identity = special.get(".identity")
    return SSHTunnel(
        host=special[".host"],
        user=special[".user"],
        port=special.get(".port"),
        identity=os.path.expanduser(identity) if identity else None,
        job_dir=job_dir,
    )


def _spell(fields: dict[str, Any], env: Mapping[str, str]) -> None:
    """nemo-run writes `export NAME=value` without quotes, names in capitals.

    Other names go to setup_lines, which are a script's lines already. In a container the image's own variables win
    (pyxis) unless `container_env` names them.
    """
    fields["env_vars"] = {name: shell_quoted(value) for name, value in env.items() if name == name.upper()}
    others = [f"export {name}={shell_quoted(value)}" for name, value in env.items() if name != name.upper()]
    if others:
        fields["setup_lines"] = "\n".join([*others, *filter(None, [fields.get("setup_lines")])])
    if fields.get("container_image"):
        fields["container_env"] = list(dict.fromkeys([*(fields.get("container_env") or ()), *env]))


SLURM = Executor(
    kind="slurm",
    module="slurm",
    class_name="SlurmExecutor",
    fields={
        **fields_of(
            {
                TEXT: "account partition job_name_prefix time qos mem mem_per_gpu mem_per_cpu comment constraint "
                "exclude gres signal array open_mode container_image dependency_type setup_lines network ray_template",
                WHOLE: "nodes ntasks_per_node cpus_per_task cpus_per_gpu gpus_per_node gpus_per_task "
                "torchrun_nproc_per_node wait_time_for_group_job monitor_group_job_wait_time segment",
                BOOL: "heterogeneous memory_measure monitor_group_job poll_estimated_start_time",
                TEXT | BOOL: "exclusive",
                TEXTS: "container_mounts container_env srun_args dependencies",
                TABLE: "additional_parameters",
                OBJECT: "job_details",
                LIST: "het_group_indices",
            }
        ),
        "container": Field(TEXT, "container_image"),
        "mounts": Field(TEXTS, "container_mounts"),
        "lustre_mount": Field(TEXT, ".lustre_mount"),
        "run_partition": Field(TEXT, ".run_partition"),
        "batch_partition": Field(TEXT, ".batch_partition"),
        "startup_commands": Field(TEXTS, ".startup_commands"),
        "tunnel": Field(TEXT | OBJECT, ".tunnel"),
        "host": Field(TEXT, ".host"),
        "user": Field(TEXT, ".user"),
        "port": Field(WHOLE, ".port"),
        "identity": Field(TEXT, ".identity"),
        "remote_job_dir": Field(TEXT, ".remote_job_dir"),
        "nemo_run_dir": Field(TEXT, ".remote_job_dir"),
    },
    spell=_spell,
    deliver=_deliver,
    finish=_finish,
    required=("account",),
    carries_variables=True,
)
