"""What `pip install wandb-shim[…]` brings, against what the launcher's own messages and the test environments name."""

from __future__ import annotations

import sys

from launcher.executors import EXECUTORS
from launcher.requirements import LEPTON_PIN, NEMO_RUN
from tests.environments import REPOSITORY, environments

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXTRAS: dict[str, list[str]] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


def test_the_launcher_extra_is_what_the_experiments_of_the_tests_run_with() -> None:
    assert EXTRAS["launcher"][:2] == [NEMO_RUN, LEPTON_PIN]
    assert environments()["nemo-run"].requirements[:2] == (NEMO_RUN, LEPTON_PIN)


def test_every_executor_that_needs_more_has_an_extra_of_its_name() -> None:
    needed = {kind: [NEMO_RUN.replace("==", f"[{spec.extra}]==")] for kind, spec in EXECUTORS.items() if spec.extra}
    assert {kind: EXTRAS[kind] for kind in needed} == needed
