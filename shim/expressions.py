"""What WANDB_SHIM_METRICS says of the metrics that a script prints: nothing, `auto`, or named regular expressions.

The launcher writes the expressions as JSON, from `[wandb.metrics]` of env.toml; the companion looks for them in the
lines that the script prints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

OFF, AUTO = "off", "auto"


def read(value: str) -> str | dict[str, str]:
    """`off`, `auto`, or the expressions by the names of their metrics.

    Raises:
        ValueError: The value is none of these; the message continues a sentence that begins with name and value.
    """
    word = value.strip()
    if word.lower() in ("", OFF, AUTO):
        return word.lower() or OFF
    try:
        named = json.loads(word)
    except ValueError:
        named = None
    if not isinstance(named, dict) or not all(isinstance(held, str) for held in named.values()):
        raise ValueError("is not off, auto, or a JSON object of regular expressions by the names of metrics")
    return named


def written(said: str | Mapping[str, str] | None) -> str | None:
    """The value of the variable, for what env.toml says; None where env.toml says nothing."""
    return json.dumps(said, ensure_ascii=False) if isinstance(said, Mapping) else said


def problem_of(expression: str) -> str:
    """What is wrong with one expression, to follow the expression in a sentence; "" where nothing is."""
    try:
        groups = re.compile(expression).groups
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
    return "" if groups == 1 else f"has {groups} groups: put the number, and nothing else, into ( )"


def problem_of_value(value: str) -> str:
    """What is wrong with the variable's whole value; "" where nothing is."""
    try:
        said = read(value)
    except ValueError as error:
        return str(error)
    named = said if isinstance(said, Mapping) else {}
    problems = [f'has "{name}", which {problem}' for name, held in named.items() if (problem := problem_of(held))]
    return "; ".join(problems)
