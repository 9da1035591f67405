"""The forms in which `python -m launcher env` writes an environment.

Output ends up in files, terminals' scrollback and CI logs, so a secret is written only when asked for (`reveal`):
otherwise a comment says that it is left out. In docker's format it is the bare name instead, which docker fills in
from its own environment.
"""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Callable, Iterator

from .environment import Environment
from .errors import LauncherError
from .variables import Variable

_NO_VALUES = "(no variables)"
_GAP = "  "
# Columns that a value has in a table whatever the terminal's width.
_NARROWEST = 24


def table(environment: Environment, reveal: bool = False, width: int = 0) -> str:
    """Three columns for people; control characters and line ends are shown escaped.

    Args:
        environment: What to show.
        reveal: Show secrets, too.
        width: Columns of the terminal, so that long values are folded; 0 where there is none.
    """
    rows = [("VARIABLE", "VALUE", "FROM")]
    rows += [
        (item.name, _one_line(item.value if reveal else item.shown), _one_line(item.source)) for item in environment
    ]
    if len(rows) == 1:
        return _NO_VALUES + "\n"
    names, values, sources = (max(_columns(row[column]) for row in rows) for column in range(3))
    room = width - names - sources - 2 * len(_GAP)
    if width and values > room:
        values = max(room, _NARROWEST)
    lines = []
    for name, value, source in rows:
        first, *rest = _folded(value, values)
        lines.append(_GAP.join((_padded(name, names), _padded(first, values), source)))
        lines += [_GAP.join((" " * names, part)) for part in rest]
    return "\n".join(lines) + "\n"


def shell(environment: Environment, reveal: bool = False) -> str:
    """`export NAME='value'`, to be sourced by any POSIX shell."""
    return _lines(environment, reveal, lambda item: f"export {item.name}={shlex.quote(item.value)}")


def dotenv(environment: Environment, reveal: bool = False) -> str:
    r"""A .env file as python-dotenv reads it: single quotes, in which only `\` and `'` are escaped.

    Docker Compose reads the same, but for backslashes.

    Raises:
        LauncherError: For a value with `${…}`, which python-dotenv expands inside single quotes too.
    """
    return _lines(environment, reveal, _dotenv_line)


def docker(environment: Environment, reveal: bool = False) -> str:
    """A file for `docker run --env-file`: nothing is quoted there, so a value cannot hold a line end.

    Raises:
        LauncherError: For a value with a line end, naming the variable.
    """
    return _lines(environment, reveal, _docker_line, left_out="{name}")


def as_json(environment: Environment, reveal: bool = False) -> str:
    """All that is known of each variable; `value` is null for a secret that is not revealed."""
    variables = [
        {
            "name": item.name,
            "value": None if item.secret and not reveal else item.value,
            "source": item.source,
            "secret": item.secret,
        }
        for item in environment
    ]
    return json.dumps({"variables": variables, "notes": list(environment.notes)}, ensure_ascii=False, indent=2) + "\n"


FORMATS: dict[str, Callable[[Environment, bool], str]] = {
    "table": table,
    "shell": shell,
    "dotenv": dotenv,
    "docker": docker,
    "json": as_json,
}


def _lines(environment: Environment, reveal: bool, write: Callable[[Variable], str], left_out: str = "# {name}") -> str:
    def lines() -> Iterator[str]:
        for item in environment:
            if item.secret and not reveal:
                yield f"# {item.name} is a secret, from {_one_line(item.source)}: --reveal writes it"
                if left_out != "# {name}":
                    yield left_out.format(name=item.name)
            else:
                yield write(item)

    return "".join(f"{line}\n" for line in lines())


def _docker_line(item: Variable) -> str:
    if "\n" in item.value or "\r" in item.value:
        raise LauncherError(
            f"{item.name} (from {item.source}) has a line end, which `docker run --env-file` cannot carry: "
            f"use --format shell and `docker run -e {item.name}`"
        )
    return f"{item.name}={item.value}"


def _dotenv_line(item: Variable) -> str:
    if re.search(r"\$\{[^}]*\}", item.value):
        raise LauncherError(
            f"{item.name} (from {item.source}) has ${{…}}, which readers of .env files expand even inside quotes: "
            f"use --format shell or json"
        )
    escaped = item.value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{item.name}='{escaped}'"


def _one_line(text: str) -> str:
    """Text with control characters escaped, so that no value can draw on a terminal or end a comment."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - _columns(text))


def _folded(text: str, columns: int) -> list[str]:
    """Text in pieces that fit, cut after a space, slash or comma where there is one in the last third."""
    pieces = []
    while _columns(text) > columns:
        end = next(end for end in range(len(text), 0, -1) if _columns(text[:end]) <= columns)
        end = max(text.rfind(mark, 2 * end // 3, end) for mark in " /,") + 1 or end
        pieces.append(text[:end].rstrip())
        text = text[end:]
    return [*pieces, text]


def _columns(text: str) -> int:
    """How many columns a terminal takes for it."""
    return sum(_width(char) for char in text)


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
