"""A Docker engine for the length of one command: `python -m tests.engine -- COMMAND…`, which is how `make test` runs.

An engine that answers already is used as it is. Otherwise one is started for this command alone, where that is
possible (root, and dockerd is installed): with a socket of its own, its data in the clone, and an end with the command.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.environments import CACHE

# Images and containers of the engine that we start.
DATA = CACHE / "docker"
# Seconds.
START_BOUND = 60.0
STOP_BOUND = 30.0


class EngineUnavailableError(RuntimeError):
    """There is no engine and none can be started; the message says what to do."""


def docker() -> str:
    """The Docker client: Debian's where it is, since that one builds with BuildKit without a plugin."""
    client = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else shutil.which("docker")
    if client is None:
        raise EngineUnavailableError("no docker client: as root, apt-get install docker.io")
    return client


def answers(host: str | None = None) -> bool:
    """Whether an engine answers, at `host` or where the client looks by itself."""
    try:
        words = [docker(), *(["--host", host] if host else []), "version", "--format", "{{.Server.Version}}"]
    except EngineUnavailableError:
        return False
    return subprocess.run(words, capture_output=True, check=False, timeout=START_BOUND).returncode == 0


@contextlib.contextmanager
def engine() -> Iterator[dict[str, str]]:
    """The variables that lead a Docker client to an engine, which is there until the context ends.

    Raises:
        EngineUnavailableError: There is none, and none can be started.
    """
    if answers():
        yield {}
        return
    dockerd = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if os.getuid() != 0 or dockerd is None:
        raise EngineUnavailableError("no Docker engine answers; start one, or as root: apt-get install docker.io")
    # A socket's path has at most 107 bytes (unix(7)), so it does not lie in the clone.
    with tempfile.TemporaryDirectory(prefix="wandb-shim-engine-", ignore_cleanup_errors=True) as place:
        host = f"unix://{place}/docker.sock"
        with _started(dockerd, Path(place), host):
            yield {"DOCKER_HOST": host}


@contextlib.contextmanager
def _started(dockerd: str, place: Path, host: str) -> Iterator[None]:
    DATA.mkdir(parents=True, exist_ok=True)
    log = place / "dockerd.log"
    words = [dockerd, "--host", host, "--data-root", str(DATA.resolve()), "--exec-root", str(place / "exec")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*words, "--pidfile", place / "dockerd.pid"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + START_BOUND
        while not answers(host):
            if process.poll() is not None or time.monotonic() > until:
                raise EngineUnavailableError(f"dockerd did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_BOUND)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _unmount_below(place)


def _unmount_below(place: Path) -> None:
    """dockerd leaves the network namespace that its containers shared with the host mounted."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for target in reversed(mounted):
        if target.startswith(f"{place}/"):
            subprocess.run(["umount", target], check=False, capture_output=True)


def main(arguments: Sequence[str]) -> int:
    """Run a command with an engine; its exit code."""
    command = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # the engine ends with us
    try:
        with engine() as variables:
            return subprocess.run(command, env={**os.environ, **variables}, check=False).returncode
    except EngineUnavailableError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
