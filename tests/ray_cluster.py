"""A real Ray cluster on this machine, which takes jobs from Ray's own client."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import without_traces
from tests.environments import python_of
from tests.ports import free_ports

PATIENCE_S = 120.0


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster on this machine.

    Attributes:
        address: Where jobs are submitted.
        directory: Its logs and all else that it writes.
    """

    address: str
    directory: Path


def answers(address: str) -> bool:
    """Whether a head takes jobs there."""
    try:
        with urllib.request.urlopen(f"{address}/api/version", timeout=5) as answer:
            return int(answer.status) == 200
    except (OSError, urllib.error.URLError):
        return False


@pytest.fixture(scope="session")
def ray_cluster(shim_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A head whose every process has the shim and knows nothing of W&B; ended by pid, with all that it started.

    A start takes ten seconds: the tests that need one share it, and are of the group "ray" so that one worker has all.
    """
    python = python_of("launcher")
    # Ray's sockets lie below; the kernel allows their paths 107 bytes, which a directory of pytest's exceeds.
    directory = Path(tempfile.mkdtemp(prefix="ray-"))
    port, client_port = free_ports(2)
    command = [python, python.with_name("ray"), "start", "--head", "--block", "--num-cpus", "2", "--port", "0"]
    command += ["--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1", "--dashboard-port", str(port)]
    command += ["--ray-client-server-port", str(client_port), "--temp-dir", directory, "--disable-usage-stats"]
    home = tmp_path_factory.mktemp("ray-home")
    environ = without_traces(home) | {"PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(shim_home)}
    log = home / "head.log"
    with log.open("w") as output:
        head = subprocess.Popen([str(word) for word in command], env=environ, stdout=output, stderr=output)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE_S
        while not answers(address):
            assert head.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield RayCluster(address, directory)
    finally:
        end(head)
        shutil.rmtree(directory, ignore_errors=True)


def end(head: subprocess.Popen[bytes]) -> None:
    """End the head as its user would; what outlives it is killed."""
    processes = psutil.Process(head.pid).children(recursive=True)
    head.terminate()
    try:
        head.wait(30)
    except subprocess.TimeoutExpired:
        head.kill()
        head.wait()
    _, left = psutil.wait_procs(processes, timeout=10)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=10)
