"""Start and stop the server in a thread of the test's own process, and read what it recorded."""

from __future__ import annotations

import copy
import socket
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

import uvicorn

from tests.wandb_server.app import Api, Call
from tests.wandb_server.faults import Fault
from tests.wandb_server.records import Artifact, Run
from tests.wandb_server.store import Store

API_KEY = "0123456789abcdef" * 2 + "wandbsrv"  # 40 characters, as the clients demand since 0.25

START_TIMEOUT = 20.0


class WandbServer:
    """A running server. Make one with `WandbServer.start()`."""

    def __init__(self, api: Api, listener: socket.socket, certificate: Path | None = None) -> None:
        self._api = api
        self._listener = listener
        self._scheme = "https" if certificate else "http"
        self._server = uvicorn.Server(
            uvicorn.Config(
                api.application(),
                http=api.protocol(),
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_level="warning",
                timeout_graceful_shutdown=1,
                ssl_certfile=certificate,
            )
        )
        self._thread = threading.Thread(target=self.serve, name="wandb-server", daemon=True)

    @classmethod
    def start(
        cls,
        host: str = "127.0.0.1",
        port: int = 0,
        api_keys: Collection[str] = (API_KEY,),
        entity: str = "acme",
        strict_client_ids: bool = True,
        certificate: Path | None = None,
    ) -> WandbServer:
        """Serve in a daemon thread; return when it answers.

        Args:
            host: Where to listen.
            port: 0 takes a free one.
            api_keys: Those that are accepted.
            entity: Of the keys' owner.
            strict_client_ids: Whether a client ID with two digests is an error, as for W&B.
            certificate: A file with the certificate and its key; with one, the server speaks TLS.
        """
        server = cls.bind(host, port, api_keys, entity, strict_client_ids, certificate)
        server._thread.start()
        deadline = time.monotonic() + START_TIMEOUT
        while not server._server.started:
            if not server._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the W&B test server did not start")
            time.sleep(0.005)
        return server

    @classmethod
    def bind(
        cls,
        host: str,
        port: int,
        api_keys: Collection[str],
        entity: str,
        strict_client_ids: bool,
        certificate: Path | None = None,
    ) -> WandbServer:
        """Listen, do not serve yet: connections wait in the backlog."""
        listener = socket.create_server((host, port), backlog=128)
        return cls(Api(Store(entity, strict_client_ids), api_keys), listener, certificate)

    def serve(self) -> None:
        """Serve in this thread until stopped (from the main thread: until SIGTERM or SIGINT too)."""
        self._server.run(sockets=[self._listener])

    def stop(self, *, wait: bool = True) -> None:
        """Stop at once, whatever is in flight.

        Args:
            wait: Whether it is to be over when this returns, which takes 0.2 s.
        """
        self._server.should_exit = self._server.force_exit = True
        if wait:
            self._thread.join(START_TIMEOUT)
            self._listener.close()

    def __enter__(self) -> WandbServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._listener.getsockname()[:2]
        return f"{self._scheme}://{host}:{port}"

    def environment(self) -> dict[str, str]:
        """The variables that send a client here."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": next(iter(self._api.api_keys), API_KEY)}

    @property
    def runs(self) -> list[Run]:
        """A snapshot of the runs, in order of creation."""
        with self._api.lock:
            return copy.deepcopy(self._api.store.runs)

    def run(self) -> Run:
        """A snapshot of the only run."""
        runs = self.runs
        listing = "\n".join(f"  {run.path} {run.display_name!r} {run.state}" for run in runs)
        assert len(runs) == 1, f"expected one run, found {len(runs)}:\n{listing}"
        return runs[0]

    @property
    def artifacts(self) -> list[Artifact]:
        """A snapshot of the artifact versions, in order of creation."""
        with self._api.lock:
            return copy.deepcopy(self._api.store.artifacts)

    @property
    def unknown(self) -> list[str]:
        """What clients asked for and the double lacks; a test with any should fail."""
        return list(self._api.unknown)

    @property
    def requests(self) -> list[Call]:
        """All requests: method, path, operation name, status (0: left without an answer)."""
        return list(self._api.requests)

    def set_fault(self, fault: Fault) -> None:
        """Switch a fault on, next to those that are."""
        self._api.faults.add(fault)

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self._api.faults.clear()
