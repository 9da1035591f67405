"""`ray_runtime_env`: the W&B environment for `ray job submit` and `ray.init`."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from typing import Any

from shim import environment as contract
from shim.config import WandbConfig

from .config import load_env_file
from .environment import Environment, find_profile, resolve
from .errors import LauncherError, LauncherWarning

# Without it a ray.init(runtime_env=…) in the driver, as in NeMo-RL's init_ray, conflicts with the job's variables.
OVERRIDE = "RAY_OVERRIDE_JOB_RUNTIME_ENV"

# Ray expands $NAME and ${NAME} in values and knows no escape (ray/_private/utils.py: update_envs).
_EXPANDED_BY_RAY = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|\{[^}]*\})")


def ray_runtime_env(
    profile: str | Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    config: WandbConfig | None = None,
    env_file: str | os.PathLike[str] | None = None,
    key_file: str | os.PathLike[str] | None = None,
    verify: bool = False,
) -> dict[str, Any]:
    """The `runtime_env` of a Ray job: every variable of the contract but the key.

    Ray shows a runtime_env in clear text in `ray job list` and in its logs, and a driver like NeMo-RL's copies its
    environment into one. So the key is a file: `key_file`, the one that `build_executor` gives to a cluster, or a
    login on the node of the driver.

    Args:
        profile: A profile of env.toml by name, or one that a program made; None for the run's variables alone.
        env: Variables that win over all others.
        config: Settings of the run that win over env.toml and the host's environment.
        env_file: The env.toml; by default WANDB_SHIM_ENV_FILE, else searched from the working directory upwards.
        key_file: A file with the key, 0600, at this path on the node that runs the driver: on a shared file system,
            or for a cluster on this host from `launcher.key_files.write_key_file(key, keep=True)`.
        verify: Ask the server whether it takes the host's key, where the host has one.

    Returns:
        `{"env_vars": {…}}`, to merge into a runtime_env or dump as YAML.

    Raises:
        LauncherError: For mistakes in env.toml or the arguments, a rejected key, a value that Ray would change.
    """
    file = load_env_file(env_file)
    found = find_profile(file, profile)
    explicit = {**(env or {}), **({contract.API_KEY_FILE: os.fspath(key_file)} if key_file else {})}
    environment = resolve(file, found, explicit, config, os.environ, verify, key_needed=False)
    _warn(environment)
    for name, value in environment.public.items():
        found_in_value = _EXPANDED_BY_RAY.search(value)
        if found_in_value:
            raise LauncherError(
                f"{name} (from {environment[name].source}) has {found_in_value[0]}, which Ray replaces in a "
                f"runtime_env: leave it out, or set {name} in the cluster's own environment"
            )
    return {"env_vars": {**environment.public, OVERRIDE: "1"}}


def _warn(environment: Environment) -> None:
    for note in environment.notes:
        warnings.warn(note, LauncherWarning, stacklevel=3)
    readable = [item.name for item in environment if item.secret and item.name not in contract.SECRETS]
    if readable:
        text = f"{', '.join(readable)}: Ray shows a runtime_env in clear text, in `ray job list` and in its logs"
        warnings.warn(text, LauncherWarning, stacklevel=3)
    if environment.credentials and environment.credentials.key and not environment.brings_own_login:
        text = (
            f"the W&B key ({environment.credentials.source}) is not in a runtime_env, which Ray shows in clear text: "
            f"name a file with it that the driver's node has (key_file=…), or run `wandb login` there"
        )
        warnings.warn(text, LauncherWarning, stacklevel=3)
