"""The backend behind the API: projects, runs, artifact collections, and the rules of W&B for them."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from tests.wandb_server.file_stream import SharedClient
from tests.wandb_server.graphql import GraphQLError
from tests.wandb_server.records import Artifact, Run, now

# What UpsertBucket may change, and where it is kept. The rest of its input is handled by name.
RUN_ATTRIBUTES = {
    "displayName": "display_name",
    "groupName": "group",
    "jobType": "job_type",
    "notes": "notes",
    "tags": "tags",
    "jobProgram": "program",
    "host": "host",
    "commit": "git_commit",
    "jobRepo": "git_remote",
    "sweep": "sweep",
}


def opaque_id(kind: str, *parts: object) -> str:
    """An ID as the API hands them out: base64 of kind and parts."""
    return base64.b64encode(":".join([kind, *map(str, parts)]).encode()).decode()


@dataclass
class Store:
    """Everything the server knows. The server serialises access."""

    entity: str
    strict_client_ids: bool = True
    runs: list[Run] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    projects: dict[tuple[str, str], int] = field(default_factory=dict)
    sweeps: dict[str, Any] = field(default_factory=dict)  # by name
    shared: dict[str, dict[str, SharedClient]] = field(default_factory=dict)  # by run, by client
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    # --- projects and runs -------------------------------------------------------------------------------

    def project_id(self, entity: str, project: str) -> int:
        """The internal number of a project; the first run or artifact creates it."""
        return self.projects.setdefault((entity, project), len(self.projects) + 1)

    def find_run(self, entity: str | None, project: str, name: str) -> Run | None:
        """A run by its place."""
        place = (entity or self.entity, project, name)
        return next((run for run in self.runs if (run.entity, run.project, run.id) == place), None)

    def get_run(self, entity: str | None, project: str, name: str) -> Run:
        """A run by its place; the API's error when there is none."""
        run = self.find_run(entity, project, name)
        if run is None:
            raise GraphQLError(f"run {entity or self.entity}/{project}/{name} not found", status=404)
        return run

    def shared_client(self, run: Run, client_id: str) -> SharedClient | None:
        """The client of a shared run; None without an ID, which is sent in shared mode only."""
        if not client_id:
            return None
        return self.shared.setdefault(run.storage_id, {}).setdefault(client_id, SharedClient())

    def upsert_run(self, values: dict[str, Any], client_id: str = "") -> tuple[Run, bool]:
        """UpsertBucket: create a run or change it. The flag says that it is new."""
        given = {key: value for key, value in values.items() if value is not None}
        entity, project = given.get("entityName") or self.entity, given.get("modelName") or "uncategorized"
        if "id" in given:  # a client that resumes sends ID and name, wandb.Api the ID alone
            run = next((run for run in self.runs if run.storage_id == given["id"]), None)
            if run is None:
                raise GraphQLError("run not found", status=404)
        else:
            run = self.find_run(entity, project, given["name"]) if "name" in given else None
        inserted = run is None
        if run is None:
            name = given.get("name") or f"run{next(self._numbers)}"
            run = Run(entity, project, name, storage_id=opaque_id("Run", "v1", name, project, entity))
            run.display_name = f"quiet-run-{len(self.runs) + 1}"  # W&B invents names too
            self.project_id(entity, project)
            self.runs.append(run)
        elif (
            "name" in given and (run.complete or "id" in given) and client_id not in self.shared.get(run.storage_id, {})
        ):
            # A new client opens the run again: whatever it was, it is running now.
            run.resumed += 1
            run.exit_code, run.complete, run.preempting = None, False, False
        self.shared_client(run, client_id)
        for key, attribute in RUN_ATTRIBUTES.items():
            if key in given:
                setattr(run, attribute, given[key])
        if "config" in given:
            if not client_id:
                run.config_items = {}
            run.config_items.update(json.loads(given["config"]))  # in shared mode each client sends its part
        if "summaryMetrics" in given:
            run.summary = json.loads(given["summaryMetrics"])
        run.upserts += 1
        run.heartbeat_at = now()
        return run, inserted

    def delete_run(self, storage_id: str) -> None:
        """DeleteRun: it is as if it had never been."""
        self.runs[:] = [run for run in self.runs if run.storage_id != storage_id]

    # --- artifacts ---------------------------------------------------------------------------------------

    def find_artifact(self, artifact_id: str) -> Artifact | None:
        """An artifact by its ID."""
        return next((artifact for artifact in self.artifacts if artifact.id == artifact_id), None)

    def get_artifact(self, artifact_id: str) -> Artifact:
        """An artifact by its ID; the API's error when there is none."""
        artifact = self.find_artifact(artifact_id)
        if artifact is None:
            raise GraphQLError(f"artifact {artifact_id} not found", status=404)
        return artifact

    def versions(self, entity: str, project: str, collection: str) -> list[Artifact]:
        """The committed versions of a collection, oldest first."""
        place = (entity, project, collection)
        return [
            artifact
            for artifact in self.artifacts
            if (artifact.entity, artifact.project, artifact.collection) == place and artifact.state == "COMMITTED"
        ]

    def named_artifact(self, entity: str | None, project: str, name: str) -> Artifact | None:
        """`collection:alias`, `collection:v3`, `collection:digest` or `collection` (its latest)."""
        collection, _, alias = name.partition(":")
        alias = alias or "latest"
        for artifact in self.versions(entity or self.entity, project, collection):
            if alias in (*artifact.aliases, f"v{artifact.version}", artifact.digest):
                return artifact
        return None

    def create_artifact(self, values: dict[str, Any]) -> Artifact:
        """CreateArtifact: a pending version, or the one that has this content already."""
        given = {key: value for key, value in values.items() if value is not None}
        entity, project = given.get("entityName") or self.entity, given["projectName"]
        collections = given.get("artifactCollectionNames") or [given.get("artifactCollectionName")]
        collection, digest, client_id = collections[0], given["digest"], given.get("clientID", "")
        aliases = [alias["alias"] for alias in given.get("aliases", [])]

        twin = next((a for a in self.artifacts if client_id and a.client_id == client_id), None)
        if twin is not None and twin.digest == digest:
            return twin  # a repeated request
        if twin is not None and self.strict_client_ids:
            raise GraphQLError("Invalid Client ID digest")
        for version in self.versions(entity, project, collection):
            if version.digest == digest and given.get("enableDigestDeduplication", True):
                self.move_aliases(version, aliases)
                self._log(version, given.get("runName"))
                return version

        self.project_id(entity, project)
        artifact = Artifact(
            id=opaque_id("Artifact", next(self._numbers)),
            entity=entity,
            project=project,
            collection=collection,
            type=given.get("artifactTypeName", ""),
            digest=digest,
            client_id=client_id,
            sequence_client_id=given.get("sequenceClientID", ""),
            run_id=given.get("runName"),
            pending_aliases=aliases,
            tags=[tag["tagName"] for tag in given.get("tags", [])],
            description=given.get("description"),
            metadata=json.loads(given.get("metadata") or "{}"),
            history_step=given.get("historyStep"),
        )
        self.artifacts.append(artifact)
        return artifact

    def commit(self, artifact: Artifact) -> None:
        """CommitArtifact: give the version its number and its aliases, `latest` among them."""
        if artifact.state != "PENDING":
            return
        last = [a.version for a in self.artifacts if self._siblings(a, artifact) and a.version is not None]
        artifact.version = max(last, default=-1) + 1
        artifact.state = "COMMITTED"
        self.move_aliases(artifact, [*artifact.pending_aliases, "latest"])
        self._log(artifact, artifact.run_id)

    def move_aliases(self, artifact: Artifact, aliases: list[str]) -> None:
        """An alias names one version of a collection at a time."""
        for alias in aliases:
            for other in self.artifacts:
                if other is not artifact and self._siblings(other, artifact) and alias in other.aliases:
                    other.aliases.remove(alias)
            if alias not in artifact.aliases:
                artifact.aliases.append(alias)

    def use_artifact(self, artifact: Artifact, run: Run) -> None:
        """UseArtifact: the run has this input."""
        if run.id not in artifact.used_by:
            artifact.used_by.append(run.id)
        if artifact.name not in run.used_artifacts:
            run.used_artifacts.append(artifact.name)

    def _log(self, artifact: Artifact, run_id: str | None) -> None:
        run = self.find_run(artifact.entity, artifact.project, run_id) if run_id else None
        if run is not None and artifact.name not in run.logged_artifacts:
            run.logged_artifacts.append(artifact.name)

    @staticmethod
    def _siblings(one: Artifact, other: Artifact) -> bool:
        return (one.entity, one.project, one.collection) == (other.entity, other.project, other.collection)
