"""A real Slurm behind a real SSH login, in a container of one test's own."""

from __future__ import annotations

import functools
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.containers import bake, base_image, digest, locked, run_docker, wheels
from tests.environments import REPOSITORY
from tests.ports import free_ports, listens

START_S = 60.0


@dataclass(frozen=True)
class SlurmCluster:
    """A running cluster of one node with two CPUs.

    Attributes:
        container: The container's id.
        port: Where its SSH server listens, on 127.0.0.1.
        identity: The private key that logs in as `user`.
        tools: A directory for PATH with an `ssh` that trusts this host.
        user: Who submits.
        home: That user's home on the cluster.
    """

    container: str
    port: int
    identity: Path
    tools: Path
    user: str = "me"
    home: str = "/home/me"

    def run(self, *command: str) -> str:
        """Run a command there as root; what it printed."""
        return run_docker("exec", self.container, *command).stdout

    def only_job(self) -> str:
        """The number of the one job in the queue."""
        [number] = self.run("squeue", "--noheader", "--format", "%i").split()
        return number

    def state(self, number: str) -> str:
        """Slurm's word for a job's state: "RUNNING"."""
        shown = self.run("scontrol", "show", "job", number)
        return next(word for word in shown.split() if word.startswith("JobState=")).partition("=")[2]

    def wait_for(self, condition: Callable[[], bool], patience_s: float = 150) -> None:
        """Wait until something is so; where it does not come, fail with what the cluster says."""
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, self.report()
            time.sleep(0.5)

    def log(self) -> str:
        """What the jobs have written to their logs so far."""
        return self.run("find", self.home, "-name", "*.out", "-exec", "cat", "{}", "+")

    def report(self) -> str:
        """The jobs, their logs, and Slurm's own."""
        return self.run("sh", "-c", "scontrol show job; tail -n 40 /var/log/slurm/*.log") + self.log()

    def copy_of(self, folder: str, to: Path) -> Path:
        """Everything below one of its directories, copied here."""
        run_docker("cp", f"{self.container}:{folder}/.", to)
        return to


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[SlurmCluster]:
    """A cluster whose Python is baked and has wandb."""
    identity = tmp_path / "identity"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", identity], check=True)
    tools = tmp_path / "tools"
    tools.mkdir()
    # What a user has in ~/.ssh, which ssh looks for in the home of passwd, not in $HOME.
    options = f"-o UserKnownHostsFile={tmp_path}/known_hosts -o StrictHostKeyChecking=accept-new"
    (tools / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh {options} "$@"\n')
    (tools / "ssh").chmod(0o755)

    ports = dict(zip(("SSH_PORT", "SLURMCTLD_PORT", "SLURMD_PORT"), free_ports(3), strict=True))
    variables = {**ports, "AUTHORIZED_KEY": identity.with_suffix(".pub").read_text().strip()}
    arguments = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    arguments += ["--network", "host", "--hostname", "slurm", "--add-host", "slurm:127.0.0.1"]
    container = run_docker("run", "--detach", *arguments, slurm_image()).stdout.strip()
    cluster = SlurmCluster(container, ports["SSH_PORT"], identity, tools)
    try:
        cluster.wait_for(lambda: "idle" in cluster.run("sh", "-c", "sinfo --noheader || :"), START_S)
        cluster.wait_for(lambda: listens(cluster.port), START_S)
        yield cluster
    finally:
        run_docker("rm", "--force", "--volumes", container)


@functools.cache
def slurm_image() -> str:
    """Debian with Slurm and a baked Python that has wandb, made on first use; safe under pytest-xdist."""
    context = REPOSITORY / "docker" / "slurm"
    base = f"wandb-shim-slurm:{digest(context)}"
    name = f"wandb-shim-slurm:{digest(context, REPOSITORY / 'shim', REPOSITORY / 'docker')}"
    with locked("slurm"):
        if run_docker("image", "inspect", base, check=False).returncode:
            run_docker("build", "--network", "host", "--build-arg", f"BASE={base_image()}", "--tag", base, context)
        if run_docker("image", "inspect", name, check=False).returncode:
            bake(base, name, wheels=wheels())
    return name
