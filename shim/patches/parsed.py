"""For the patches of all parsers: which words are those of the program's command line, and how commands are told."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..script import content

# What is lost where a hook fails, for the one line that says so.
TITLE = "what {} has parsed"


def is_of_the_command_line(words: Any) -> bool:
    """Whether the words that a parser was given are the program's: all of them, or some that others have left."""
    return words is None or ((bool(words) or len(sys.argv) < 2) and all(word in sys.argv[1:] for word in words))


class Commands:
    """The commands of one command line, each with its parameters, as a parser finds them one by one."""

    def __init__(self) -> None:
        self._found: list[tuple[str, Mapping[str, Any]]] = []
        self._told: dict[str, Any] = {}

    def add(self, command: str, values: Mapping[str, Any]) -> None:
        """Add a command that was parsed, and tell all commands."""
        self._found.append((command, values))
        before, self._told = self._told, together(self._found)
        content.config(self._told, without=[name for name in before if name not in self._told])


def together(commands: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The parameters of several commands; one that two commands have stands below the name of each command."""
    of: dict[str, set[str]] = {}
    for command, values in commands:
        for name in values:
            of.setdefault(name, set()).add(command)
    found: dict[str, Any] = {}
    for command, values in commands:
        shared = {name: value for name, value in values.items() if len(of[name]) > 1}
        found |= {name: value for name, value in values.items() if name not in shared}
        if shared:
            found[command] = shared
    return found


def bound(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, defaults included; what `**kwargs` takes stands among them."""
    import inspect

    signature = inspect.signature(function)
    called = signature.bind(*args, **kwargs)
    called.apply_defaults()
    found = dict(called.arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            found |= found.pop(parameter.name)
    return found
