"""The arguments with which fire calls a component, defaults included.

`fire.core._CallAndUpdateTrace` parses the words for a component with a function of `_MakeParseFn`, and then calls the
component (fire/core.py 0.7.1). The parsing alone is watched, so that nothing of ours stands in a traceback of the
component. Each call of `fire.Fire` gives all its words to `parser.SeparateFlagArgs` first.

Remove when: never.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import parsed, wrapping

_TITLE = parsed.TITLE.format("fire")

# The commands of the last command line; None where that was not the program's.
_commands: parsed.Commands | None = None


def apply(module: ModuleType) -> None:
    """Watch which words are parsed, and which arguments they become."""
    wrapping.required(module.parser, "SeparateFlagArgs", _begin, title=_TITLE)
    original = module._MakeParseFn
    if hasattr(original, "_is_of_wandb_shim"):
        return

    @functools.wraps(original)
    def make(component: Any, metadata: Any) -> Callable[..., Any]:
        parse = original(component, metadata)

        @functools.wraps(parse)
        def watched(args: Any) -> Any:
            result = parse(args)
            wrapping.quietly(_tell, component, result, title=_TITLE)
            return result

        return watched

    make._is_of_wandb_shim = True  # type: ignore[attr-defined]
    module._MakeParseFn = make  # type: ignore[attr-defined]


def _begin(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    global _commands
    _commands = parsed.Commands() if parsed.is_of_the_command_line(args[0]) else None


def _tell(component: Any, result: Any) -> None:
    if _commands is not None:
        (positional, named), *_ = result
        _commands.add(getattr(component, "__name__", "call"), parsed.bound(component, positional, named))
