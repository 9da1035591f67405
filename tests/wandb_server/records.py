"""What the server remembers: runs and artifacts, as plain dataclasses that tests read."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

# How wandb-core writes a line of output.log: an optional level for what went to stderr, an ISO time
# without a zone (fractions since 0.19), then the text. Seen in 0.19.11 to 0.31.0.
CONSOLE_PREFIX = re.compile(r"^(?:[A-Z]+ )?\d{4}-\d\d-\d\dT?[ ]?\d\d:\d\d:\d\d(?:[.,]\d+)?Z? ")

# wandb/wandb#12499: "the server maps exit code 254 to crashed"; every other code but 0 is a failure.
CRASHED_EXIT_CODE = 254


def now() -> str:
    """The time as the API writes it: UTC, seconds, no zone."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass
class Run:
    """One run, as the requests of its client(s) left it."""

    entity: str
    project: str
    id: str
    storage_id: str
    display_name: str = ""
    group: str = ""
    job_type: str = ""
    notes: str = ""
    tags: list[str] = field(default_factory=list)
    config_items: dict[str, Any] = field(default_factory=dict)  # as sent: {"lr": {"value": 0.1}}
    program: str = ""  # `jobProgram` of UpsertBucket
    host: str = ""
    git_commit: str = ""
    git_remote: str = ""
    sweep: str = ""
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    announced: list[str] = field(default_factory=list)  # `uploaded` of the file stream
    exit_code: int | None = None
    complete: bool = False
    preempting: bool = False
    resumed: int = 0
    upserts: int = 0
    used_artifacts: list[str] = field(default_factory=list)
    logged_artifacts: list[str] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    created_at: str = field(default_factory=now)
    heartbeat_at: str = field(default_factory=now)

    @property
    def path(self) -> str:
        """`entity/project/id`, as wandb.Api writes it."""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def config(self) -> dict[str, Any]:
        """The config without the `{"value": …}` wrapping; `_wandb` is kept."""
        return {
            key: item["value"] if isinstance(item, dict) and "value" in item else item
            for key, item in self.config_items.items()
        }

    @property
    def client_version(self) -> str:
        """The version of the wandb package that wrote the config."""
        return str(self.config.get("_wandb", {}).get("cli_version", ""))

    @property
    def job_program(self) -> str:
        """The program, under the API's own name for it."""
        return self.program

    @property
    def state(self) -> str:
        """Running until an exit code arrives; then finished, crashed, preempted or failed."""
        if self.exit_code is None:
            return "running"
        if self.exit_code == 0:
            return "finished"
        if self.preempting:
            return "preempted"
        return "crashed" if self.exit_code == CRASHED_EXIT_CODE else "failed"

    @property
    def metadata(self) -> dict[str, Any]:
        """The parsed wandb-metadata.json, {} when none was uploaded (as before 0.20, until finish)."""
        parsed: dict[str, Any] = json.loads(self.files.get("wandb-metadata.json", b"{}"))
        return parsed

    def console_text(self) -> str:
        """The console without the time and level that wandb puts before each line."""
        return "\n".join(CONSOLE_PREFIX.sub("", line) for line in self.console)

    def to_json(self) -> dict[str, Any]:
        """Everything, with the derived names, fit for JSON; files are text (undecodable bytes escaped)."""
        files = {name: data.decode(errors="backslashreplace") for name, data in self.files.items()}
        derived = {
            "config": self.config,
            "state": self.state,
            "metadata": self.metadata,
            "job_program": self.program,
            "client_version": self.client_version,
            "console_text": self.console_text(),
        }
        return {**asdict(self), "files": files, **derived}


@dataclass
class Artifact:
    """One artifact version; `version` is None until it is committed."""

    id: str
    entity: str
    project: str
    collection: str
    type: str
    digest: str
    client_id: str
    sequence_client_id: str
    run_id: str | None = None
    version: int | None = None
    aliases: list[str] = field(default_factory=list)
    pending_aliases: list[str] = field(default_factory=list)  # asked for at creation, given at commit
    tags: list[str] = field(default_factory=list)
    description: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    state: str = "PENDING"  # PENDING, COMMITTED, DELETED
    manifest: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)  # by hex MD5, the name it is stored under
    used_by: list[str] = field(default_factory=list)
    history_step: int | None = None
    created_at: str = field(default_factory=now)

    @property
    def name(self) -> str:
        """`collection:v3`, or `collection` while it is pending."""
        return self.collection if self.version is None else f"{self.collection}:v{self.version}"

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """Manifest entries by path: each has `digest` and, for references, `ref`; `size` when known."""
        contents: dict[str, dict[str, Any]] = self.manifest.get("contents", {})
        return contents

    @property
    def size(self) -> int:
        """The bytes of all entries."""
        return sum(int(entry.get("size") or 0) for entry in self.entries.values())

    def to_json(self) -> dict[str, Any]:
        """Everything, with the derived names, fit for JSON; the contents of files only by their size."""
        sizes = {name: len(data) for name, data in self.files.items()}
        return {**asdict(self), "files": sizes, "name": self.name, "size": self.size}
