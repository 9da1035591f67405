"""What the launcher refuses on the host is what the real wandb refuses in the job, and no more."""

from __future__ import annotations

import json
import subprocess

import pytest

from launcher.values import problem_of
from tests.environments import python_of

VALUES: dict[str, tuple[str, ...]] = {
    "WANDB_MODE": ("online", "offline", "disabled", "shared", "dryrun", "ofline", "OFFLINE", "none"),
    "WANDB_PROJECT": ("a", "a b", "Köln", "a/b", "a\\b", "a#b", "a?b", "a%b", "a:b", "a" * 128, "a" * 129),
    "WANDB_RUN_ID": ("a", "a-b_c.d", "a b", " a", "a ", "a:b", "a;b", "a,b", "a#b", "a?b", "a/b", "a'b"),
    "WANDB_TAGS": ("a", "a,b", "a b", "a,,b", "a,", ",a", "a" * 64, "a" * 65),
}
FIELDS = {"WANDB_MODE": "mode", "WANDB_PROJECT": "project", "WANDB_RUN_ID": "run_id", "WANDB_TAGS": "run_tags"}

PROGRAM = """
import json, sys, wandb
def refused(name, value):
    try:
        wandb.Settings(**{name: value.split(",") if name == "run_tags" else value})
    except Exception:
        return True
    return False
print(json.dumps([[refused(name, value) for value in values] for name, values in json.load(sys.stdin)]))
"""


@pytest.mark.parametrize("release", ["wandb-3.12"])
def test_what_wandb_refuses_is_refused_on_the_host(release: str, clean_environment: dict[str, str]) -> None:
    done = subprocess.run(
        [str(python_of(release)), "-c", PROGRAM],
        input=json.dumps([(FIELDS[name], values) for name, values in VALUES.items()]),
        capture_output=True,
        text=True,
        env=clean_environment,
        check=True,
    )
    theirs = dict(zip(VALUES, json.loads(done.stdout), strict=True))
    ours = {name: [bool(problem_of(name, value)) for value in values] for name, values in VALUES.items()}
    assert ours == theirs
