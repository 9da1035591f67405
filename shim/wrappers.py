"""What a shell's command line runs in the end: `timeout 1h srun -n 8 bash -c "python train.py"` is a Python program.

For `shim explain`, which says what would happen without doing it: nothing here runs in a job.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .wrapper_table import SHELLS, TEXTS, WRAPPERS, Wrapper

# Bytes of a script that are looked at.
_MAX_SCRIPT = 64 * 1024


# Words of a shell that begin no program.
_OF_THE_SHELL = re.compile(
    r"(if|then|elif|else|fi|for|while|until|do|done|case|esac|in|function|export|local|declare|readonly|unset|set|trap"
    r"|cd|pushd|popd|source|\.|echo|printf|return|exit|wait|shift|\{|\}|\[\[?|test|true|false|:|ulimit|umask|alias|module)$"
)
_BEFORE_A_PROGRAM = frozenset({"if", "then", "elif", "else", "do", "while", "until", "{", "!"})
_ALL_ARGUMENTS = frozenset({"$@", "$*", "${@}"})
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@dataclass(frozen=True)
class Inner:
    """What is run in the end.

    Attributes:
        words: Its command line.
        environ: Its environment, as far as it can be told.
        through: The programs that lead to it, outermost first.
        first_of_several: Whether one of those programs starts several processes, of which this is the first.
    """

    words: tuple[str, ...]
    environ: Mapping[str, str]
    through: tuple[str, ...] = ()
    first_of_several: bool = False


def innermost(words: Sequence[str], environ: Mapping[str, str]) -> list[Inner]:
    """The commands that a command line leads to; more than one where a shell's script has several.

    Args:
        words: The command line, or its text as one word.
        environ: The environment that it would get.
    """
    return list(_unwrapped(Inner(tuple(words), environ), depth=0))


def _unwrapped(inner: Inner, depth: int) -> Iterator[Inner]:
    words = inner.words
    if len(words) == 1 and re.search(r"\s", words[0]) and not os.path.exists(words[0]):
        yield from _of_text(inner, words[0], depth)
        return
    words, environ = _without_assignments(words, inner.environ)
    if not words or depth > 20:
        return
    inner = Inner(words, environ, inner.through, inner.first_of_several)
    name = os.path.basename(words[0])
    if name.startswith(("python", "pypy")):  # even where that is a shell's script, as with pyenv
        yield inner
    elif name == "env":
        yield from _through(inner, name, _after_env(words[1:], environ), depth)
    elif name in SHELLS:
        yield from _of_shell(inner, name, depth)
    elif name in ("su", *TEXTS) and (text := _text_after(TEXTS.get(name, ("-c",)), words[1:])) is not None:
        yield from _of_text(inner, text, depth, name)
    elif name in WRAPPERS and (rest := _after(WRAPPERS[name], words[1:])):
        told = Inner(tuple(rest), {**environ, **WRAPPERS[name].ranks})
        if name == "uv" and rest[0].endswith(".py"):
            told = Inner(("python", *rest), told.environ)
        elif name == "hatch":  # `ENVIRONMENT:COMMAND`
            told = Inner((rest[0].rpartition(":")[2], *rest[1:]), told.environ)
        elif name == "sbatch" and (script := _read(rest[0])) is not None:
            yield from _of_text(inner, _without_comments(script), depth, name, rest[1:])
            return
        yield from _through(inner, name, told, depth, bool(WRAPPERS[name].ranks))
    elif (script := _shell_script(words[0], environ)) is not None:
        yield from _of_text(inner, script, depth, os.path.basename(words[0]), words[1:])
    else:
        yield inner


def _through(outer: Inner, name: str, inner: Inner, depth: int, several: bool = False) -> Iterator[Inner]:
    through = (*outer.through, name)
    several = several or outer.first_of_several
    yield from _unwrapped(Inner(inner.words, inner.environ, through, several), depth + 1)


def _without_assignments(words: Sequence[str], environ: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Take `NAME=value` off the front, as a shell does."""
    given = dict(environ)
    at = 0
    while at < len(words) and _ASSIGNMENT.match(words[at]):
        name, _, value = words[at].partition("=")
        given[name] = value
        at += 1
    return tuple(words[at:]), given


def _after_env(words: Sequence[str], environ: Mapping[str, str]) -> Inner:
    given = dict(environ)
    rest = list(words)
    while rest and (rest[0].startswith("-") or _ASSIGNMENT.match(rest[0])):
        word = rest.pop(0)
        if word in ("-i", "-", "--ignore-environment"):
            given = {}
        elif word in ("-u", "--unset") and rest:
            given.pop(rest.pop(0), None)
        elif word in ("-S", "--split-string") and rest:
            rest = shlex.split(rest.pop(0)) + rest
        elif word in ("-C", "--chdir") and rest:
            rest.pop(0)
        elif "=" in word and not word.startswith("-"):
            name, _, value = word.partition("=")
            given[name] = value
    return Inner(tuple(rest), given)


def _after(wrapper: Wrapper, words: Sequence[str]) -> list[str] | None:
    """What a wrapper runs; None where it is called for something else."""
    rest = list(words)
    if wrapper.words:
        while rest and rest[0].startswith("-"):  # `uv --quiet run`
            rest.pop(0)
        if rest[:1] and rest[0] not in wrapper.words:
            return None
        rest = rest[1:]
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        if word in ("-m", "--module") and not wrapper.values & {word}:  # `uv run -m pkg`
            return ["python", "-m", *rest]
        rest = rest[wrapper.taken(word) :]
    return rest[wrapper.positional :] or None


def _text_after(options: Sequence[str], words: Sequence[str]) -> str | None:
    """The command that stands behind an option as one text; None where there is none."""
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in options and (equals or words[at + 1 : at + 2]):
            return value if equals else words[at + 1]
    return None


def _of_shell(inner: Inner, name: str, depth: int) -> Iterator[Inner]:
    rest = list(inner.words[1:])
    while rest and rest[0].startswith(("-", "+")):
        word = rest.pop(0)
        if not word.startswith("--") and "c" in word:
            if rest:
                yield from _of_text(inner, rest[0], depth, name, rest[2:])
            return
        if word in ("-o", "+o", "-O", "+O", "--rcfile", "--init-file") and rest:
            rest.pop(0)
    if rest:
        text = _read(rest[0])
        if text is not None:
            yield from _of_text(inner, text, depth, os.path.basename(rest[0]), rest[1:])


def _of_text(inner: Inner, text: str, depth: int, name: str = "", arguments: Sequence[str] = ()) -> Iterator[Inner]:
    """The programs of a shell's script, in order; `"$@"`, as in an image's entrypoint, is the script's arguments."""
    for found in commands_of(text):
        words = [one for word in found for one in (arguments if word in _ALL_ARGUMENTS else [word])]
        words[:1] = [_spelled_out(word, inner.environ) for word in words[:1]]
        through = (*inner.through, name) if name else inner.through
        yield from _unwrapped(Inner(tuple(words), inner.environ, through, inner.first_of_several), depth + 1)


def commands_of(text: str) -> Iterator[list[str]]:
    """The simple commands of a shell's script, as far as they can be read without running it."""
    lexer = shlex.shlex(text.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=";&|()<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        tokens = list(lexer)
    except ValueError:  # a quote that is not closed
        return
    for token in [*tokens, ";"]:
        if token and set(token) <= set(";&|()"):
            while words and words[0] in _BEFORE_A_PROGRAM:
                words = words[1:]
            if words and not _OF_THE_SHELL.match(words[0]):
                yield _without_redirections(words)
            words = []
        else:
            words.append(token)


def _spelled_out(word: str, environ: Mapping[str, str]) -> str:
    """The name of a program with the values of known variables filled in: `${PYTHON:-python3}`."""

    def value(match: re.Match[str]) -> str:
        return environ.get(match[1] or match[2]) or match[3] or match[0]

    return _VARIABLE.sub(value, word)


def _without_redirections(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif set(word) <= set("<>&") and word:
            skip = True
            if kept and kept[-1].isdecimal():
                kept.pop()
        else:
            kept.append(word)
    return kept


def _shell_script(name: str, environ: Mapping[str, str]) -> str | None:
    """The text of a program that is a shell's script; None for any other."""
    path = shutil.which(name, path=environ.get("PATH"))
    text = _read(path) if path else None
    if text is None or not text.startswith("#!"):
        return None
    first, _, rest = text.partition("\n")
    words = first.removeprefix("#!").split()
    if not words or os.path.basename(words[-1 if words[0].endswith("/env") else 0]) not in SHELLS:
        return None
    return None if rest.startswith("'''exec'") else _without_comments(rest)


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _read(path: str) -> str | None:
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            return file.read(_MAX_SCRIPT).decode()
    except (OSError, UnicodeDecodeError):
        return None
