"""Artifact versions, collections and memberships as the clients select from them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.wandb_server.graphql import Node
from tests.wandb_server.nodes import connection, stored_file
from tests.wandb_server.records import Artifact
from tests.wandb_server.store import opaque_id

if TYPE_CHECKING:
    from tests.wandb_server.schema import Schema


class ArtifactViews:
    """The artifact side of a Schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def version(self, artifact: Artifact | None) -> dict[str, Any] | None:
        """An artifact version."""
        if artifact is None:
            return None
        collection = self.collection(artifact.entity, artifact.project, artifact.collection, artifact)
        base_url, path = self.schema.base_url, storage_path(artifact)
        manifest = json.dumps(artifact.manifest).encode()

        def used_by(_: dict[str, Any]) -> Node:
            found = [self.schema.store.find_run(artifact.entity, artifact.project, run) for run in artifact.used_by]
            return connection("Run", [self.schema.run(run) for run in found])

        def created_by(_: dict[str, Any]) -> Node | None:
            run_id = artifact.run_id
            return (
                self.schema.run(self.schema.store.find_run(artifact.entity, artifact.project, run_id))
                if run_id
                else None
            )

        def alias(name: str) -> Node:
            return {
                "__typename": "ArtifactAlias",
                "id": opaque_id("ArtifactAlias", artifact.id, name),
                "alias": name,
                "artifactCollection": collection,
                "artifactCollectionName": artifact.collection,
            }

        return {
            "__typename": "Artifact",
            "id": artifact.id,
            "artifactSequence": collection,
            "artifactType": {"__typename": "ArtifactType", "name": artifact.type},
            "versionIndex": artifact.version,
            "description": artifact.description,
            "metadata": json.dumps(artifact.metadata),
            "ttlDurationSeconds": -2,  # "inherited" in the clients' own encoding
            "ttlIsInherited": True,
            "tags": [
                {"__typename": "Tag", "id": opaque_id("Tag", artifact.id, tag), "name": tag} for tag in artifact.tags
            ],
            "historyStep": artifact.history_step,
            "state": artifact.state,
            "size": artifact.size,
            "digest": artifact.digest,
            "digestAlgorithm": "MANIFEST_MD5",
            "commitHash": artifact.digest,
            "fileCount": len(artifact.entries),
            "createdAt": artifact.created_at,
            "updatedAt": artifact.created_at,
            "aliases": [alias(name) for name in artifact.aliases],
            "usedBy": used_by,
            "createdBy": created_by,
            "files": lambda _: self.files(artifact),
            "filesByManifestEntries": lambda _: self.files(artifact),
            "currentManifest": {
                "__typename": "ArtifactManifest",
                "id": opaque_id("ArtifactManifest", artifact.id),
                "file": stored_file(base_url, "wandb_manifest.json", f"{path}/manifest", manifest),
            },
        }

    def files(self, artifact: Artifact) -> Node:
        """The uploaded files of a version (references have none)."""
        files = []
        for name, entry in artifact.entries.items():
            if "ref" not in entry:
                digest = hex_digest(entry["digest"])
                data = artifact.files.get(digest, b"")
                files.append(stored_file(self.schema.base_url, name, f"{storage_path(artifact)}/{digest}", data))
        return connection("File", files)

    def membership(self, artifact: Artifact | None) -> Node | None:
        """A version as a member of its collection."""
        view = self.version(artifact)
        if artifact is None or view is None:
            return None
        return {
            "__typename": "ArtifactCollectionMembership",
            "id": opaque_id("ArtifactCollectionMembership", artifact.id),
            "versionIndex": artifact.version,
            "createdAt": artifact.created_at,
            "aliases": view["aliases"],
            "artifactCollection": view["artifactSequence"],
            "artifact": view,
            "files": view["files"],
        }

    def collection(self, entity: str, project: str, name: str, member: Artifact | None = None) -> Node | None:
        """A collection (the API calls it a sequence); None until a version of it was committed."""
        versions = self.schema.store.versions(entity, project, name)
        if not versions and member is None:
            return None

        def membership(args: dict[str, Any]) -> Node | None:
            return self.membership(self.schema.store.named_artifact(entity, project, f"{name}:{args['aliasName']}"))

        def artifacts(_: dict[str, Any]) -> Node:
            return connection("Artifact", [self.version(version) for version in reversed(versions)])

        return {
            "__typename": "ArtifactSequence",
            "id": opaque_id("ArtifactSequence", entity, project, name),
            "name": name,
            "description": "",
            "state": "READY",
            "createdAt": None,
            "updatedAt": None,
            "digestAlgorithm": "MANIFEST_MD5",
            "project": lambda _: self.schema.project(entity, project),
            "latestArtifact": lambda _: self.version(versions[-1] if versions else None),
            "artifactMembership": membership,
            "artifacts": artifacts,
        }

    def artifact_type(self, entity: str, project: str, name: str) -> Node | None:
        """A type of artifacts in a project; None until there is one."""
        if all(a.type != name for a in self.schema.store.artifacts if (a.entity, a.project) == (entity, project)):
            return None
        return {
            "__typename": "ArtifactType",
            "name": name,
            "artifact": lambda args: self.version(self.schema.store.named_artifact(entity, project, args["name"])),
            "artifactCollection": lambda args: self.collection(entity, project, args["name"]),
        }


def storage_path(artifact: Artifact) -> str:
    """Where the files of a version are stored, below /storage."""
    return f"artifacts/{quote(artifact.id, safe='')}"


def hex_digest(digest: str) -> str:
    """The hexadecimal form of a base64 MD5, under which the clients look for a file's content."""
    return base64.b64decode(digest).hex()
