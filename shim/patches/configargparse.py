"""What ConfigArgParse has parsed: words of the command line, of the environment and of files together.

`ArgumentParser.parse_known_args` of its own puts the words of all three before argparse's (configargparse.py 1.9).

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping


def apply(module: ModuleType) -> None:
    """Watch what all ways to parse come to."""
    title = parsed.TITLE.format("ConfigArgParse")
    wrapping.required(module.ArgumentParser, "parse_known_args", tell, title=title, outermost=True)


def tell(result: tuple[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Tell what stands in the namespace that `parse_known_args` gives back."""
    words = wrapping.argument(args, kwargs, 1, "args")
    if parsed.is_of_the_command_line(words.split() if isinstance(words, str) else words):
        content.config(vars(result[0]))
