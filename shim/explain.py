"""Say what the shim would decide for a command line, and why, without running it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import bootstrap, process, tables, wrappers
from .command_line import CommandLine, parse_command_line
from .wrapper_table import ELSEWHERE

_RANK_FIELDS = ("rank", "world_size", "local_rank", "rank_source")

# The variables that torchrun and its like give to the first of two ranks.
_FIRST_RANK = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
# Options of launchers that take no value. Any other word that begins with a dash and has no `=` takes the next word.
_FLAGS = frozenset(
    {
        *("--standalone", "--no-python", "--no_python", "--run-path", "--multi_gpu", "--multi-gpu", "--use_deepspeed"),
        *("--use_fsdp", "--cpu", "--debug", "--quiet", "-q", "--no_local_rank", "--force_multi", "-v", "--verbose"),
        *(
            "--use-env",
            "--use_env",
            "--same_network",
            "--bind_cores_to_rank",
            "--no_ssh",
            "--no_ssh_check",
            "--save_pid",
        ),
        *(
            "--use_megatron_lm",
            "--use_xla",
            "--tpu",
            "--use_mps_device",
            "--no-local-rank",
            "--enable-elastic-training",
        ),
    }
)


def explain(command: Sequence[str], environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the shim would decide for each Python program that `command` leads to.

    Args:
        command: A command line as a shell takes it, wrappers and all, or its text as one word.
        environ: The environment that it would get.

    Returns:
        For each program: role, rank, world_size, local_rank, rank_source, owner, and the rule that decided; `through`,
        the programs that lead to it; `ranks`, what the first rank of a launcher would do.
    """
    found = [_explained(inner) for inner in wrappers.innermost(command, environ)]
    known = [one for one in found if one["role"] is not None]
    return known or found[:1] or [_none("there is no program in it")]


def said(one: Mapping[str, Any]) -> str:
    """One line for people."""
    through = f" (through {', '.join(one['through'])})" if one["through"] else ""
    what = "owns the run" if one["owner"] else "opens no run"
    first = "the first of several processes " if one["owner"] and one["first_of_several"] else ""
    ranks = f"; {one['ranks']}" if one["ranks"] else ""
    program = f"{one['program']}: " if one["program"] else ""
    return f"{program}{first}{what}: {one['role'] or 'no Python'}: {one['rule']}{ranks}{through}"


def _explained(inner: wrappers.Inner) -> dict[str, Any]:
    orig_argv = as_python(inner.words, inner.environ)
    if os.path.basename(inner.words[0]) in ELSEWHERE:
        told = _none(f"{inner.words[0]} starts it elsewhere: ask there, with the command that it starts")
    elif orig_argv is None:
        told = _none(f"{inner.words[0]} is not found, or no Python program")
    else:
        decision = _decide(orig_argv, inner.environ)
        told = {name: getattr(decision, name) for name in ("role", "owner", *_RANK_FIELDS, "rule")}
        told["ranks"] = _of_its_ranks(orig_argv, inner.environ) if decision.role == tables.LAUNCHER else ""
    program = " ".join(inner.words[:3]) + (" …" if len(inner.words) > 3 else "") if inner.through else ""
    return {**told, "program": program, "through": list(inner.through), "first_of_several": inner.first_of_several}


def _none(rule: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(("role", *_RANK_FIELDS)),
        **{"owner": False, "rule": rule, "ranks": "", "program": "", "through": [], "first_of_several": False},
    }


def _decide(orig_argv: list[str], environ: Mapping[str, str]) -> process.Decision:
    executable = shutil.which(orig_argv[0], path=environ.get("PATH")) or orig_argv[0]
    prefix = os.path.dirname(os.path.dirname(executable))
    directories = bootstrap.bin_directories(executable, prefix)
    return process.decide(orig_argv, environ, pid=0, bin_directories=directories, is_bin=bootstrap.is_bin)


def _of_its_ranks(orig_argv: list[str], environ: Mapping[str, str]) -> str:
    """What the first rank of a launcher would do; "" where the program that it starts cannot be told."""
    program = _launched(parse_command_line(orig_argv))
    if program is None:
        return ""
    decision = _decide([orig_argv[0], *program], {**environ, **_FIRST_RANK})
    if not decision.owner:
        return f"its ranks open no run: {decision.role}: {decision.rule}"
    return "its rank 0 opens the run" + (", in a Megatron job its last" if decision.depends else "")


def _launched(line: CommandLine) -> list[str] | None:
    """The program that a launcher starts, as arguments of Python."""
    words = list(line.arguments)
    if "launch" in words[:1]:  # accelerate's
        words = words[1:]
    while words:
        word = words.pop(0)
        if word in ("-m", "--module"):
            return ["-m", *words] if words else None
        if not word.startswith("-"):
            return [shutil.which(word) or word, *words] if word.endswith(".py") or "/" in word else None
        if "=" not in word and word not in _FLAGS and words:
            words.pop(0)
    return None


def as_python(command: Sequence[str], environ: Mapping[str, str]) -> list[str] | None:
    """The interpreter's command line that a shell's command line leads to; None where that is no Python program."""
    if Path(command[0]).name.startswith(("python", "pypy")):
        return list(command)
    script = shutil.which(command[0], path=environ.get("PATH"))
    if script is None:
        known = command[0] in {*tables.LAUNCHER_SCRIPTS, *tables.TRAINING_SCRIPTS, *tables.WRAPPER_SCRIPTS}
        return [sys.executable, f"{os.path.dirname(sys.executable)}/{command[0]}", *command[1:]] if known else None
    with open(script, "rb") as file:
        first, second = (file.readline().decode(errors="replace").strip() for _ in range(2))
    words = first.removeprefix("#!").split()
    if first.startswith("#!") and second.startswith("'''exec'"):  # of pip, where the path is too long for `#!`
        words = second.removeprefix("'''exec'").split()[:1]
    elif not first.startswith("#!") or "python" not in first:
        return None
    interpreter = words[1:] if words[0].endswith("/env") else words
    return [*interpreter, script, *command[1:]]
