"""Certificates for a server at 127.0.0.1, made with openssl: good ones, and each that a client must refuse."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Kind:
    """What a certificate says.

    Attributes:
        names: What it is for, as subjectAltName spells it.
        days: How long it is valid from now on; negative: it has expired.
        signed: Whether an authority has signed it; otherwise it has signed itself.
    """

    names: str = "IP:127.0.0.1"
    days: int = 2
    signed: bool = True


KINDS = {
    "good": Kind(),
    "of another host": Kind(names="DNS:example.com"),
    "expired": Kind(days=-1),
    "self-signed": Kind(signed=False),
}


def make(kind: str, directory: Path) -> tuple[Path, Path]:
    """Make a certificate.

    Args:
        kind: Of KINDS.
        directory: An empty one.

    Returns:
        The server's file, with certificate and key; and what a client has to trust for it to be accepted.
    """
    wanted = KINDS[kind]
    names = ("-subj", "/CN=server", "-addext", f"subjectAltName={wanted.names}")
    if not wanted.signed:
        _openssl(directory, "req", "-x509", *_KEY, "-keyout", "key.pem", "-out", "made.pem", "-days", "2", *names)
        return _joined(directory), directory / "made.pem"
    authority = ("-keyout", "authority.key", "-out", "authority.pem", "-days", "2", "-subj", "/CN=authority")
    _openssl(directory, "req", "-x509", *_KEY, *authority)
    _openssl(directory, "req", *_KEY, "-keyout", "key.pem", "-out", "request.pem", *names)
    signing = ("-in", "request.pem", "-CA", "authority.pem", "-CAkey", "authority.key", "-copy_extensions", "copy")
    _openssl(directory, "x509", "-req", *signing, "-days", str(wanted.days), "-out", "made.pem")
    return _joined(directory), directory / "authority.pem"


def _joined(directory: Path) -> Path:
    both = directory / "server.pem"
    both.write_text((directory / "made.pem").read_text() + (directory / "key.pem").read_text())
    return both


def _openssl(directory: Path, *words: str) -> None:
    command: Sequence[str] = ("openssl", *words)
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
