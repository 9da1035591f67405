"""A server with a certificate: the run is there where the job trusts it, else on disk, and one line says why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests import certificates
from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import WandbServer

SCRIPT = "import sys\nprint('trained')\nprint('noted', file=sys.stderr)\nsys.exit(3)\n"


@dataclass(frozen=True)
class Row:
    """A server, and what its client is told.

    Attributes:
        kind: Of its certificate.
        environ: Variables of the job; "{trusted}" stands for the file with what is to be trusted.
        refused: A word of the line that says why the run is kept; empty where it is sent.
    """

    kind: str
    environ: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""


TRUSTED = {"SSL_CERT_FILE": "{trusted}"}
ROWS = {
    "an authority that SSL_CERT_FILE names": Row("good", TRUSTED),
    # wandb-core is no Python and looks into SSL_CERT_FILE alone.
    "an authority that REQUESTS_CA_BUNDLE names": Row("good", {"REQUESTS_CA_BUNDLE": "{trusted}"}, "unknown authority"),
    "an authority that nobody knows": Row("good", refused="unknown authority"),
    "a file of authorities that is not there": Row("good", {"SSL_CERT_FILE": "/nowhere"}, "unknown authority"),
    "another host's": Row("of another host", TRUSTED, "cannot validate certificate for 127.0.0.1"),
    "an expired one": Row("expired", TRUSTED, "expired"),
    "self-signed": Row("self-signed", refused="unknown authority"),
    "self-signed and trusted": Row("self-signed", TRUSTED),
    "self-signed, not looked at": Row("self-signed", {"WANDB_INSECURE_DISABLE_SSL": "true"}),
}


@contextmanager
def with_certificate(job: Job, row: Row, directory: Path) -> Iterator[Job]:
    """The same job with a server that has the row's certificate."""
    directory.mkdir()
    file, trusted = certificates.make(row.kind, directory)
    with WandbServer.start(certificate=file) as server:
        told = {name: value.replace("{trusted}", str(trusted)) for name, value in row.environ.items()}
        environ = {**job.environ, **server.environment(), "WANDB_FINISH_TIMEOUT": "3", **told}
        yield replace(job, server=server, environ=environ)


@pytest.mark.parametrize("release", ["wandb-3.12", pytest.param("wandb-0.19.11", marks=pytest.mark.matrix)])
@pytest.mark.parametrize("name", ROWS)
def test_the_run_is_sent_to_a_trusted_server_else_kept(job: Job, tmp_path: Path, name: str, release: str) -> None:
    row, python = ROWS[name], python_of(release)
    job.write("train.py", SCRIPT)
    with with_certificate(job, row, tmp_path / "certificates") as there:
        done = there.run(python, "train.py", check=False)
        runs = there.server.runs
    assert (done.returncode, done.stdout) == (3, "trained\n"), done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line != "noted")
    if not row.refused:
        assert line.startswith("wandb-shim: run "), line
        assert [(run.exit_code, run.console_text()) for run in runs] == [(3, "trained\nnoted")]
        return
    assert row.refused in line, line
    assert not runs
    (directory,) = re.findall(r"wandb sync (/\S+)", line)
    (log,) = Path(directory).glob("*.wandb")
    assert b"trained" in log.read_bytes()


@pytest.mark.matrix
def test_what_was_kept_from_a_server_that_was_not_trusted_is_synced_once_it_is(job: Job, tmp_path: Path) -> None:
    python = python_of("wandb-3.12")
    job.write("train.py", SCRIPT)
    with with_certificate(job, Row("good"), tmp_path / "certificates") as there:
        done = there.run(python, "train.py", check=False)
        (directory,) = re.findall(r"wandb sync (/\S+)", done.stderr)
        trusted = str(tmp_path / "certificates" / "authority.pem")
        there.run(python.with_name("wandb"), "sync", directory, environ={"SSL_CERT_FILE": trusted})
        run = there.server.run()
    assert (run.exit_code, run.console_text()) == (3, "trained\nnoted")
