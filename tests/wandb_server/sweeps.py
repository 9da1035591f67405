"""Sweeps: a grid of parameters, handed out trial by trial to the agents that ask for work."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.wandb_server.graphql import GraphQLError, Node
from tests.wandb_server.nodes import connection
from tests.wandb_server.store import opaque_id


@dataclass
class Sweep:
    """One sweep; `trials` are those that no agent has taken yet."""

    entity: str
    project: str
    id: str
    config: str  # YAML, as sent
    trials: list[dict[str, Any]] = field(default_factory=list)
    given_out: int = 0

    def __post_init__(self) -> None:
        parameters = yaml.safe_load(self.config)["parameters"]
        values = [row.get("values", [row.get("value")]) for row in parameters.values()]
        self.trials = [dict(zip(parameters, chosen, strict=True)) for chosen in itertools.product(*values)]

    def next_commands(self, busy: bool) -> list[dict[str, Any]]:
        """What the agent is to do now: nothing while it is busy, then the next trial, and at last to end."""
        if busy:
            return []
        if not self.trials:
            return [{"type": "exit"}]
        self.given_out += 1
        trial = self.trials.pop(0)
        return [
            {
                "type": "run",
                "run_id": f"{self.id}-trial{self.given_out}",
                "program": yaml.safe_load(self.config).get("program"),
                "args": {name: {"value": value} for name, value in trial.items()},
            }
        ]


class Sweeps:
    """The part of the API that is about sweeps, for one request."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.store = schema.store

    def find(self, name: str) -> Sweep:
        """A sweep by its name; the API's error when there is none."""
        if name not in self.store.sweeps:
            raise GraphQLError(f"sweep {name} not found", status=404)
        sweep: Sweep = self.store.sweeps[name]
        return sweep

    def view(self, sweep: Sweep) -> Node:
        """A sweep as the clients select from it."""
        trials = [run for run in self.store.runs if run.sweep == sweep.id]
        of_trials = {"exitcode": None, "shouldStop": False, "failed": False, "running": False}
        return {
            "__typename": "Sweep",
            "id": opaque_id("Sweep", sweep.id),
            "name": sweep.id,
            "displayName": sweep.id,
            "method": yaml.safe_load(sweep.config).get("method"),
            "state": "RUNNING" if sweep.trials else "FINISHED",
            "description": None,
            "config": sweep.config,
            "createdAt": None,
            "heartbeatAt": None,
            "updatedAt": None,
            "earlyStopJobRunning": False,
            "bestLoss": None,
            "controller": None,
            "scheduler": None,
            "runs": lambda _: connection("Run", [{**self.schema.run(run), **of_trials} for run in trials]),
            "project": lambda _: self.schema.project_view(sweep.entity, sweep.project),
        }

    def upsert(self, values: dict[str, Any]) -> Node:
        """UpsertSweep: create one."""
        entity, project = values.get("entityName") or self.store.entity, values.get("projectName") or "uncategorized"
        self.store.project_id(entity, project)
        sweep = Sweep(entity, project, f"sweep{len(self.store.sweeps) + 1}", values["config"])
        self.store.sweeps[sweep.id] = sweep
        return {"__typename": "UpsertSweepPayload", "sweep": self.view(sweep), "configValidationWarnings": []}

    def create_agent(self, values: dict[str, Any]) -> Node:
        """CreateAgent: its ID says which sweep it works for."""
        return {"__typename": "CreateAgentPayload", "agent": agent(self.find(values["sweep"]).id)}

    def heartbeat(self, values: dict[str, Any]) -> Node:
        """AgentHeartbeat: what the agent is to do next."""
        commands = self.find(values["id"]).next_commands(busy=bool(json.loads(values.get("runState") or "{}")))
        return {
            "__typename": "AgentHeartbeatPayload",
            "agent": agent(values["id"]),
            "commands": json.dumps(commands),
        }


def agent(agent_id: str) -> Node:
    """An agent as the clients select from it."""
    return {"__typename": "Agent", "id": agent_id}
