"""What click has parsed, with the parameters of each command that is called.

`Command.make_context` parses the words of a command right before the command is called (click/core.py 8.5, `main` and
`Group.invoke`; a method of `BaseCommand` up to 8.1). So our function has returned by then, and stands in no traceback
of the program. Typer 0.29 has its own copy of click (typer/_click); earlier releases use click itself.

Remove when: never.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from . import parsed, wrapping

# The outermost context of the program's own command line, and the commands that were parsed below it.
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
        words = [*args]  # a copy: click removes the words from the list
        context = original(self, info_name, args, parent, **extra)
        wrapping.quietly(_tell, context, words, title=parsed.TITLE.format("click"))
        return context

    make_context._is_of_wandb_shim = True  # type: ignore[attr-defined]
    owner.make_context = make_context


def _tell(context: Any, words: list[str]) -> None:
    global _root, _commands
    if context.resilient_parsing:  # a shell asks how a word may go on
        return
    if context.parent is None:
        _root, _commands = context if parsed.is_of_the_command_line(words) else None, parsed.Commands()
    if _root is not None and context.find_root() is _root:
        _commands.add(str(context.command.name or context.info_name), context.params)
