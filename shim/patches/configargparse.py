"""What ConfigArgParse has parsed: the words of the command line, of the environment and of files together.

Its own `ArgumentParser.parse_known_args` collects the words of all three and gives them to that of argparse
(configargparse.py 1.9).

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping


def apply(module: ModuleType) -> None:
    """Watch the method that every way to parse calls."""
    title = parsed.TITLE.format("ConfigArgParse")
    wrapping.required(module.ArgumentParser, "parse_known_args", tell, title=title, outermost=wrapping.Depth())


def tell(result: tuple[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Tell the values in the namespace that `parse_known_args` returns."""
    words = wrapping.argument(args, kwargs, 1, "args")
    if parsed.is_of_the_command_line(words.split() if isinstance(words, str) else words):
        content.config(vars(result[0]))
