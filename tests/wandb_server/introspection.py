"""What old clients look up with `__type` before they use it; the newest ones (0.31) no longer ask."""

from __future__ import annotations

from tests.wandb_server.graphql import GraphQLError, Node
from tests.wandb_server.mutations import Mutations
from tests.wandb_server.nodes import stored_file
from tests.wandb_server.records import Artifact, Run
from tests.wandb_server.schema import Schema

INPUT_FIELDS = {
    "AddAliasesInput": ["artifactID", "aliases"],
    "CreateArtifactFileSpecInput": ["artifactID", "name", "md5", "artifactManifestID", "uploadPartsInput"],
    "CreateArtifactInput": [
        "entityName", "projectName", "runName", "artifactTypeName", "artifactCollectionName", "digest",
        "digestAlgorithm", "description", "aliases", "tags", "metadata", "historyStep", "clientID",
        "sequenceClientID", "distributedID", "enableDigestDeduplication", "ttlDurationSeconds",
    ],
    "DeleteFilesInput": ["files", "projectId"],
    "UseArtifactInput": ["artifactID", "entityName", "projectName", "runName", "usedAs"],
}  # fmt: skip


def introspected(schema: Schema, name: str) -> Node:
    """`__type(name: …)`: the names of its fields, taken from the views themselves."""
    specimens: dict[str, Node | None] = {
        "Artifact": schema.artifacts.version(Artifact("", "", "", "", "", "", "", "")),
        "File": stored_file("", "", "", b""),
        "Mutation": Mutations(schema).root(),
        "Project": schema.project_view("", ""),
        "Query": schema.query(),
        "Run": schema.run(Run("", "", "", "")),
        "ServerInfo": schema.server_info(),
    }
    view = specimens.get(name)
    if view is None and name not in INPUT_FIELDS:
        raise GraphQLError(f"no introspection of {name}", unknown=True)
    return {
        "__typename": "__Type",
        "name": name,
        "fields": None if view is None else named(list(view)),
        "inputFields": named(INPUT_FIELDS[name]) if name in INPUT_FIELDS else None,
    }


def named(names: list[str]) -> list[Node]:
    """Fields by their names; no client needs to know that they take arguments."""
    return [{"__typename": "__Field", "name": name, "args": []} for name in names]
