"""The pytest fixture; a conftest.py imports it: `from tests.wandb_server.fixture import wandb_server`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wandb_server.server import WandbServer


@pytest.fixture
def wandb_server() -> Iterator[WandbServer]:
    """A server of one test's own; the test fails when a client asked for something it lacks."""
    server = WandbServer.start()
    yield server
    server.stop(wait=False)
    assert not server.unknown, f"the W&B test server lacks: {server.unknown}"
