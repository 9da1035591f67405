"""`build_executor`: a profile of env.toml → a nemo-run executor that carries the W&B environment, key included.

Values arrive in the job as they were written, whatever is in them. nemo-run sends them through different hands, so
each executor has its own spelling (`_SPELLINGS`).
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from shim import environment as contract
from shim.config import WandbConfig

from . import secrets
from .config import Profile, load_env_file
from .environment import Environment, find_profile, resolve
from .errors import LauncherError, LauncherWarning, did_you_mean
from .fields import NEMO_RUN, SPECS, install_command, kind_of, read_fields


def build_executor(
    profile: str | Mapping[str, Any],
    *,
    env: Mapping[str, str] | None = None,
    config: WandbConfig | None = None,
    env_file: str | os.PathLike[str] | None = None,
    verify: bool = True,
    **overrides: Any,
) -> Any:
    """Build the executor of a profile; nothing is submitted.

    For Slurm the key is written to a 0600 file on the cluster, so its tunnel is used.

    Args:
        profile: A profile of env.toml by name, or one that a program made.
        env: Variables that win over all others.
        config: Settings of the run that win over env.toml and the host's environment.
        env_file: The env.toml; by default WANDB_SHIM_ENV_FILE, else searched from the working directory upwards.
        verify: Ask the server whether it takes the key (5 s at most; not for offline runs). A rejected key is an
            error, a server that cannot be reached from here a warning.
        overrides: Profile fields that win over the profile's; also nemo-run objects (`packager`, `tunnel`).

    Returns:
        nemo-run's own executor, of its exact class: RayJob takes no subclass.

    Raises:
        LauncherError: For mistakes in env.toml or the arguments, a missing or rejected key, a missing package.
    """
    file = load_env_file(env_file)
    found = find_profile(file, profile)
    assert found is not None  # `profile` is not None
    found = _overridden(found, overrides)
    kind = kind_of(found)
    fields = read_fields(found, kind)
    secret = fields.pop(".wandb_secret", "")
    key_needed = secrets.needs_key_here(kind, secret)
    environment = resolve(file, found, env or {}, config, os.environ, verify, key_needed)
    for note in environment.notes:
        warnings.warn(note, LauncherWarning, stacklevel=2)

    executor_class = _class(kind)
    for target in (".executor", ".env_vars"):
        fields.pop(target, None)
    _FINISHERS.get(kind, _nothing)(fields, found)
    wanted = environment.online and not environment.brings_own_login
    delivery = secrets.deliver(kind, _key(environment, secret), fields) if wanted else secrets.Delivery()
    for warning in filter(None, [delivery.warning, _other_secrets(environment)]):
        warnings.warn(warning, LauncherWarning, stacklevel=2)
    fields |= delivery.fields
    _SPELLINGS[kind](fields, {**environment.public, **delivery.env})
    return _construct(kind, executor_class, fields)


def _overridden(profile: Profile, overrides: Mapping[str, Any]) -> Profile:
    if not overrides:
        return profile
    # A field may have several names: the profile's goes when its twin is overridden.
    kind = kind_of(replace(profile, fields={**profile.fields, **overrides}))
    twins = SPECS[kind].fields
    targets = {twins[name].target or name for name in overrides if name in twins}
    kept = {
        name: value
        for name, value in profile.fields.items()
        if name not in twins or (twins[name].target or name) not in targets
    }
    homes = {name: home for name, home in profile.homes.items() if name not in overrides}
    return replace(profile, fields={**kept, **overrides}, homes=homes)


def _key(environment: Environment, secret: str) -> secrets.Key:
    return secrets.Key(environment.credentials, secret, os.environ.get(contract.API_KEY, ""))


def _other_secrets(environment: Environment) -> str:
    names = [item.name for item in environment if item.secret and item.name not in contract.SECRETS]
    if not names:
        return ""
    return (
        f"{', '.join(names)}: nemo-run writes variables in clear text to files that others can read; only the W&B key "
        f"has a way of its own"
    )


# --- what a profile says in other words than nemo-run -------------------------------------------------------------


def _finish_docker(fields: dict[str, Any], profile: Profile) -> None:
    mounts = [_expanded(mount) for mount in fields.pop(".mounts", ())]
    if mounts:
        fields["volumes"] = [*fields.get("volumes", ()), *mounts]


def _expanded(mount: str) -> str:
    """`~/data:/data` with the host's side made absolute: `~`, variables and relative paths."""
    source, colon, rest = mount.partition(":")
    return os.path.abspath(os.path.expandvars(os.path.expanduser(source))) + colon + rest


def _finish_slurm(fields: dict[str, Any], profile: Profile) -> None:
    special = {name: fields.pop(name) for name in list(fields) if name.startswith(".")}
    partition = special.get(".batch_partition") or special.get(".run_partition")
    if partition and not fields.get("partition"):
        fields["partition"] = partition
    if special.get(".lustre_mount"):
        fields["container_mounts"] = [*fields.get("container_mounts", ()), special[".lustre_mount"]]
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


def _finish_skypilot(fields: dict[str, Any], profile: Profile) -> None:
    commands = fields.pop(".startup_commands", ())
    if commands:
        fields["setup"] = "\n".join([*filter(None, [fields.get("setup")]), *commands])
    if fields.get("ports"):
        fields["ports"] = tuple(fields["ports"])


# nemo-run spreads these fields over what it has built, the key's mount included.
_REPLACING = (
    ("container_kwargs", "env", "variables", "env_vars"),
    ("container_kwargs", "volumeMounts", "mounts", "volume_mounts"),
    ("spec_kwargs", "volumes", "volumes", "volumes"),
)


def _finish_kuberay(fields: dict[str, Any], profile: Profile) -> None:
    from nemo_run.core.execution.kuberay import KubeRayWorkerGroup

    for field, key, all_others, instead in _REPLACING:
        if key in (fields.get(field) or {}):
            raise profile.problem(field, f'"{key}" in {field} replaces all other {all_others}: use {instead}')
    groups = [KubeRayWorkerGroup(**group) for group in fields.get("worker_groups", ())]
    if groups:
        fields["worker_groups"] = groups


def _nothing(fields: dict[str, Any], profile: Profile) -> None:
    pass


_FINISHERS: dict[str, Callable[[dict[str, Any], Profile], None]] = {
    "docker": _finish_docker,
    "slurm": _finish_slurm,
    "skypilot": _finish_skypilot,
    "kuberay": _finish_kuberay,
}


# --- how values are spelt so that they arrive unchanged -----------------------------------------------------------


def _plain(fields: dict[str, Any], env: Mapping[str, str]) -> None:
    """Docker's and Lepton's interfaces take values as they are."""
    fields["env_vars"] = dict(env)


def _doubled(fields: dict[str, Any], env: Mapping[str, str]) -> None:
    """For readers to whom `$$` is `$`.

    Local: torchx's scheduler runs values through string.Template (macros.Values.apply); SkyPilot: nemo-run does
    (ExecutorMacros.apply); Kubernetes: the kubelet expands `$(NAME)`.
    """
    fields["env_vars"] = {name: value.replace("$", "$$") for name, value in env.items()}


def _exported(fields: dict[str, Any], env: Mapping[str, str]) -> None:
    """Slurm: nemo-run writes `export NAME=value` without quotes, names in capitals.

    Other names go to setup_lines, which are a script's lines already. In a container the image's own variables win
    (pyxis) unless `container_env` names them.
    """
    fields["env_vars"] = {name: shell_quoted(value) for name, value in env.items() if name == name.upper()}
    others = [f"export {name}={shell_quoted(value)}" for name, value in env.items() if name != name.upper()]
    if others:
        fields["setup_lines"] = "\n".join([*others, *filter(None, [fields.get("setup_lines")])])
    if fields.get("container_image"):
        fields["container_env"] = list(dict.fromkeys([*(fields.get("container_env") or ()), *env]))


def _exported_and_listed(fields: dict[str, Any], env: Mapping[str, str]) -> None:
    """DGX Cloud: exported as on Slurm by the launch script, and unquoted variables of the pod.

    `custom_spec` replaces the latter, in jobs and in Ray jobs, which have no launch script.
    """
    fields["env_vars"] = {name: shell_quoted(value) for name, value in env.items() if name == name.upper()}
    spec = dict(fields.get("custom_spec") or {})
    own = list(spec.get("environmentVariables") or ())
    taken = {item.get("name") for item in own}
    listed = [{"name": name, "value": value} for name, value in env.items() if name not in taken]
    fields["custom_spec"] = {**spec, "environmentVariables": [*listed, *own]}


_SPELLINGS: dict[str, Callable[[dict[str, Any], Mapping[str, str]], None]] = {
    "local": _doubled,
    "docker": _plain,
    "slurm": _exported,
    "skypilot": _doubled,
    "dgxcloud": _exported_and_listed,
    "lepton": _plain,
    "kuberay": _doubled,
}

_NO_QUOTES_NEEDED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")


def shell_quoted(value: str) -> str:
    r"""A value as one word of a shell that string.Template, which nemo-run applies too, leaves alone.

    So a `$` is `\$` and always followed by a quote or the end: never `$$`, never `$name`.
    """
    if value and _NO_QUOTES_NEEDED.issuperset(value):
        return value
    return r"\$".join("'" + part.replace("'", "'\"'\"'") + "'" for part in value.split("$"))


# --- nemo-run itself ----------------------------------------------------------------------------------------------


def _class(kind: str) -> Any:
    spec = SPECS[kind]
    try:
        return getattr(importlib.import_module(spec.module), spec.class_name)
    except ImportError as error:
        raise _missing(kind, error) from error


def _construct(kind: str, executor_class: Any, fields: Mapping[str, Any]) -> Any:
    try:
        return executor_class(**fields)
    except (ImportError, AssertionError) as error:
        # SkypilotExecutor asserts that SkyPilot is there, and that the packager is a GitArchivePackager.
        if isinstance(error, AssertionError) and "not installed" not in str(error):
            raise LauncherError(f"{kind}: nemo-run refuses: {error}") from error
        raise _missing(kind, error) from error


def _missing(kind: str, error: BaseException) -> LauncherError:
    return LauncherError(f"{kind} needs {NEMO_RUN} with all it imports ({error}): {install_command(kind)}")
