"""env.toml: where it is found, what `[wandb]` and the profiles in it say.

A profile is a table with `executor`, its own or inherited: `extends = "base"` takes everything from the base and lets
the own keys win; tables inside (`env_vars`) are merged key by key, lists are replaced.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shim import expressions
from shim.config import WandbConfig

from .errors import LauncherError, did_you_mean
from .kinds import BOOL, TABLE, TEXT, TEXTS, Kind, name_of

FILE_NAME = "env.toml"
FILE_VARIABLE = "WANDB_SHIM_ENV_FILE"
ROOT_MARKS = ("pyproject.toml", ".git")

# Sections that are no profiles; nemo_runspec/env.py reserves the same four.
RESERVED = ("wandb", "cli", "cache", "artifacts")

WANDB_KEYS: dict[str, Kind] = {
    "project": TEXT,
    "entity": TEXT,
    "run_name": TEXT,
    "name": TEXT,
    "tags": TEXTS,
    "notes": TEXT,
    "group": TEXT,
    "job_type": TEXT,
    "inputs": TEXTS,
    "base_url": TEXT,
    "sync_tensorboard": BOOL,
    "metrics": TABLE | TEXT,
}


@dataclass(frozen=True)
class WandbSection:
    """What `[wandb]` says.

    Attributes:
        config: The part that scripts, shim and launcher share.
        inputs: Artifacts that every run consumes.
        base_url: Server, without a slash at the end; None leaves it to the host's login.
        sync_tensorboard: Whether TensorBoard scalars go into the run, too; None leaves it to the job's environment.
        metrics: What is looked for in what the job prints, as WANDB_SHIM_METRICS has it; None as above.
    """

    config: WandbConfig
    inputs: tuple[str, ...] = ()
    base_url: str | None = None
    sync_tensorboard: bool | None = None
    metrics: str | None = None


@dataclass(frozen=True)
class Profile:
    """One profile with everything that it inherits.

    Attributes:
        name: Its table's name; "(inline)" for one that a program made.
        fields: Its keys, `extends` resolved and removed.
        homes: For each key the table that it was written in.
        file: The file, for messages; None for an inline one.
    """

    name: str
    fields: Mapping[str, Any]
    homes: Mapping[str, str] = field(default_factory=dict)
    file: EnvFile | None = None

    @property
    def source(self) -> str:
        """Where its values come from: `env.toml [cluster]`."""
        return f"{self.file.path.name} [{self.name}]" if self.file else "profile"

    def problem(self, key: str, text: str) -> LauncherError:
        """An error about one key, with file and line where there are any."""
        if self.file and key in self.homes:
            return self.file.problem(self.homes[key], key, text)
        return LauncherError(f"{self.source}: {text}")


@dataclass(frozen=True)
class EnvFile:
    """A parsed env.toml."""

    path: Path
    text: str = field(repr=False)
    tables: Mapping[str, Any] = field(repr=False)

    @property
    def profiles(self) -> tuple[str, ...]:
        """Names of the tables that are profiles or bases of profiles, in the file's order."""
        return tuple(name for name, table in self.tables.items() if name not in RESERVED and isinstance(table, dict))

    @property
    def wandb(self) -> WandbSection | None:
        """What `[wandb]` says; None where there is no such table.

        Raises:
            LauncherError: For an unknown key or a wrong type.
        """
        table = self._table("wandb")
        if table is None:
            self._check_misspelt()
            return None
        for key, value in table.items():
            self._check_wandb(key, value)
        if table.get("run_name") and table.get("name"):
            raise self.problem("wandb", "name", '"name" and "run_name" mean the same: keep one')
        return WandbSection(
            config=WandbConfig(
                tags=tuple(table.get("tags", ())),
                **{key: table.get(key) or None for key in _CONFIG_TEXTS},
                run_name=table.get("run_name") or table.get("name") or None,
            ),
            inputs=tuple(table.get("inputs", ())),
            base_url=(table.get("base_url") or "").rstrip("/") or None,
            sync_tensorboard=table.get("sync_tensorboard"),
            metrics=expressions.written(table.get("metrics")),
        )

    def profile(self, name: str) -> Profile:
        """One profile, inheritance resolved.

        Raises:
            LauncherError: For an unknown or reserved name, a cycle or an unknown base in `extends`.
        """
        fields: dict[str, Any] = {}
        homes: dict[str, str] = {}
        for table_name in reversed(self._lineage(name)):
            for key, value in self.tables[table_name].items():
                if key == "extends":
                    continue
                inherited = fields.get(key)
                both_tables = isinstance(inherited, dict) and isinstance(value, dict)
                fields[key] = {**inherited, **value} if isinstance(inherited, dict) and both_tables else value
                homes[key] = table_name
        return Profile(name, fields, homes, self)

    def problem(self, table: str, key: str | None, text: str) -> LauncherError:
        """An error that points at the line of a key, or of the table's header."""
        line = line_of(self.text, table, key) or line_of(self.text, table, None)
        place = f"{self.path}, line {line}" if line else str(self.path)
        return LauncherError(f"{place}: {text}")

    def _table(self, name: str) -> Mapping[str, Any] | None:
        table = self.tables.get(name)
        if table is not None and not isinstance(table, dict):
            raise self.problem("", name, f'"{name}" must be a table: write [{name}]')
        return table

    def _check_misspelt(self) -> None:
        """Find the table that was to be `[wandb]`: close in its name, and with nothing in it but what goes there."""
        for name, table in self.tables.items():
            near = isinstance(table, dict) and table and set(table) <= set(WANDB_KEYS)
            if near and did_you_mean(name, ("wandb",)).startswith("; did"):
                raise self.problem(name, None, f"[{name}] is no profile; did you mean [wandb]?")

    def _check_wandb(self, key: str, value: object) -> None:
        kind = WANDB_KEYS.get(key)
        if kind is None:
            raise self.problem("wandb", key, f'unknown key "{key}" in [wandb]{did_you_mean(key, WANDB_KEYS)}')
        if not kind.accepts(value):
            found = name_of(value)
            raise self.problem("wandb", key, f'"{key}" in [wandb] must be {kind.name}, found {found}')
        for name, expression in value.items() if isinstance(value, dict) else ():
            problem = expressions.problem_of(expression) if isinstance(expression, str) else "must be text"
            if problem:
                raise self.problem("wandb", name, f'"{name}" in [wandb.{key}] {problem}')
        for word in value if isinstance(value, list) else ():
            if "," in word:
                text = f'"{key}" in [wandb]: "{word}" has a comma, which separates them in the environment'
                raise self.problem("wandb", key, text)

    def _lineage(self, name: str) -> list[str]:
        """The profile and its bases, nearest first."""
        lineage: list[str] = []
        current: object = name
        while current is not None:
            if not isinstance(current, str):
                raise self.problem(lineage[-1], "extends", f'"extends" must be text, found {name_of(current)}')
            if current in lineage:
                circle = " → ".join([*lineage, current])
                raise self.problem(lineage[-1], "extends", f'"extends" goes in a circle: {circle}')
            self._require_profile(current, lineage)
            lineage.append(current)
            current = self.tables[current].get("extends")
        return lineage

    def _require_profile(self, name: str, lineage: list[str]) -> None:
        if name in self.profiles:
            return
        if name in RESERVED:
            text = f"[{name}] is a reserved section, not a profile{did_you_mean(name, self.profiles)}"
        elif isinstance(self.tables.get(name), dict) or name not in self.tables:
            text = f'unknown profile "{name}"{did_you_mean(name, self.profiles)}'
        else:
            text = f'"{name}" must be a table: write [{name}]'
        raise self.problem(lineage[-1], "extends", text) if lineage else LauncherError(f"{self.path}: {text}")


_CONFIG_TEXTS = ("project", "entity", "notes", "group", "job_type")


def load_wandb_config(
    path: str | os.PathLike[str] | None = None, start: str | os.PathLike[str] | None = None
) -> WandbConfig | None:
    """What `[wandb]` of env.toml says about runs.

    Args:
        path: The file; by default WANDB_SHIM_ENV_FILE, else it is searched.
        start: Directory to search from, upwards to the project root; by default the working directory.

    Returns:
        The settings; None where there is no env.toml or no `[wandb]` in it.

    Raises:
        LauncherError: For a missing named file, bad TOML, unknown keys, wrong types.
    """
    file = load_env_file(path, start)
    section = file.wandb if file else None
    return section.config if section else None


def load_env_file(
    path: str | os.PathLike[str] | None = None,
    start: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> EnvFile | None:
    """Find and parse env.toml; None where there is none.

    Raises:
        LauncherError: For a missing named file or bad TOML.
    """
    named = path or (os.environ if environ is None else environ).get(FILE_VARIABLE)
    if named:
        found = Path(os.path.expanduser(named))
        if not found.is_file():
            said_by = "" if path else f", named by {FILE_VARIABLE}"
            raise LauncherError(f"{found}: no such file{said_by}; name an existing {FILE_NAME} or leave it out")
        return _parse(found)
    search = find_env_file(Path(start) if start else Path.cwd())
    return _parse(search) if search else None


def find_env_file(start: Path) -> Path | None:
    """Look in `start` and above it, up to the project root: the first directory with pyproject.toml or .git.

    Outside any project only `start` itself counts: a file that somebody left in /tmp or / is not ours.
    """
    start = start.resolve()
    above = [start, *start.parents]
    roots = [place for place in above if any((place / mark).exists() for mark in ROOT_MARKS)]
    searched = above[: above.index(roots[0]) + 1] if roots else [start]
    return next((place / FILE_NAME for place in searched if (place / FILE_NAME).is_file()), None)


def _parse(path: Path) -> EnvFile:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        text = path.read_text(encoding="utf-8-sig")
        return EnvFile(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        # The message ends in "(at line 3, column 5)".
        raise LauncherError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise LauncherError(f"{path}: arrays or tables in it are nested too deep to be read") from None
    except UnicodeDecodeError as error:
        raise LauncherError(f"{path}: not valid UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise LauncherError(f"{path}: cannot be read: {error.strerror}") from None


_HEADER = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"^\s*([\"']?)(?P<key>[^\"'=\s.]+)\1\s*(\.|=)")


def line_of(text: str, table: str, key: str | None) -> int | None:
    """The line, from 1, where a table (key None) or a key of it is written; None where it is not found.

    Args:
        text: The TOML text.
        table: Name of a top-level table; "" for keys before the first header.
        key: Name of a key in it.
    """
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            inside, _, rest = header[1].replace('"', "").replace("'", "").partition(".")
            if inside == table and (key is None or rest.partition(".")[0] == key):
                return number
            continue
        match = _KEY.match(line)
        if match and inside == table and match["key"] == key:
            return number
    return None
