"""Where a key still lies readable: every file below a directory, and what is packed inside it."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator
from pathlib import Path


def files_with(secret: str, folder: Path) -> dict[str, str]:
    """Every file below a directory that has a secret.

    Args:
        secret: What to look for.
        folder: Where; links are not followed.

    Returns:
        By the file's name "clear", or "blob" where it is only in an encoded part.
    """
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            where = place_of(secret, path.read_bytes())
            if where:
                found[path.name] = where
    return found


def place_of(secret: str, content: bytes) -> str:
    """ "clear" or "blob"; "" where the secret is not in it."""
    if secret.encode() in content:
        return "clear"
    return "blob" if any(secret.encode() in blob for blob in _unpacked(content)) else ""


def _unpacked(content: bytes) -> Iterator[bytes]:
    """What lies in runs of base64 characters, uncompressed where it is zlib, and what lies in that."""
    for run in re.findall(rb"[A-Za-z0-9+/_-]{40,}={0,2}", content):
        try:
            decoded = base64.urlsafe_b64decode(run.replace(b"+", b"-").replace(b"/", b"_") + b"=" * (-len(run) % 4))
        except ValueError:
            continue
        try:
            decoded = zlib.decompress(decoded)
        except zlib.error:
            yield decoded
        else:
            yield decoded
            yield from _unpacked(decoded)
