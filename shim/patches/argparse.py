"""What argparse has parsed in the main program is the run's configuration.

Each parser that was given the command line counts, what comes later wins: a program may look at a part of it first, or
hand what one parser did not know to the next (`parse_known_args`). Parsers of sub-commands are called by the one above
them, whose result has theirs.

Remove when: never.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ..script import content
from . import wrapping

MODULE = "argparse"

# How many calls are under way, one in the other.
_depth = 0


def apply(module: ModuleType) -> None:
    """Watch `ArgumentParser.parse_known_args`, which all other ways to parse call."""
    parser: Any = module.ArgumentParser
    original = parser.parse_known_args
    if hasattr(original, "_is_of_wandb_shim"):
        return

    def parse_known_args(self: Any, args: Any = None, namespace: Any = None) -> Any:
        global _depth
        _depth += 1
        try:
            result = original(self, args, namespace)
        finally:
            _depth -= 1
        if not _depth:
            wrapping.quietly(_tell, result, args, title="the program's arguments")
        return result

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(parse_known_args, name, getattr(original, name))
    parse_known_args.__wrapped__ = original  # type: ignore[attr-defined]
    parse_known_args._is_of_wandb_shim = True  # type: ignore[attr-defined]
    parser.parse_known_args = parse_known_args


def _tell(result: tuple[Any, Any], args: Any) -> None:
    if is_of_the_command_line(args):
        content.config(vars(result[0]))


def is_of_the_command_line(words: Any) -> bool:
    """Whether a parser that was given these words was given the program's: all of them, or some that are left."""
    return words is None or ((bool(words) or len(sys.argv) < 2) and all(word in sys.argv[1:] for word in words))
