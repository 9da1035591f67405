"""What the tests ran on, and how it went: `make matrix` writes docs/support.md from it.

A test is counted for each environment whose interpreter it, or a fixture of its own, has asked for.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.environments import ON_ONE_PYTHON, WANDB, WRAPT, environments
from tests.interpreters import pythons

RELEASES = ("wandb==0.19.11", "wandb==0.21.4", "wandb==0.23.1", "wandb==0.25.1", "wandb==0.28.2", WANDB)
WRAPTS = ("wrapt==1.17.3", WRAPT)

# Environments whose libraries the table leaves out: they stand for other things, or are all of the launcher's.
_NOT_OF_LIBRARIES = ("wandb", "no-wrapt", "bare", "server", "quirks", "peers", "ddtrace", "profilers", "notebook")
# Of the libraries, what comes with another.
_INCIDENTAL = frozenset({"wandb", "wrapt", "numpy", "pandas", "packaging", "six", "pip", "rich", "tomli", "einops"})

_HEAD = """\
# What it was tested on

Written by `make matrix` on {date}; not by hand. The columns of the first table are Pythons; a cell says how many tests
of [tests/integration/test_support.py](../tests/integration/test_support.py) passed there with wrapt {wrapts}.

"""


def cell(minor: str, release: str, wrapt: str) -> str:
    """The name of the environment of one combination, as tests/environments.py makes it.

    Args:
        minor: Of Python.
        release: Of wandb, as a requirement.
        wrapt: Its release, as a requirement.
    """
    return f"{minor}+{release}+{wrapt}"


@dataclass
class Tally:
    """How many tests passed, and failed, in an environment."""

    outcomes: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        passed, failed = self.outcomes["passed"], self.outcomes["failed"]
        return f"{passed}" if not failed else f"{passed}, and {failed} failed"


def tallies(reports: Sequence[pytest.TestReport]) -> dict[str, Tally]:
    """The outcome of each environment's tests."""
    found: dict[str, Tally] = {}
    for report in reports:
        for name, value in report.user_properties:
            if name == "environment":
                found.setdefault(str(value), Tally()).outcomes[report.outcome] += 1
    return found


def page(found: Mapping[str, Tally]) -> str:
    """The text of docs/support.md."""
    date = datetime.date.today().isoformat()
    wrapts = " and ".join(_version(wrapt) for wrapt in WRAPTS)
    return _HEAD.format(date=date, wrapts=wrapts) + "\n".join((*_core(found), "", *_libraries(found))) + "\n"


def _version(requirement: str) -> str:
    return requirement.partition("==")[2]


def _core(found: Mapping[str, Tally]) -> Iterator[str]:
    minors = list(pythons())
    yield f"| wandb | {' | '.join(minors)} |"
    yield f"|---|{'---|' * len(minors)}"
    for release in RELEASES:
        row = [" / ".join(str(found.get(cell(minor, release, wrapt), "—")) for wrapt in WRAPTS) for minor in minors]
        yield f"| {_version(release)} | {' | '.join(row)} |"


def _libraries(found: Mapping[str, Tally]) -> Iterator[str]:
    yield "| libraries | Python | tests passed |"
    yield "|---|---|---|"
    known = environments()
    for name in ON_ONE_PYTHON:
        if name in found and not name.startswith(_NOT_OF_LIBRARIES):
            environment = known[name]
            wanted = {_name(part) for part in (*environment.requirements, *environment.alone)} - _INCIDENTAL
            versions = dict(sorted(_installed(environment.site_packages, wanted)))
            libraries = ", ".join(f"{library} {version}" for library, version in versions.items())
            yield f"| {libraries} | {environment.base.minor} | {found[name]} |"


def _name(requirement: str) -> str:
    for mark in "[=<>~! @":
        requirement = requirement.partition(mark)[0]
    return requirement.lower().replace("_", "-")


def _installed(site_packages: Path, wanted: set[str]) -> Iterator[tuple[str, str]]:
    for distribution in distributions(path=[str(site_packages)]):
        name = distribution.metadata["Name"].lower().replace("_", "-")
        if name in wanted:
            yield name, distribution.version
