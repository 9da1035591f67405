"""How the API key reaches each executor without lying where others read.

nemo-run writes `env_vars` in clear text to <task>_executor.yaml, _TASKS and, by executor, to the sbatch script (and,
traced, to the job's log), to `docker inspect`, to the pod. So the key is never one of them:

| executor | how the key gets there |
|---|---|
| local | inherited: the environment, or the login's own file; a key given to us: a 0600 file on this host |
| docker | a 0600 file on this host, mounted read-only; gone when the launching process ends |
| slurm | a 0600 file on the cluster; gone when the job ends for good, not when it is requeued |
| skypilot | a 0600 file on this host, copied by SkyPilot's file mounts; stays until the cluster is down |
| dgxcloud | a Kubernetes secret where the profile names one (`wandb_secret`), else in the pod's variables |
| lepton | a secret of the engine, by reference; a variable in the container |
| kuberay | a secret of the engine, by reference; mounted as a file |

Where a file carries it, WANDB_API_KEY_FILE names the file, and the shim reads it.
"""

from __future__ import annotations

import secrets as random
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shim import environment as contract

from .credentials import Credentials
from .errors import LauncherError
from .key_files import FILE_NAME, place_key_on_cluster, run_through, write_key_file

MOUNTED_FILE = f"/run/secrets/{FILE_NAME}"
MOUNTED_SECRET = "/run/secrets/wandb-shim"

# Names that the engine's secret has unless the profile's `wandb_secret` says otherwise.
DEFAULT_SECRETS = {"lepton": "WANDB_API_KEY", "kuberay": "wandb"}


@dataclass(frozen=True)
class Delivery:
    """What the key's way to one executor adds to it.

    Attributes:
        env: Variables, none of them secret.
        fields: Fields of the executor, replacing those that it had.
        warning: What remains readable, or what the user has to do; "" for nothing.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    warning: str = ""


@dataclass(frozen=True)
class Key:
    """A key on its way.

    Attributes:
        credentials: The host's login; None where the engine has a secret and the host no login.
        secret: Name of the engine's secret, from the profile's `wandb_secret`; "" for none.
        inherited: WANDB_API_KEY of this process, which a local job sees whatever we do.
    """

    credentials: Credentials | None
    secret: str = ""
    inherited: str = ""

    @property
    def value(self) -> str:
        """The key itself; "" where there is none."""
        return (self.credentials.key or "") if self.credentials else ""


def needs_key_here(kind: str, secret: str) -> bool:
    """Whether the host must have the key: not where the engine keeps it."""
    return kind not in DEFAULT_SECRETS and not secret


def deliver(kind: str, key: Key, fields: Mapping[str, Any]) -> Delivery:
    """The key's way to an executor of that kind; a file is written here where the way needs one.

    Args:
        kind: The profile's `executor`.
        key: The key.
        fields: The executor's fields so far, by nemo-run's names.

    Raises:
        LauncherError: Where the file cannot be written, or the fields leave no way.
    """
    if not key.value and needs_key_here(kind, key.secret):
        return Delivery()
    return _WAYS[kind](key, fields)


def _local(key: Key, fields: Mapping[str, Any]) -> Delivery:
    # The process inherits this one's environment and home: it finds what we found.
    if key.credentials is None or key.credentials.place != "given":
        return Delivery()
    if key.inherited not in ("", key.value):
        raise LauncherError(
            f"the {contract.API_KEY} that was given differs from the one in this process's environment, which local "
            f"jobs inherit: change it there"
        )
    return Delivery(env={contract.API_KEY_FILE: str(write_key_file(key.value))})


def _docker(key: Key, fields: Mapping[str, Any]) -> Delivery:
    volume = f"{write_key_file(key.value)}:{MOUNTED_FILE}:ro"
    return Delivery({contract.API_KEY_FILE: MOUNTED_FILE}, {"volumes": [*fields.get("volumes", ()), volume]})


def _slurm(key: Key, fields: Mapping[str, Any]) -> Delivery:
    tunnel = fields["tunnel"]
    # The one directory that compute nodes surely share: sbatch scripts lie there.
    base = tunnel.job_dir or run_through(tunnel, 'printf %s "$HOME"')
    path = place_key_on_cluster(tunnel, f"{base.rstrip('/')}/.wandb-shim", key.value)
    own = path.rpartition("/")[0]
    added: dict[str, Any] = {"setup_lines": _joined(fields.get("setup_lines"), slurm_cleanup(own))}
    if fields.get("container_image"):
        added["container_mounts"] = [*fields.get("container_mounts", ()), f"{own}:{own}:ro"]
    return Delivery({contract.API_KEY_FILE: path}, added)


def _skypilot(key: Key, fields: Mapping[str, Any]) -> Delivery:
    # Below /tmp SkyPilot copies straight to the place; elsewhere it needs sudo and leaves a link.
    target = f"/tmp/wandb-shim-{random.token_hex(8)}/{FILE_NAME}"
    mounts = {**(fields.get("file_mounts") or {}), target: str(write_key_file(key.value))}
    warning = (
        "skypilot: the W&B key is copied as a 0600 file, in no job file; it stays on the cluster until that is down "
        "(set autodown = true), and a remote SkyPilot API server keeps its own copy of file mounts"
    )
    return Delivery({contract.API_KEY_FILE: target}, {"file_mounts": mounts}, warning)


def _dgxcloud(key: Key, fields: Mapping[str, Any]) -> Delivery:
    spec = dict(fields.get("custom_spec") or {})
    variables = list(spec.get("environmentVariables") or ())
    if any(item.get("name") == contract.API_KEY for item in variables):
        return Delivery()
    if key.secret:
        # The form is Run:ai's: https://api-docs.run.ai/latest/tag/Environment (environmentVariables[].secret).
        entry: dict[str, Any] = {
            "name": contract.API_KEY,
            "secret": {"name": key.secret, "key": contract.API_KEY},
        }
        warning = ""
    else:
        entry = {"name": contract.API_KEY, "value": key.value}
        warning = (
            "dgxcloud: without `wandb_secret` the W&B key is a plain variable of the pod: it lies in nemo-run's "
            "experiment directory (<task>_executor.yaml, _TASKS), in its copy on the PVC, in the launching process's "
            "log and in the workload that the API shows. Make a Kubernetes secret with a key WANDB_API_KEY in the "
            'project\'s namespace and name it in the profile: wandb_secret = "wandb"'
        )
    return Delivery(fields={"custom_spec": {**spec, "environmentVariables": [*variables, entry]}}, warning=warning)


def _lepton(key: Key, fields: Mapping[str, Any]) -> Delivery:
    secret_vars = dict(fields.get("secret_vars") or {})
    if contract.API_KEY in secret_vars:
        return Delivery()
    name = key.secret or DEFAULT_SECRETS["lepton"]
    warning = _assumed("lepton", key, f"`lep secret create -n {name} -v …`, or in the workspace's settings")
    return Delivery(fields={"secret_vars": {**secret_vars, contract.API_KEY: name}}, warning=warning)


def _kuberay(key: Key, fields: Mapping[str, Any]) -> Delivery:
    name = key.secret or DEFAULT_SECRETS["kuberay"]
    container = fields.get("container_kwargs") or {}
    if {"secretRef": {"name": name}} in (container.get("envFrom") or ()):
        return Delivery()
    # A file, not a variable: NeMo-RL's driver copies its environment into a runtime_env, which Ray logs. The last of
    # the volumes: nemo-run copies the working directory to the first.
    volume = {"name": "wandb-shim-key", "secret": {"secretName": name}}
    mount = {"name": "wandb-shim-key", "mountPath": MOUNTED_SECRET, "readOnly": True}
    create = f"`kubectl create secret generic {name} --from-file={contract.API_KEY}=/dev/stdin`, key on standard input"
    return Delivery(
        env={contract.API_KEY_FILE: f"{MOUNTED_SECRET}/{contract.API_KEY}"},
        fields={
            "volumes": [*fields.get("volumes", ()), volume],
            "volume_mounts": [*fields.get("volume_mounts", ()), mount],
        },
        warning=_assumed("kuberay", key, create),
    )


_WAYS: dict[str, Callable[[Key, Mapping[str, Any]], Delivery]] = {
    "local": _local,
    "docker": _docker,
    "slurm": _slurm,
    "skypilot": _skypilot,
    "dgxcloud": _dgxcloud,
    "lepton": _lepton,
    "kuberay": _kuberay,
}


def _assumed(kind: str, key: Key, create: str) -> str:
    if key.secret:
        return ""
    name = DEFAULT_SECRETS[kind]
    return (
        f'{kind}: the job takes the W&B key from the secret "{name}"; if there is none yet: {create}. '
        f"`wandb_secret` in the profile names another and ends this message"
    )


def slurm_cleanup(folder: str) -> str:
    """Lines for the sbatch script that remove the key's directory when the job has ended for good.

    First of all they unset a WANDB_API_KEY that sbatch took along from a login node: the file has it, and nemo-run's
    Ray template writes the output of `env` to its log.

    An EXIT trap that stays where later lines set their own (nemo-run's Ray template does), that runs in the batch
    shell only, and that leaves the key to a job that is requeued: Slurm then counts one restart more than this run
    was started with (the exit status cannot tell: after SIGTERM bash shows the trap that of the last command). Where
    Slurm gives no answer the key stays for the sweep. Tracing is off meanwhile, to keep the log readable; the key
    itself never passes the shell.
    """
    return _CLEANUP.replace("@FOLDER@", shlex.quote(folder))


_CLEANUP = """\
_wandb_shim_flags=$-
{ set +vx; } 2>/dev/null
unset WANDB_API_KEY
wandb_shim_comes_back() {
    local job restarts
    job=$(scontrol show job "${SLURM_JOB_ID-}" 2>/dev/null) || return 0
    case "$job" in *JobState=PENDING*|*JobState=REQUEUED*) return 0 ;; esac
    restarts=$(printf '%s\\n' "$job" | sed -n 's/.*Restarts=\\([0-9][0-9]*\\).*/\\1/p' | head -n 1)
    [ "${restarts:-0}" -gt "${SLURM_RESTART_COUNT:-0}" ]
}
wandb_shim_forget_key() {
    local status=$?
    { set +evx; } 2>/dev/null
    if [ "$BASHPID" = "$$" ] && ! wandb_shim_comes_back; then rm -rf -- @FOLDER@; fi
    return "$status"
}
wandb_shim_arm() {
    [ "$BASHPID" = "$$" ] || return 0
    eval "set -- $(builtin trap -p EXIT)"
    case "${3-}" in
        *wandb_shim_forget_key*) ;;
        *) builtin trap "wandb_shim_forget_key; ${3-}" EXIT ;;
    esac
}
trap() { builtin trap "$@" && { wandb_shim_arm; } 2>/dev/null; }
wandb_shim_arm
case "$_wandb_shim_flags" in *v*) set -v ;; esac
case "$_wandb_shim_flags" in *x*) set -x ;; esac"""


def _joined(first: str | None, second: str) -> str:
    return f"{first.rstrip()}\n{second}" if first else second
