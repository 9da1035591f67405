"""The settings of pydantic-settings, where the command line is one of their sources (`cli_parse_args`, CliApp).

`CliSettingsSource.__init__` parses the words, and `BaseSettings.__init__` makes the model from all sources, before
CliApp calls the model's command (pydantic_settings/main.py 2.16).

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping

# Whether a source has parsed the program's command line, and the model of that source is still to be made.
_has_parsed = False


def apply(module: ModuleType) -> None:
    """Watch the source and the model."""
    title = parsed.TITLE.format("pydantic-settings")
    wrapping.required(module.CliSettingsSource, "__init__", _note, title=title)
    wrapping.required(module.BaseSettings, "__init__", _tell, title=title)


def _note(result: None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    global _has_parsed
    words = wrapping.argument(args, kwargs, 3, "cli_parse_args")
    if words is None:
        words = wrapping.argument(args, kwargs, 1, "settings_cls").model_config.get("cli_parse_args")
    _has_parsed = bool(words) and parsed.is_of_the_command_line(None if words is True else words)


def _tell(result: None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    global _has_parsed
    if _has_parsed:
        _has_parsed = False
        content.config(args[0])
