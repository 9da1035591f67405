"""The file stream: history, system metrics, summary, console and the end of a run, in numbered lines.

A chunk says at which line it begins, so a chunk that is sent again after a lost answer replaces the lines it
brought before, and a progress bar rewrites its own line of the console.

In shared mode every client counts its lines from 0 and names itself in a header (seen in 0.21.4 to 0.31.0;
other modes send no such header). Its lines are then appended, and its numbers are kept to find them again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.wandb_server.records import Run, now

CLIENT_HEADER = "x-wandb-async-client-id"


@dataclass
class SharedClient:
    """One client of a shared run: for each file, where its numbered lines went."""

    positions: dict[str, dict[int, int]] = field(default_factory=dict)


def apply_chunk(run: Run, body: dict[str, Any], client: SharedClient | None = None) -> None:
    """Apply one POST of the file stream to its run; `client` only in shared mode."""
    for name, chunk in (body.get("files") or {}).items():
        content: list[Any] = chunk.get("content", [])
        lines: list[Any] | None = None
        if name == "wandb-history.jsonl":
            lines, content = run.history, [json.loads(line) for line in content]
        elif name == "wandb-events.jsonl":
            lines, content = run.events, [json.loads(line) for line in content]
        elif name == "wandb-summary.json":
            for line in content:
                run.summary.update(json.loads(line))
        else:
            lines = run.console  # output.log, the only other file that is streamed
        if lines is not None:
            positions = None if client is None else client.positions.setdefault(name, {})
            _place(lines, chunk.get("offset", 0), content, positions)
    run.announced += [name for name in body.get("uploaded") or [] if name not in run.announced]
    run.preempting = bool(body.get("preempting", run.preempting))
    if body.get("exitcode") is not None:
        run.exit_code = int(body["exitcode"])
    run.complete = bool(body.get("complete", run.complete))
    run.heartbeat_at = now()


def _place(lines: list[Any], offset: int, content: list[Any], positions: dict[int, int] | None) -> None:
    for number, line in enumerate(content, offset):
        place = number if positions is None else positions.setdefault(number, len(lines))
        if place < len(lines):
            lines[place] = line
        else:
            lines.append(line)
