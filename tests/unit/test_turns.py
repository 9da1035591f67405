from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.turns import MATRIX

FILE = "tests/integration/test_wandb_init_compared.py"


def collected(repository: Path, matrix: str) -> list[tuple[str, str]]:
    """Case and release of each test that would run."""
    environ = {**{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}, MATRIX: matrix}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", FILE]
    done = subprocess.run(command, cwd=repository, env=environ, capture_output=True, text=True, check=True)
    return re.findall(r"\[(.*)-(wandb-[\d.]+)\]$", done.stdout, re.MULTILINE)


def test_each_case_has_its_turn_and_releases_alternate(repository: Path) -> None:
    every, some = collected(repository, "1"), collected(repository, "")
    cases, releases = {case for case, _ in every}, {release for _, release in every}
    assert len(every) == len(cases) * len(releases)
    assert Counter(case for case, _ in some) == dict.fromkeys(cases, 1)
    assert len({release for _, release in some}) == min(len(cases), len(releases))
    assert some == collected(repository, ""), "whoever collects"


GROUP = """\
import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(6))
def test_one_of_the_group(number, worker_id):
    open(worker_id, "a").close()
"""


def test_the_tests_of_a_group_run_on_one_worker(tmp_path: Path) -> None:
    (tmp_path / "test_group.py").write_text(GROUP)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "3", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL, check=True)
    assert len(list(tmp_path.glob("gw*"))) == 1
