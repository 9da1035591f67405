"""Which of many like tests run: each case on one release or Python in turn, unless WANDB_SHIM_TEST_MATRIX is set.

A test with the mark `in_turn` that has a parameter of `TURNED` runs, for each combination of its other parameters, with
one value of it; which, hangs on the test's name and the place of the combination alone, so that all workers and all
selections agree. Those with the mark `matrix` run in the matrix only. `make matrix` runs both kinds in full,
and those with the mark `everywhere`, which is for single values of a parameter whose others have the mark `matrix`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence

import pytest

TURNED = ("release", "environment", "interpreter", "python")
MATRIX = "WANDB_SHIM_TEST_MATRIX"


def left_out(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests whose turn it is not."""
    if os.environ.get(MATRIX):
        return []
    out = [item for item in items if item.get_closest_marker("matrix")]
    groups: dict[str, dict[str, list[pytest.Item]]] = {}
    for item in items:
        parameter = _turned(item)
        if parameter:
            function = item.nodeid.partition("[")[0]
            groups.setdefault(function, {}).setdefault(_case(item, parameter), []).append(item)
    for function, cases in groups.items():
        first = zlib.crc32(function.rpartition("/")[2].encode())
        for place, alike in enumerate(cases.values(), first):
            out += [item for number, item in enumerate(alike) if number != place % len(alike)]
    return out


def _turned(item: pytest.Item) -> str:
    if not item.get_closest_marker("in_turn"):
        return ""
    return next((name for name in TURNED if name in _parameters(item)), "")


def _case(item: pytest.Item, turned: str) -> str:
    # The values of one combination are the same objects in each of its tests.
    return repr(sorted((name, id(value)) for name, value in _parameters(item).items() if name != turned))


def _parameters(item: pytest.Item) -> Mapping[str, object]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}
