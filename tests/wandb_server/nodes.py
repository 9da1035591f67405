"""Building blocks of answers: lists in pages, stored files, the summary of a history."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from tests.wandb_server.graphql import Node
from tests.wandb_server.store import opaque_id


def connection(typename: str, nodes: Iterable[Node | None]) -> Node:
    """A GraphQL list: everything on one page."""
    edges = [
        {"__typename": f"{typename}Edge", "node": node, "cursor": str(index), "version": None}
        for index, node in enumerate(nodes)
        if node is not None
    ]
    page = {"__typename": "PageInfo", "hasNextPage": False, "endCursor": None}
    return {
        "__typename": f"{typename}Connection",
        "edges": edges,
        "pageInfo": page,
        "totalCount": len(edges),
    }


def history_keys(history: list[dict[str, Any]]) -> dict[str, Any]:
    """What wandb.Api reads to learn the last step and the logged names."""
    names = {name for row in history for name in row}
    steps = [int(row["_step"]) for row in history if "_step" in row]
    keys = {name: {"typeCounts": [{"type": "number", "count": len(history)}]} for name in sorted(names)}
    return {"keys": keys, "lastStep": max(steps, default=-1), "sets": []}


def stored_file(base_url: str, name: str, path: str, data: bytes) -> Node:
    """A stored file, with the URL to fetch it from."""
    url = f"{base_url}/storage/{path}"
    digest = hashlib.md5(data).hexdigest()
    return {
        "__typename": "File",
        "id": opaque_id("File", path),
        "name": name,
        "displayName": name,
        "url": url,
        "directUrl": url,
        "uploadUrl": url,
        "uploadHeaders": [],
        "sizeBytes": len(data),
        "mimetype": "application/octet-stream",
        "storagePath": path,
        "updatedAt": None,
        "digest": digest,
        "md5": digest,
    }
