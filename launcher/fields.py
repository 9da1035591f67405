"""What a profile says about its executor, checked: every field known, of the right kind, said once.

The names are those of nemo-run's dataclasses (a test compares them) and those that env.toml files in use have, from
Nemotron's execution.py; they stand with each executor in `executors/`.
"""

from __future__ import annotations

from typing import Any

from .config import Profile
from .errors import LauncherError, did_you_mean
from .executors import EXECUTORS
from .executors.base import COMMON, Executor
from .kinds import name_of
from .requirements import LEPTON_PIN, NEMO_RUN

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


def executor_of(profile: Profile) -> Executor:
    """The executor that a profile names.

    Raises:
        LauncherError: Where it names none, or an unknown one.
    """
    kind = profile.fields.get("executor")
    if kind is None:
        raise LauncherError(f"{profile.source} has no `executor`: set one of {', '.join(EXECUTORS)}")
    if not isinstance(kind, str) or kind not in EXECUTORS:
        raise profile.problem("executor", f'unknown executor "{kind}"{did_you_mean(str(kind), EXECUTORS)}')
    return EXECUTORS[kind]


def read_fields(profile: Profile, executor: Executor) -> dict[str, Any]:
    """A profile's values by nemo-run's names, checked.

    Raises:
        LauncherError: For an unknown field, a wrong type, two names of the same field, a missing field, a NUL.
    """
    known = {**COMMON, **executor.fields}
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, value in profile.fields.items():
        if name in OTHER_TOOLS:
            continue
        if name not in known:
            text = f'{executor.kind} profiles have no field "{name}"{did_you_mean(name, known)}'
            raise profile.problem(name, text)
        entry = known[name]
        if not entry.kind.accepts(value):
            text = f'"{name}" must be {entry.kind.name}, found {name_of(value)}'
            raise profile.problem(name, text)
        if _has_nul(value):
            raise profile.problem(name, f'"{name}" holds a NUL character, which no program can be given')
        target = entry.target or name
        if target in values:
            raise profile.problem(name, f'"{name}" and "{names[target]}" mean the same: keep one')
        values[target], names[target] = value, name
    missing = [name for name in executor.required if not values.get(name)]
    if missing:
        raise LauncherError(f"{profile.source}: a {executor.kind} profile needs {', '.join(missing)}")
    return values


def _has_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return any(_has_nul(part) for part in value)
    return isinstance(value, str) and "\0" in value


def install_command(kind: str) -> str:
    """The pip command for everything that an executor needs."""
    extra = EXECUTORS[kind].extra
    package = NEMO_RUN.replace("==", f"[{extra}]==") if extra else NEMO_RUN
    return f'pip install "{package}" "{LEPTON_PIN}"'
