"""The table of what the tests ran on."""

from __future__ import annotations

import pytest

from tests import support
from tests.support import RELEASES, WRAPTS, cell


def report(outcome: str, *environments: str) -> pytest.TestReport:
    properties: list[tuple[str, object]] = [("environment", name) for name in environments]
    return pytest.TestReport("test", ("", 0, ""), {}, outcome, None, "call", user_properties=properties)  # type: ignore[arg-type]


def test_each_environment_has_the_outcomes_of_the_tests_that_ran_in_it() -> None:
    name = cell("3.12", RELEASES[-1], WRAPTS[-1])
    reports = [report("passed", name, "demo"), report("passed", "demo"), report("failed", name), report("passed")]
    text = support.page(support.tallies(reports))
    (row,) = (line for line in text.splitlines() if line.startswith(f"| {RELEASES[-1].partition('==')[2]} |"))
    assert "| — / 1, and 1 failed |" in row
    (libraries,) = (line for line in text.splitlines() if line.startswith("| gensim"))
    assert "scikit-learn" in libraries
    assert libraries.endswith("| 3.12 | 2 |")
