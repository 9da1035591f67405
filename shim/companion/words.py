"""What the words of a command line say, whoever parses them: configuration files that they name, and `key=value`.

The files are read when the script starts, by the script's user, in the script's working directory.
"""

from __future__ import annotations

import ast
import json
import os
import stat
from collections.abc import Callable, Sequence
from typing import Any

from ..script.content import Budget
from .content import is_secret

# The most bytes of a configuration file: files of data are larger.
_FILE_MAX = 64 << 10


def _yaml(text: str) -> Any:
    import yaml  # wandb needs it, so it is there

    return yaml.load(text, Loader=yaml.SafeLoader)  # written in Python: it takes no depth for an overflow


def _toml(text: str) -> Any:
    import tomllib  # type: ignore[import-not-found,unused-ignore]  # from Python 3.11

    return tomllib.loads(text)


_READERS: dict[str, Callable[[str], Any]] = {".yaml": _yaml, ".yml": _yaml, ".json": json.loads, ".toml": _toml}


def config_files(words: Sequence[str]) -> dict[str, Any]:
    """The mappings in the files that the words name: `x.yaml`, `--config=x.yaml`, `--config x.yaml`.

    Returns:
        The mapping itself where there is one file, else each mapping by its file's name. Files whose name, or whose
        option's name, speaks of secrets are left out.
    """
    found: dict[str, Any] = {}
    option = ""
    for word in words:
        name, equals, value = word.rpartition("=")
        path = value if equals else word
        read = _READERS.get(os.path.splitext(path)[1].lower())
        if read is not None and not _is_about_secrets(name or option) and not _is_about_secrets(os.path.basename(path)):
            values = _mapping(path, read)
            if values is not None:
                found[path] = values
        option = word if word.startswith("-") and not equals else ""
    return next(iter(found.values())) if len(found) == 1 else found


def _is_about_secrets(name: str) -> bool:
    stem = os.path.splitext(name.lstrip("-"))[0]
    words = stem.replace("-", "_").split("_")
    # Word by word: to `is_secret` the path of a file with secrets is harmless, but here the file's content is told.
    return any(is_secret(word) for word in words) or "account" in words


def _mapping(path: str, read: Callable[[str], Any]) -> dict[str, Any] | None:
    try:
        values = read(_text(path))
        found = Budget().plain(values)  # bounded: YAML's anchors may stand for more than memory holds
        return found if isinstance(values, dict) else None
    except Exception:  # there is no such file, it may not be read, or it is not of that kind
        return None


def _text(path: str) -> str:
    """The text in a regular file.

    Raises:
        OSError: It is no regular file, and is not even opened: that could wake a process at its other end. Or it is too
            large.
    """
    _check(os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(descriptor))
        return file.read(_FILE_MAX).decode("utf-8")


def _check(state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode) or state.st_size > _FILE_MAX:
        raise OSError("no regular file, or too large a one")


def key_values(words: Sequence[str]) -> dict[str, Any]:
    """The words `key=value` and `--key=value`, with their values read as Python literals, as some programs do."""
    found = {}
    for word in words:
        name, equals, text = word.lstrip("-").partition("=")
        if equals and name.replace("-", "_").replace(".", "_").isidentifier():
            try:
                value = ast.literal_eval(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                value = text
            found[name] = Budget().plain(value)
    return found
