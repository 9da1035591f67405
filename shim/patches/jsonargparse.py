"""What jsonargparse has parsed, also for its `CLI`, `auto_cli` and Lightning's LightningCLI: nested, files merged in.

All of them call `ArgumentParser.parse_args`, which calls itself for sub-commands and for the arguments of classes
(jsonargparse/_core.py 4.53).

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping


def apply(module: ModuleType) -> None:
    """Watch the outermost parsing."""
    title = parsed.TITLE.format("jsonargparse")
    wrapping.required(module.ArgumentParser, "parse_args", _tell, title=title, outermost=wrapping.Depth())


def _tell(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if parsed.is_of_the_command_line(wrapping.argument(args, kwargs, 1, "args")):
        content.config(result.as_dict())
