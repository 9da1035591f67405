"""What kinds of value a TOML key can hold, each with the words that an error uses for it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of value.

    Attributes:
        name: For people: "text", "a list of texts".
        accepts: Whether a value is of this kind.
    """

    name: str
    accepts: Callable[[object], bool]

    def __or__(self, other: Kind) -> Kind:
        return Kind(f"{self.name} or {other.name}", lambda value: self.accepts(value) or other.accepts(value))


def _is_list_of(kind: Kind) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list | tuple) and all(kind.accepts(item) for item in value)


TEXT = Kind("text", lambda value: isinstance(value, str))
BOOL = Kind("true or false", lambda value: isinstance(value, bool))
WHOLE = Kind("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
NUMBER = Kind("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool))
TABLE = Kind("a table", lambda value: isinstance(value, Mapping))
TEXTS = Kind("a list of texts", _is_list_of(TEXT))
TABLES = Kind("a list of tables", _is_list_of(TABLE))
OBJECT = Kind("a nemo-run object", lambda value: not isinstance(value, str | bool | int | float | list | Mapping))

_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "text"),
    (bool, "true or false"),
    ((int, float), "a number"),
    ((list, tuple), "a list"),
    (Mapping, "a table"),
    ((datetime.date, datetime.time), "a date or time (put it in quotes)"),
)


def name_of(value: object) -> str:
    """What a value is, for people; an object of another library by its class name."""
    return next((name for types, name in _NAMES if isinstance(value, types)), type(value).__name__)
