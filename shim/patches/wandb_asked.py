"""What a call of `wandb.init` asks for: by its arguments, by Settings, by what the script changed before.

A script may set `os.environ["WANDB_NAME"]` or call `wandb.setup(...)` before its init. Our run was opened before that,
and wandb reads its variables once, so what is another since the opening counts as an argument.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from .. import environment, preflight

# Fields of wandb.Settings that are arguments of init under another name.
_SETTINGS = {
    "run_name": "name",
    "run_notes": "notes",
    "run_tags": "tags",
    "run_group": "group",
    "run_job_type": "job_type",
    "run_id": "id",
    "root_dir": "dir",
}
# Those that `wandb.setup` and `wandb.login` may change.
_GLOBAL = (
    *(name for name in _SETTINGS if name != "root_dir"),
    *("project", "entity", "mode", "resume", "reinit", "base_url"),
)


class Before:
    """How things were when this process's run was opened, for wandb.

    Attributes:
        environ: W&B's variables.
        settings: Its global settings.
    """

    def __init__(self, wandb: ModuleType) -> None:
        self._wandb = wandb
        settings = global_settings(wandb)
        self.environ = _variables()
        self.key = _key(wandb)
        self.settings = {name: getattr(settings, name, None) for name in _GLOBAL}

    def changed(self) -> dict[str, Any]:
        """What the script has said since by other means than arguments, as arguments of init."""
        singleton = global_settings(self._wandb)
        found = {
            _SETTINGS.get(name, name): value
            for name, before in self.settings.items()
            if (value := getattr(singleton, name, None)) is not None and value != before
        }
        for variable, value in _variables().items():
            if value and value != self.environ.get(variable):
                read = self._wandb.Settings()
                with contextlib.suppress(Exception):  # a value that wandb does not take
                    read.update_from_env_vars({variable: value})
                    for name in read.model_fields_set:
                        found.setdefault(_SETTINGS.get(name, name), getattr(read, name))
        return found

    def restore(self) -> None:
        """Set the global settings back."""
        for name, value in self.settings.items():
            set_globally(self._wandb, name, value)

    def has_another_key(self) -> bool:
        """Whether there is another API key now, and the server takes it; asks the server only if there is."""
        found = _key(self._wandb)
        if found in (None, self.key):
            return False
        return preflight.look(os.environ, global_settings(self._wandb).base_url, found).online


def _key(wandb: ModuleType) -> str | None:
    """The API key of this process, wherever a script may have put one."""
    settings = global_settings(wandb)
    found = os.environ.get(environment.API_KEY) or settings.api_key
    with contextlib.suppress(ImportError, AttributeError):  # of later releases
        from wandb.sdk.lib import wbauth

        found = found or wbauth.session_credentials(host=settings.base_url).api_key
    return found or preflight.key_from_netrc(os.environ, settings.base_url)


def _variables() -> dict[str, str]:
    """W&B's own variables, as they are now."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("WANDB_") and not name.startswith(environment.SWITCH)
    }


def global_settings(wandb: ModuleType) -> Any:
    """The settings of this process. Not by `wandb.setup`, which starts wandb's service where it does not run."""
    singleton = getattr(wandb.sdk.wandb_setup, "singleton", lambda: None)()
    return (singleton or wandb.setup()).settings


def set_globally(wandb: ModuleType, name: str, value: Any) -> None:
    """Change a setting of this process, as far as the release lets us: the script's call has not failed for that."""
    with contextlib.suppress(Exception):
        setattr(global_settings(wandb), name, value)


def id_to_resume(wandb: ModuleType) -> str | None:
    """The run that resume="auto" goes on with: one that failed, kept in a file that any other init removes."""
    try:
        with open(global_settings(wandb).resume_fname, encoding="utf-8") as file:
            return str(json.load(file)["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def by_call(
    wandb: ModuleType, original: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """What the call itself says.

    Raises:
        TypeError, pydantic.ValidationError: as `wandb.init` does.
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
            asked.setdefault(_SETTINGS.get(name, name), value)
    return asked


def config_of(asked: dict[str, Any]) -> Any:
    """Take the config out of `asked`, as a mapping; None where there is none.

    Raises:
        wandb.Error and others: as `wandb.init` does where it cannot be read.
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
