"""What a script's call of `wandb.init` asks for: by its arguments, by Settings, by what the script changed before.

A script may set `os.environ["WANDB_NAME"]` or call `wandb.setup(...)` before its init. wandb reads these when the
script imports wandb or sets it up, but the companion has opened the job's run before that. So a setting whose value
here is not the one with which the companion opened the run counts as an argument.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from .. import environment, preflight

# Fields of wandb.Settings that init takes as arguments under another name.
_ARGUMENTS = {
    "run_name": "name",
    "run_notes": "notes",
    "run_tags": "tags",
    "run_group": "group",
    "run_job_type": "job_type",
    "run_id": "id",
    "root_dir": "dir",
}


def changed(wandb: ModuleType, before: Mapping[str, Any]) -> dict[str, Any]:
    """What the script has said by variables, `wandb.setup` or `wandb.login`, as arguments of init.

    Args:
        wandb: The package, as the script has it.
        before: The values, by the setting's name, with which the job's run was opened.
    """
    settings = global_settings(wandb)
    now = {name: getattr(settings, name, None) for name in before}
    return {
        _ARGUMENTS.get(name, name): value
        for name, value in now.items()
        if value is not None and _comparable(value) != _comparable(before[name])
    }


def _comparable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value


def has_another_key(wandb: ModuleType, known: str | None) -> bool:
    """Whether this process has an API key with which the job's run was not opened, and which its server accepts.

    Args:
        wandb: The package.
        known: The SHA-256 of the key with which the run was opened; None where there was none.
    """
    found = _key(wandb)
    if found is None or hashlib.sha256(found.encode()).hexdigest() == known:
        return False
    return preflight.look(os.environ, global_settings(wandb).base_url, found).online


def has_another_server(wandb: ModuleType, before: Mapping[str, Any]) -> bool:
    """Whether the script has named another server, and that one answers."""
    settings = global_settings(wandb)
    if settings.base_url == before.get("base_url"):
        return False
    return preflight.look(os.environ, settings.base_url, _key(wandb)).online


def _key(wandb: ModuleType) -> str | None:
    """The API key of this process, wherever a script may have put one."""
    settings = global_settings(wandb)
    found = os.environ.get(environment.API_KEY) or settings.api_key
    with contextlib.suppress(ImportError, AttributeError):  # only later releases have it
        from wandb.sdk.lib import wbauth

        found = found or wbauth.session_credentials(host=settings.base_url).api_key
    return found or preflight.any_key(os.environ, settings.base_url)


def global_settings(wandb: ModuleType) -> Any:
    """The settings of this process; not by `wandb.setup` if possible, since that starts wandb's service."""
    singleton = getattr(wandb.sdk.wandb_setup, "singleton", lambda: None)()
    return (singleton or wandb.setup()).settings


def by_call(
    wandb: ModuleType, original: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """What the call itself says, as arguments of init.

    Raises:
        TypeError, pydantic.ValidationError: As `wandb.init` raises them.
    """
    given = inspect.signature(original).bind(*args, **kwargs).arguments
    asked = {name: value for name, value in given.items() if value is not None}
    settings = asked.pop("settings", None)
    if isinstance(settings, Mapping):
        wandb.Settings(**settings)
    elif settings is not None:
        settings = {name: getattr(settings, name) for name in getattr(settings, "model_fields_set", ())}
    for name, value in (settings or {}).items():
        if value is not None:
            asked.setdefault(_ARGUMENTS.get(name, name), value)
    return asked


def config_of(asked: dict[str, Any]) -> Any:
    """Take the config out of `asked`, as a mapping; None where there is none.

    Raises:
        wandb.Error and others: The config cannot be read, as `wandb.init` raises them.
    """
    config = asked.pop("config", None)
    include, exclude = asked.pop("config_include_keys", None), asked.pop("config_exclude_keys", None)
    if config is None:
        return None
    if isinstance(config, str):  # a file, as wandb.init takes it
        from wandb.sdk.lib import config_util

        return config_util.dict_from_config_file(config, must_exist=True)
    from wandb.sdk.wandb_helper import parse_config

    return parse_config(config, include=include, exclude=exclude)
