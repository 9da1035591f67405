"""What click has parsed, with the parameters of each command that is called.

A command is parsed by `Command.make_context` right before it is called (click/core.py 8.5, `main` and `Group.invoke`;
of `BaseCommand` up to 8.1): what is replaced is over by then, and stands in no traceback of the program. Typer 0.29 has
a copy of click of its own (typer/_click), before it stood on click's.

Remove when: never.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from . import parsed, wrapping

# The outermost context of the program's own command line, and what was parsed below it.
_root: Any = None
_commands = parsed.Commands()


def apply(module: ModuleType) -> None:
    """Watch how a command's words become its parameters."""
    base = vars(module).get("BaseCommand")
    owner: Any = base if "make_context" in vars(base or object) else module.Command
    original = owner.make_context
    if hasattr(original, "_is_of_wandb_shim"):
        return

    @functools.wraps(original)
    def make_context(self: Any, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        words = [*args]  # click takes them off its list
        context = original(self, info_name, args, parent, **extra)
        wrapping.quietly(_tell, context, words, title=parsed.TITLE.format("click"))
        return context

    make_context._is_of_wandb_shim = True  # type: ignore[attr-defined]
    owner.make_context = make_context


def _tell(context: Any, words: list[str]) -> None:
    global _root, _commands
    if context.resilient_parsing:  # a shell asks what it may complete
        return
    if context.parent is None:
        _root, _commands = context if parsed.is_of_the_command_line(words) else None, parsed.Commands()
    if _root is not None and context.find_root() is _root:
        _commands.add(str(context.command.name or context.info_name), context.params)
