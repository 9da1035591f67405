"""What the clients change: one resolver for each mutation."""

from __future__ import annotations

import json
from typing import Any

from tests.wandb_server.artifact_views import hex_digest, storage_path
from tests.wandb_server.graphql import GraphQLError, Node, Resolver
from tests.wandb_server.nodes import stored_file
from tests.wandb_server.records import Artifact
from tests.wandb_server.schema import Schema, run_file_path
from tests.wandb_server.store import opaque_id

Arguments = dict[str, Any]  # the arguments of a mutation: {"input": {...}}


class Mutations:
    """The root of all mutations, for one request."""

    def __init__(self, schema: Schema, client_id: str = "") -> None:
        self.schema = schema
        self.store = schema.store
        self.client_id = client_id

    def root(self) -> dict[str, Any]:
        """The mutations by name; each takes its `input`."""
        resolvers: dict[str, Any] = {
            "upsertBucket": self.upsert_bucket,
            "deleteRun": self.delete_run,
            "createRunFiles": self.create_run_files,
            "notifyScriptableRunAlert": self.alert,
            "createArtifact": self.create_artifact,
            "createArtifactManifest": self.create_manifest,
            "updateArtifactManifest": self.update_manifest,
            "createArtifactFiles": self.create_artifact_files,
            "commitArtifact": self.commit_artifact,
            "useArtifact": self.use_artifact,
            "updateArtifact": self.update_artifact,
            "deleteArtifact": self.delete_artifact,
            "addAliases": self.add_aliases,
            "deleteAliases": self.delete_aliases,
            "upsertSweep": self.schema.sweeps.upsert,
            "createAgent": self.schema.sweeps.create_agent,
            "agentHeartbeat": self.schema.sweeps.heartbeat,
            "markRunFilesUploaded": lambda _: {"__typename": "MarkRunFilesUploadedPayload", "success": True},
        }
        return {"__typename": "Mutation", **{name: taking_input(call) for name, call in resolvers.items()}}

    # --- runs --------------------------------------------------------------------------------------------

    def upsert_bucket(self, values: Arguments) -> Node:
        run, inserted = self.store.upsert_run(values, self.client_id)
        bucket = self.schema.run(run)
        return {"__typename": "UpsertBucketPayload", "bucket": bucket, "inserted": inserted}

    def delete_run(self, values: Arguments) -> Node:
        self.store.delete_run(values["id"])
        return {"__typename": "DeleteRunPayload", "clientMutationId": values.get("clientMutationId"), "success": True}

    def create_run_files(self, values: Arguments) -> Node:
        run = self.store.get_run(values.get("entityName"), values["projectName"], values["runName"])
        files = [
            stored_file(self.schema.base_url, name, run_file_path(run, name), run.files.get(name, b""))
            for name in values["files"]
        ]
        return {
            "__typename": "CreateRunFilesPayload",
            "runID": run.storage_id,
            "uploadHeaders": [],
            "files": files,
        }

    def alert(self, values: Arguments) -> Node:
        run = self.store.get_run(values.get("entityName"), values["projectName"], values["runName"])
        run.alerts.append({key: values.get(key) for key in ("title", "text", "severity")})
        return {"__typename": "NotifyScriptableRunAlertPayload", "success": True}

    # --- artifacts ---------------------------------------------------------------------------------------

    def create_artifact(self, values: Arguments) -> Node:
        artifact = self.store.create_artifact(values)
        return {"__typename": "CreateArtifactPayload", "artifact": self.schema.artifacts.version(artifact)}

    def create_manifest(self, values: Arguments) -> Node:
        return self._manifest(self.store.get_artifact(values["artifactID"]), "CreateArtifactManifestPayload")

    def update_manifest(self, values: Arguments) -> Node:
        wanted = values["artifactManifestID"]
        for artifact in self.store.artifacts:
            if opaque_id("ArtifactManifest", artifact.id) == wanted:
                return self._manifest(artifact, "UpdateArtifactManifestPayload")
        raise GraphQLError(f"artifact manifest {wanted} not found", status=404)

    def _manifest(self, artifact: Artifact, typename: str) -> Node:
        view = self.schema.artifacts.version(artifact) or {}
        return {"__typename": typename, "artifactManifest": view["currentManifest"]}

    def create_artifact_files(self, values: Arguments) -> Node:
        edges = []
        for spec in values["artifactFiles"]:
            artifact = self.store.get_artifact(spec["artifactID"])
            path = f"{storage_path(artifact)}/{hex_digest(spec['md5'])}"
            node = {
                **stored_file(self.schema.base_url, spec["name"], path, b""),
                "uploadMultipartUrls": None,
                "artifact": self.schema.artifacts.version(artifact),
            }
            edges.append({"__typename": "FileEdge", "node": node})
        files = {"__typename": "FileConnection", "edges": edges}
        return {"__typename": "CreateArtifactFilesPayload", "files": files}

    def commit_artifact(self, values: Arguments) -> Node:
        artifact = self.store.get_artifact(values["artifactID"])
        self.store.commit(artifact)
        return {"__typename": "CommitArtifactPayload", "artifact": self.schema.artifacts.version(artifact)}

    def use_artifact(self, values: Arguments) -> Node:
        artifact = self.store.get_artifact(values["artifactID"])
        run = self.store.get_run(values.get("entityName"), values["projectName"], values["runName"])
        self.store.use_artifact(artifact, run)
        return {"__typename": "UseArtifactPayload", "artifact": self.schema.artifacts.version(artifact)}

    def update_artifact(self, values: Arguments) -> Node:
        artifact = self.store.get_artifact(values["artifactID"])
        if values.get("metadata") is not None:
            artifact.metadata = json.loads(values["metadata"])
        if values.get("description") is not None:
            artifact.description = values["description"]
        if values.get("aliases") is not None:
            artifact.aliases = []
            self.store.move_aliases(artifact, [alias["alias"] for alias in values["aliases"]])
        return {"__typename": "UpdateArtifactPayload", "artifact": self.schema.artifacts.version(artifact)}

    def delete_artifact(self, values: Arguments) -> Node:
        artifact = self.store.get_artifact(values["artifactID"])
        artifact.state, artifact.aliases = "DELETED", []
        return {"__typename": "DeleteArtifactPayload", "artifact": self.schema.artifacts.version(artifact)}

    def add_aliases(self, values: Arguments) -> Node:
        artifact = self.store.get_artifact(values["artifactID"])
        self.store.move_aliases(artifact, [alias["alias"] for alias in values["aliases"]])
        return {"__typename": "AddAliasesPayload", "success": True}

    def delete_aliases(self, values: Arguments) -> Node:
        artifact = self.store.get_artifact(values["artifactID"])
        gone = {alias["alias"] for alias in values["aliases"]}
        artifact.aliases = [alias for alias in artifact.aliases if alias not in gone]
        return {"__typename": "DeleteAliasesPayload", "success": True}


def taking_input(resolver: Resolver) -> Resolver:
    """All mutations have one argument, `input`."""
    return lambda arguments: resolver(arguments["input"])
