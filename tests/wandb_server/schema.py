"""The objects of the API as the clients select from them: one function for each GraphQL type."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.wandb_server.artifact_views import ArtifactViews
from tests.wandb_server.graphql import GraphQLError, Node
from tests.wandb_server.nodes import connection, history_keys, stored_file
from tests.wandb_server.records import Run
from tests.wandb_server.store import Store, opaque_id
from tests.wandb_server.sweeps import Sweeps


class Schema:
    """Views of the store for one request; `base_url` is the server under the name the client uses."""

    def __init__(self, store: Store, base_url: str) -> None:
        self.store = store
        self.base_url = base_url
        self.artifacts = ArtifactViews(self)
        self.sweeps = Sweeps(self)

    def query(self) -> dict[str, Any]:
        """The root of all queries."""
        return {
            "__typename": "Query",
            "viewer": self.viewer(),
            "serverInfo": self.server_info(),
            "entity": lambda args: self.entity(args["name"]),
            "project": lambda args: self.project(args.get("entityName"), args["name"]),
            "model": lambda args: self.project(args.get("entityName"), args["name"]),
            "artifact": lambda args: self.artifacts.version(self.store.find_artifact(args["id"])),
            "clientIDMapping": lambda args: self.client_id_mapping(args["clientID"]),
            "organization": lambda args: {"__typename": "Organization", "featureFlags": []},
        }

    def viewer(self) -> Node:
        """The owner of the key: a user who writes to one team."""
        entity = self.store.entity
        return {
            "__typename": "User",
            "id": opaque_id("User", 1),
            "name": entity,
            "username": entity,
            "entity": entity,
            "email": f"{entity}@example.com",
            "admin": False,
            "flags": "{}",
            "deletedAt": None,
            "apiKeys": connection("ApiKey", []),
            "teams": connection("Entity", [{"__typename": "Entity", "name": entity}]),
        }

    def server_info(self) -> Node:
        """No optional features: the clients then take the ways that all servers know."""
        return {
            "__typename": "ServerInfo",
            "cliVersionInfo": {},
            "latestLocalVersionInfo": None,
            "features": [],
        }

    def entity(self, name: str) -> Node:
        """A user or a team outside any organization."""
        return {
            "__typename": "Entity",
            "id": opaque_id("Entity", name),
            "name": name,
            "organization": None,
            "xxhashDigestsEnabled": False,
        }

    def project(self, entity: str | None, name: str | None) -> Node | None:
        """A project; None until something was written to it."""
        entity, name = entity or self.store.entity, name or ""
        if (entity, name) not in self.store.projects:
            return None
        return self.project_view(entity, name)

    def project_view(self, entity: str, name: str) -> Node:
        """A project by its two names."""

        def run(args: dict[str, Any]) -> Node | None:
            found = self.store.find_run(entity, name, args["name"])
            if found is None and not args.get("missingOk"):
                raise GraphQLError(f"run {entity}/{name}/{args['name']} not found", status=404)
            return self.run(found)

        def runs(_: dict[str, Any]) -> Node:
            here = [run for run in self.store.runs if (run.entity, run.project) == (entity, name)]
            return connection("Run", [self.run(run) for run in reversed(here)])

        def artifact(args: dict[str, Any]) -> Node | None:
            return self.artifacts.version(self.store.named_artifact(entity, name, args["name"]))

        def membership(args: dict[str, Any]) -> Node | None:
            return self.artifacts.membership(self.store.named_artifact(entity, name, args["name"]))

        return {
            "__typename": "Project",
            "id": opaque_id("Project", "v1", name, entity),
            "internalId": str(self.store.projects.get((entity, name), 0)),
            "name": name,
            "entityName": entity,
            "entity": self.entity(entity),
            "createdAt": "2026-01-01T00:00:00",
            "isBenchmark": False,
            "readOnly": False,
            "user": self.viewer(),
            "run": run,
            "bucket": run,
            "runs": runs,
            "sweep": lambda args: self.sweeps.view(self.sweeps.find(args["sweepName"])),
            "runCount": lambda args: len(runs(args)["edges"]),
            "artifact": artifact,
            "artifactCollectionMembership": membership,
            "artifactCollection": lambda args: self.artifacts.collection(entity, name, args["name"]),
            "artifactType": lambda args: self.artifacts.artifact_type(entity, name, args["name"]),
        }

    def run(self, run: Run | None) -> Node | None:
        """A run, also called a bucket."""
        if run is None:
            return None

        def tail(rows: list[dict[str, Any]]) -> str:
            return json.dumps([json.dumps(row) for row in rows[-1:]])

        def artifacts(names: list[str]) -> Node:
            found = [self.store.named_artifact(run.entity, run.project, name) for name in names]
            return connection("Artifact", [self.artifacts.version(artifact) for artifact in found])

        def files(args: dict[str, Any]) -> Node:
            wanted = args.get("names")
            return connection(
                "File",
                [
                    stored_file(self.base_url, name, run_file_path(run, name), data)
                    for name, data in sorted(run.files.items())
                    if not wanted or name in wanted
                ],
            )

        return {
            "__typename": "Run",
            "id": run.storage_id,
            "internalId": run.storage_id,
            "projectId": str(self.store.projects.get((run.entity, run.project), 0)),
            "project": lambda _: self.project(run.entity, run.project),
            "name": run.id,
            "displayName": run.display_name,
            "description": "",
            "notes": run.notes,
            "tags": run.tags,
            "group": run.group,
            "jobType": run.job_type,
            "commit": run.git_commit,
            "host": run.host,
            "sweepName": run.sweep or None,
            "state": run.state,
            "stopped": False,
            "config": json.dumps(run.config_items),
            "wandbConfig": lambda args: json.dumps(
                {key: run.config.get("_wandb", {}).get(key) for key in args["keys"]}
            ),
            "summaryMetrics": json.dumps(run.summary),
            "systemMetrics": json.dumps(run.events[-1] if run.events else {}),
            "history": [json.dumps(row) for row in run.history],
            "events": [json.dumps(row) for row in run.events],
            "sampledHistory": lambda args: [run.history for _ in args["specs"]],
            "parquetHistory": {"__typename": "ParquetHistory", "parquetUrls": [], "liveData": run.history},
            "historyKeys": history_keys(run.history),
            "historyLineCount": len(run.history),
            "eventsLineCount": len(run.events),
            "logLineCount": len(run.console),
            "historyTail": tail(run.history),
            "eventsTail": tail(run.events),
            "readOnly": False,
            "createdAt": run.created_at,
            "heartbeatAt": run.heartbeat_at,
            "user": self.viewer(),
            "fileCount": len(run.files),
            "files": files,
            "outputArtifacts": lambda _: artifacts(run.logged_artifacts),
            "inputArtifacts": lambda _: artifacts(run.used_artifacts),
        }

    def client_id_mapping(self, client_id: str) -> Node | None:
        """The server's ID of an artifact that a client made."""
        for artifact in self.store.artifacts:
            if artifact.client_id == client_id:
                return {"__typename": "ClientIDMapping", "serverID": artifact.id}
        return None


def run_file_path(run: Run, name: str) -> str:
    """Where a file of a run is stored, below /storage."""
    return f"runs/{quote(run.path)}/{quote(name)}"
