"""What a script gave W&B without the shim, beside what it gave with it: nothing may be missing."""

from __future__ import annotations

import re
from typing import Any

from tests.jobs import PROJECT
from tests.wandb_server import Run

# Figures, and names, that are another each time.
VARYING = ("_timestamp", "_runtime", "runtime", "per_second", "_wandb", "epoch_time", "artifact_path", "throughput")

FIELDS = ("display_name", "notes", "group", "job_type", "tags", "program", "state", "exit_code")


def steady(value: Any) -> Any:
    """A value without the figures that are another in two runs of one program."""
    if isinstance(value, dict):
        return {name: steady(held) for name, held in value.items() if not any(part in name for part in VARYING)}
    return value


def configured(run: Run) -> dict[str, Any]:
    """The config, without what wandb itself keeps there."""
    return {name: value for name, value in run.config.items() if name != "_wandb"}


def anonymous(run: Run, names: list[str]) -> list[str]:
    """Names of files and artifacts, without the run's id, and without the time and process in those of events."""
    return sorted(re.sub(r"(tfevents)\..*", r"\1", name.replace(run.id, "ID")) for name in names)


def printed(run: Run) -> list[str]:
    """What the program itself printed while the run was open; wandb's words carry links and times."""
    return [
        line
        for line in run.console_text().splitlines()
        if line.strip() and not any(word in line for word in ("wandb", *VARYING))
    ]


def check_nothing_is_missing(native: Run, ours: Run) -> None:
    """All that the program said without the shim is in the run with it; the project is the job's."""
    assert [steady(row) for row in ours.history] == [steady(row) for row in native.history]
    assert native.history
    assert steady(ours.summary) == steady(native.summary)
    assert configured(ours) == configured(native)
    assert {name: getattr(ours, name) for name in FIELDS} == {name: getattr(native, name) for name in FIELDS}
    for name in ("logged_artifacts", "used_artifacts"):
        assert anonymous(ours, getattr(ours, name)) == anonymous(native, getattr(native, name))
    assert set(anonymous(ours, [*ours.files])) >= set(anonymous(native, [*native.files]))
    assert [alert["title"] for alert in ours.alerts] == [alert["title"] for alert in native.alerts]
    assert ours.config["_wandb"].get("code_path") == native.config["_wandb"].get("code_path")
    ours_printed, native_printed = printed(ours), printed(native)
    assert ours_printed[len(ours_printed) - len(native_printed) :] == native_printed, (ours_printed, native_printed)
    assert ours.project == PROJECT
