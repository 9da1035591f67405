"""Fixtures of pytest-docker, fit for Compose 1 and 2, and a job on the network that they make."""

from __future__ import annotations

import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_docker.plugin import Services

from tests import containers, engine
from tests.containers import Cluster, ContainerJob
from tests.environments import environment_of


@pytest.fixture(scope="session")
def docker_compose_command() -> str:
    """The plugin `docker compose` where it is, else the program `docker-compose` (version 1)."""
    plugin = subprocess.run([engine.docker(), "compose", "version"], capture_output=True, check=False)
    return f"{engine.docker()} compose" if plugin.returncode == 0 else "docker-compose"


@pytest.fixture(scope="session")
def docker_setup() -> list[str]:
    """Version 1 knows no --wait; `cluster` waits."""
    return ["up --detach"]


@pytest.fixture(scope="session")
def docker_cleanup() -> list[str]:
    """At once: nothing in the service needs a graceful end."""
    return ["down --volumes --timeout 1"]


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    """The double of the W&B API."""
    return str(Path(__file__).with_name("compose.yaml"))


@pytest.fixture(scope="session", autouse=True)
def compose_variables() -> Iterator[None]:
    """What compose.yaml asks for, until the service is down again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_SHIM_TEST_BASE", containers.base_image())
        patch.setenv("WANDB_SHIM_TEST_TESTS", str(Path(containers.__file__).parent))
        patch.setenv("WANDB_SHIM_TEST_SERVER_PACKAGES", str(environment_of("server").site_packages.resolve()))
        yield


@pytest.fixture(scope="session")
def cluster(compose_variables: None, docker_services: Services, docker_compose_project_name: str) -> Cluster:
    """The network with the double of the W&B API on it, once that answers."""
    url = f"http://127.0.0.1:{docker_services.port_for('wandb', 8080)}"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/_test/state", timeout=5):
                return True
        except OSError:
            return False

    docker_services.wait_until_responsive(answers, timeout=60, pause=0.2)
    return Cluster(f"{docker_compose_project_name}_default", url)


@pytest.fixture
def job(cluster: Cluster, tmp_path: Path) -> ContainerJob:
    """A job in a project of its own."""
    directory = tmp_path / "job"
    directory.mkdir()
    directory.chmod(0o777)  # some containers run as another user
    return ContainerJob(cluster, directory, f"p{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def baked() -> str:
    """An image with the shim, and wandb, in it."""
    return containers.baked_image()
