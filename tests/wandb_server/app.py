"""The HTTP side: routes, the API key, compressed bodies, faults, and the log of all requests."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.wandb_server.faults import Fault, Faults
from tests.wandb_server.file_stream import CLIENT_HEADER, apply_chunk
from tests.wandb_server.graphql import Document, Execution, GraphQLError, parse
from tests.wandb_server.introspection import introspected
from tests.wandb_server.mutations import Mutations
from tests.wandb_server.schema import Schema
from tests.wandb_server.store import Store

# The real API to a key it does not know, as users quote it (wandb/wandb#9620).
NOT_LOGGED_IN = "user is not logged in"

NO_ANSWER = 0  # the status in the log of a request that got none

Call = tuple[str, str, str, int]  # method, path, operation name, status


class Api:
    """The state of one server and its request handlers."""

    def __init__(self, store: Store, api_keys: Collection[str]) -> None:
        self.store = store
        self.api_keys = frozenset(api_keys)
        self.faults = Faults()
        self.requests: list[Call] = []
        self.unknown: list[str] = []
        self.lock = threading.Lock()  # tests read from their own thread
        self.transports: dict[tuple[str, int], asyncio.Transport] = {}

    def application(self) -> Starlette:
        """The ASGI application."""
        everything = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]
        routes = [
            Route("/_test/state", self.state, methods=["GET"]),
            Route("/_test/faults", self.change_faults, methods=["POST", "DELETE"]),
            Route("/graphql", self.recorded(self.graphql), methods=["POST"]),
            Route(
                "/files/{entity}/{project}/{run}/file_stream",
                self.recorded(self.file_stream),
                methods=["POST"],
            ),
            Route("/storage/runs/{entity}/{project}/{run}/{name:path}", self.recorded(self.run_file)),
            Route("/storage/artifacts/{artifact}/{name}", self.recorded(self.artifact_file)),
            Route("/artifactsV2/{region}/{entity}/{artifact}/{name}", self.recorded(self.artifact_file)),
            Route("/sdk/otel/v1/{signal}", self.recorded(self.telemetry), methods=["POST"]),
            Route("/{path:path}", self.recorded(self.not_found), methods=everything),
        ]
        for route in routes:
            if route.path.startswith(("/storage", "/artifactsV2")):
                route.methods = {"GET", "HEAD", "PUT"}
        return Starlette(routes=routes)

    def recorded(self, handler: Callable[[Request, bytes], Response]) -> Callable[[Request], Awaitable[Response]]:
        """Wrap a handler: read the body, meet the faults, log the request, turn errors into answers."""

        async def handle(request: Request) -> Response:
            pause, pieces = self.faults.pause(request.url.path), []
            async for piece in request.stream():
                pieces.append(piece)
                await asyncio.sleep(pause)
            body = b"".join(pieces)
            encoding = request.headers.get("content-encoding", "identity")
            if encoding == "gzip":
                body = gzip.decompress(body)
            operation = operation_name(body) if request.url.path == "/graphql" else ""
            fault = self.faults.next(operation, request.url.path)
            if fault is not None:
                response = await self.misbehave(fault, request)
                if response is not None:
                    status = NO_ANSWER if fault.kind != "status" else response.status_code
                    self.requests.append((request.method, request.url.path, operation, status))
                    return response
            with self.lock:
                try:
                    if encoding not in ("identity", "gzip"):
                        raise GraphQLError(f"content encoding {encoding}", status=415, unknown=True)
                    response = handler(request, body)
                except GraphQLError as error:
                    if error.unknown:
                        self.unknown.append(f"{operation or request.url.path}: {error}")
                    response = error_response(error.status, str(error))
                except Exception as error:
                    # A gap in the double. Not 500: the clients would repeat the request for hours.
                    self.unknown.append(f"{operation or request.url.path}: {error!r}")
                    response = error_response(400, repr(error))
                self.requests.append((request.method, request.url.path, operation, response.status_code))
            return response

        return handle

    async def misbehave(self, fault: Fault, request: Request) -> Response | None:
        """Do what the fault says. The answer is sent in place of the real one, None goes on to it."""
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
            return None
        if fault.kind == "status":
            headers = {"Retry-After": "1"} if fault.status == 429 else {}
            return error_response(fault.status, f"fault: status {fault.status}", headers)
        client = request.client
        transport = self.transports.get((client.host, client.port)) if client else None
        if fault.kind == "hang":
            while not await request.is_disconnected() and not (transport and transport.is_closing()):
                await asyncio.sleep(0.05)
        elif transport is not None:
            if fault.kind == "reset":
                # Closing with a linger time of zero sends RST in place of FIN.
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            transport.abort()
        return Response(status_code=500)  # goes nowhere: the connection is gone

    # --- the API -----------------------------------------------------------------------------------------

    def check_key(self, request: Request) -> None:
        """Basic authentication as `api:<key>`, as all clients do; 401 in the API's form otherwise."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        user_and_key = ""
        with contextlib.suppress(ValueError):
            user_and_key = base64.b64decode(credentials).decode()
        if scheme != "Basic" or user_and_key.removeprefix("api:") not in self.api_keys:
            raise GraphQLError(NOT_LOGGED_IN, status=401)

    def graphql(self, request: Request, body: bytes) -> Response:
        """Answer one operation."""
        asked: dict[str, Any] = json.loads(body)
        document = parse(asked["query"])
        try:
            self.check_key(request)
            data = self.execute(document, asked.get("variables") or {}, request)
        except GraphQLError as error:
            if error.unknown:
                self.unknown.append(f"{document.kind} {document.name}: {error}")
            return graphql_error_response(document, error)
        return JSONResponse({"data": data})

    def execute(self, document: Document, variables: dict[str, Any], request: Request) -> dict[str, Any]:
        """The `data` of an operation."""
        schema = Schema(self.store, f"{request.url.scheme}://{request.headers['host']}")
        root = {**schema.query(), "__type": lambda args: introspected(schema, args["name"])}
        if document.kind == "mutation":
            root = Mutations(schema, request.headers.get("x-wandb-client-id", "")).root()
        return Execution(document, variables).run(root)

    def file_stream(self, request: Request, body: bytes) -> Response:
        """Take a chunk of the run's files."""
        self.check_key(request)
        place = request.path_params
        run = self.store.get_run(place["entity"], place["project"], place["run"])
        client = self.store.shared_client(run, request.headers.get(CLIENT_HEADER, ""))
        apply_chunk(run, json.loads(body), client)
        return JSONResponse({"exitcode": run.exit_code, "limits": {}})

    def run_file(self, request: Request, body: bytes) -> Response:
        """Store or hand out a file of a run."""
        place = request.path_params
        run = self.store.get_run(place["entity"], place["project"], place["run"])
        return stored(request, body, run.files, place["name"])

    def artifact_file(self, request: Request, body: bytes) -> Response:
        """Store or hand out a file of an artifact, the manifest among them."""
        place = request.path_params
        artifact = self.store.get_artifact(place["artifact"])
        if place["name"] != "manifest":
            return stored(request, body, artifact.files, place["name"])
        if request.method == "PUT":
            artifact.manifest = json.loads(body)
            return Response()
        return JSONResponse(artifact.manifest)

    def telemetry(self, request: Request, body: bytes) -> Response:
        """OpenTelemetry of the client itself (since 0.31): accepted, of no interest."""
        return JSONResponse({})

    def not_found(self, request: Request, body: bytes) -> Response:
        """A path that the double lacks."""
        raise GraphQLError(f"no such path: {request.method} {request.url.path}", status=404, unknown=True)

    # --- for tests ---------------------------------------------------------------------------------------

    async def state(self, request: Request) -> Response:
        """Everything that was recorded."""
        with self.lock:
            return JSONResponse(
                {
                    "runs": [run.to_json() for run in self.store.runs],
                    "artifacts": [artifact.to_json() for artifact in self.store.artifacts],
                    "unknown": self.unknown,
                    "requests": self.requests,
                }
            )

    async def change_faults(self, request: Request) -> Response:
        """POST the fields of a Fault to switch it on; DELETE switches all off."""
        if request.method == "DELETE":
            self.faults.clear()
        else:
            self.faults.add(Fault(**await request.json()))
        return JSONResponse({})

    def protocol(self) -> type[H11Protocol]:
        """The HTTP protocol that lets faults reach the connection below a request."""
        transports = self.transports

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                transports[transport.get_extra_info("peername")[:2]] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client is not None:
                    transports.pop(self.client, None)
                super().connection_lost(exc)

        return Protocol


def operation_name(body: bytes) -> str:
    """The name of the GraphQL operation in a body; "" when there is none."""
    try:
        return parse(json.loads(body)["query"]).name
    except (ValueError, KeyError, TypeError, GraphQLError):
        return ""


def stored(request: Request, body: bytes, files: dict[str, bytes], name: str) -> Response:
    """PUT or GET one file."""
    if request.method == "PUT":
        files[name] = body
        return Response()
    return Response(files[name]) if name in files else Response(status_code=404)


def error_response(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """An error outside GraphQL."""
    return JSONResponse({"errors": [{"message": message}]}, status, headers)


def graphql_error_response(document: Document, error: GraphQLError) -> Response:
    """An error in the form of the real API: the failed field is null and named in `path`."""
    names = [selection.alias for selection in document.selections if hasattr(selection, "alias")]
    described: dict[str, Any] = {"message": str(error), "path": names}
    if error.status in (401, 403):
        described["extensions"] = {"code": "PERMISSION_ERROR"}
    return JSONResponse({"errors": [described], "data": dict.fromkeys(names)}, error.status)
