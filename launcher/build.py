"""`build_executor`: a profile of env.toml → a nemo-run executor that carries the W&B environment, key included.

Values arrive in the job as they were written, whatever is in them; secrets arrive without lying where others read.
nemo-run writes `env_vars` in clear text to <task>_executor.yaml, _TASKS and, by executor, to the sbatch script (and,
traced, to the job's log), to `docker inspect`, to the pod. So each executor has its own spelling and its own way for
secrets (`executors/`).
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shim.config import WandbConfig

from .config import Profile, load_env_file
from .environment import Environment, find_profile, resolve
from .errors import LauncherError, LauncherWarning, did_you_mean
from .executors.base import EXECUTION, Cargo, Delivery, Executor
from .fields import executor_of, install_command, read_fields
from .requirements import NEMO_RUN


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

    For Slurm secrets are written to 0600 files on the cluster, so its tunnel is used, and once more when this process
    ends: nothing is submitted any more that needs them.

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
    executor = executor_of(found)
    fields = read_fields(found, executor)
    secret = fields.pop(".wandb_secret", "")
    environment = resolve(file, found, env or {}, config, os.environ, verify, executor.needs_key_here(secret))
    for note in environment.notes:
        warnings.warn(note, LauncherWarning, stacklevel=2)

    executor_class = _class(executor)
    for target in (".executor", ".env_vars"):
        fields.pop(target, None)
    _finish_packager(fields, found)
    executor.finish(fields, found)
    delivery = _delivered(executor, environment, secret, fields)
    readable = [name for name in environment.other_secrets if name not in delivery.carried]
    for warning in filter(None, [delivery.warning, _said_of(readable)]):
        warnings.warn(warning, LauncherWarning, stacklevel=2)
    fields |= delivery.fields
    public = {name: value for name, value in environment.public.items() if name not in delivery.carried}
    executor.spell(fields, {**public, **delivery.env})
    return _construct(executor, executor_class, fields)


def _overridden(profile: Profile, overrides: Mapping[str, Any]) -> Profile:
    if not overrides:
        return profile
    # A field may have several names: the profile's goes when its twin is overridden.
    twins = executor_of(replace(profile, fields={**profile.fields, **overrides})).fields
    targets = {twins[name].target or name for name in overrides if name in twins}
    kept = {
        name: value
        for name, value in profile.fields.items()
        if name not in twins or (twins[name].target or name) not in targets
    }
    homes = {name: home for name, home in profile.homes.items() if name not in overrides}
    return replace(profile, fields={**kept, **overrides}, homes=homes)


def _delivered(executor: Executor, environment: Environment, secret: str, fields: Mapping[str, Any]) -> Delivery:
    others = environment.other_secrets if executor.carries_variables else {}
    key_wanted = environment.online and not environment.brings_own_login
    if key_wanted and (environment.credentials or not executor.needs_key_here(secret)):
        return executor.deliver(Cargo(environment.credentials, secret, os.environ, others), fields)
    return executor.deliver(Cargo(inherited=os.environ, others=others), fields) if others else Delivery()


def _said_of(readable: list[str]) -> str:
    if not readable:
        return ""
    return (
        f"{', '.join(readable)}: nemo-run writes variables in clear text to files that others can read; only the W&B "
        f"key has a way of its own to this executor"
    )


def _finish_packager(fields: dict[str, Any], profile: Profile) -> None:
    """A packager by its name in env.toml; an object stays what it is."""
    given, pattern = fields.pop(".packager", None), fields.pop(".packager_include_pattern", None)
    if isinstance(given, str):
        given = _packager(given, pattern, profile)
    if given is not None:
        fields["packager"] = given


def _packager(name: str, pattern: str | list[str] | None, profile: Profile) -> Any:
    from nemo_run.core.packaging import GitArchivePackager, Packager, PatternPackager

    if name == "hybrid":
        text = '"hybrid" needs its parts: pass packager=run.HybridPackager(…) to build_executor'
        raise profile.problem("packager", text)
    if name == "pattern":
        if not pattern:
            raise profile.problem("packager", 'packager = "pattern" needs packager_include_pattern')
        return PatternPackager(include_pattern=pattern, relative_path=os.getcwd())
    known: dict[str, Any] = {"git": GitArchivePackager, "none": Packager, "pattern": PatternPackager}
    if name not in known:
        raise profile.problem("packager", f'unknown packager "{name}"{did_you_mean(name, known)}')
    return known[name]()


# --- nemo-run itself ----------------------------------------------------------------------------------------------


def _class(executor: Executor) -> Any:
    try:
        return getattr(importlib.import_module(f"{EXECUTION}.{executor.module}"), executor.class_name)
    except ImportError as error:
        raise _missing(executor.kind, error) from error


def _construct(executor: Executor, executor_class: Any, fields: Mapping[str, Any]) -> Any:
    kind = executor.kind
    try:
        return executor_class(**fields)
    except (ImportError, AssertionError) as error:
        # SkypilotExecutor asserts that SkyPilot is there, and that the packager is a GitArchivePackager.
        if isinstance(error, AssertionError) and "not installed" not in str(error):
            raise LauncherError(f"{kind}: nemo-run refuses: {error}") from error
        raise _missing(kind, error) from error
    except Exception as error:
        # KubeflowExecutor connects to the cluster that its kubeconfig names.
        if type(error).__name__ != "ConfigException":
            raise
        raise LauncherError(f"{kind}: no cluster to submit to: {error}; set KUBECONFIG") from error


def _missing(kind: str, error: BaseException) -> LauncherError:
    return LauncherError(f"{kind} needs {NEMO_RUN} with all it imports ({error}): {install_command(kind)}")
