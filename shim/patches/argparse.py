"""What argparse has parsed in the main program is the run's configuration.

Each parser that is given the command line counts, and the later one wins: a program may look at a part of the line
first, or hand the words that one parser does not know to the next (`parse_known_args`). The parser of a sub-command is
called by the parser above it, whose result includes its own. Libraries that build on argparse and make more of its
result have patches of their own.

Remove when: never.
"""

from __future__ import annotations

import sys
from types import FrameType, ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping

MODULE = "argparse"

# Packages with patches of their own, to which their calls of argparse are left.
_OTHERS = frozenset(("configargparse", "hydra", "jsonargparse", "pydantic_settings", "simple_parsing", "tyro"))


def apply(module: ModuleType) -> None:
    """Watch `ArgumentParser.parse_known_args`: every way to parse calls it."""
    title = parsed.TITLE.format("argparse")
    wrapping.required(module.ArgumentParser, "parse_known_args", _tell, title=title, outermost=wrapping.Depth())


def _tell(result: tuple[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    words = wrapping.argument(args, kwargs, 1, "args")
    if parsed.is_of_the_command_line(words) and _caller().partition(".")[0] not in _OTHERS:
        content.config(vars(result[0]))


def _caller() -> str:
    """The module that has called argparse."""
    frame: FrameType | None = sys._getframe()
    ours = __name__.partition(".")[0]
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name != MODULE and name.partition(".")[0] != ours:
            return name
        frame = frame.f_back
    return ""
