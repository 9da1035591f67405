"""Lines for people, as wide as their terminal: paths and URLs stay whole, and what a pipe gets is not broken at all."""

from __future__ import annotations

import shutil
import textwrap

# The width of lines that go to a program or to a file.
_ENDLESS = 1_000_000
_LEAST = 40


def width() -> int:
    """The width of a line: COLUMNS, else that of the terminal; without either a line has no end."""
    found = shutil.get_terminal_size((_ENDLESS, 24)).columns
    return max(found, _LEAST)


def wrapped(text: str, indent: str = "    ", columns: int | None = None) -> str:
    """The text in lines of the terminal's width, all but the first indented."""
    lines = textwrap.wrap(
        text, columns or width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def cut(text: str, columns: int | None = None) -> str:
    """The beginning of the text, as much as one line holds."""
    columns = columns or width()
    return text if len(text) <= columns else text[: columns - 2] + " …"


def age(seconds: float) -> str:
    """A length of time in its one or two largest units: `42 s`, `12 min`, `2 h 3 min`, `3 d 4 h`."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours < 1:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if days < 1 else f"{days} d {hours % 24} h"
