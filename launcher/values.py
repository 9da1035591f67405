"""What W&B refuses, found before a job has waited hours in a queue.

The rules are wandb's own (wandb/sdk/wandb_settings.py, 0.31.0); a test asks the real one.
"""

from __future__ import annotations

from collections.abc import Callable

from shim import environment as contract
from shim import expressions, login

from .errors import did_you_mean

MODES = ("online", "offline", "disabled", "shared")
_OLD_MODES = ("dryrun", "run")

# Characters.
_PROJECT_LENGTH = 128
_TAG_LENGTH = 64


def problem_of(name: str, value: str) -> str:
    """What is wrong with the value of a variable, to follow it in a sentence; "" for nothing.

    Args:
        name: The variable.
        value: Its value.
    """
    check = _CHECKS.get(name)
    return check(value) if check else ""


def _mode(value: str) -> str:
    return "" if value in (*MODES, *_OLD_MODES) else f"is no mode of W&B{did_you_mean(value, MODES)}"


def _project(value: str) -> str:
    if len(value) > _PROJECT_LENGTH:
        return f"is longer than {_PROJECT_LENGTH} characters"
    return _forbidden(value, "/\\#?%:")


def _entity(value: str) -> str:
    return _forbidden(value, "/\\#?%: ")


def _run_id(value: str) -> str:
    if value != value.strip():
        return "begins or ends with white space"
    return _forbidden(value, ":;,#?/'")


def _tags(value: str) -> str:
    tags = value.split(",")
    if not all(tag.strip() for tag in tags):
        return "has an empty tag: take one comma away"
    long = next((tag for tag in tags if len(tag) > _TAG_LENGTH), "")
    return f'has a tag of more than {_TAG_LENGTH} characters: "{long[:20]}…"' if long else ""


def _forbidden(value: str, characters: str) -> str:
    found = [char for char in characters if char in value]
    if not found:
        return ""
    said = ", ".join("a space" if char == " " else char for char in found)
    return f"cannot have {said} in it"


_CHECKS: dict[str, Callable[[str], str]] = {
    contract.MODE: _mode,
    contract.PROJECT: _project,
    contract.ENTITY: _entity,
    contract.RUN_ID: _run_id,
    contract.TAGS: _tags,
    contract.BASE_URL: login.address_problem,
    contract.METRICS: expressions.problem_of_value,
}
