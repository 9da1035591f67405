"""The Docker engine of this machine, and the images that tests make with it: nothing is pulled."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from tests.environments import CACHE, locked

DEBIAN = "debian"
_PREFIX = "wandb-shim-test"


def docker(*arguments: str, stdin: int | None = None) -> str:
    """Run one docker command; what it printed.

    Raises:
        AssertionError: It failed; the message has what it said.
    """
    done = subprocess.run(
        ["docker", *arguments], stdin=stdin, capture_output=True, text=True, errors="replace", timeout=600, check=False
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def image(name: str, context: Path | None = None, **arguments: str) -> str:
    """The name of an image, made if need be; safe under pytest-xdist.

    Args:
        name: What it is called.
        context: The directory of its Dockerfile; None for Debian itself.
        arguments: Build arguments.
    """
    files = sorted(context.iterdir()) if context else []
    definition = repr([name, arguments, [(file.name, file.read_bytes()) for file in files]])
    tag = f"{_PREFIX}-{name}:{hashlib.sha256(definition.encode()).hexdigest()[:10]}"
    with locked(CACHE / "images" / tag.replace(":", "-")):
        if not docker("images", "--quiet", tag).strip():
            if context is None:
                _import_debian(tag)
            else:
                options = [word for item in arguments.items() for word in ("--build-arg", "=".join(item))]
                docker("build", "--quiet", "--network", "host", "--tag", tag, *options, str(context))
    return tag


def _import_debian(tag: str) -> None:
    packages = "python3,python3-venv,ca-certificates"
    with tempfile.TemporaryDirectory(prefix="wandb-shim-debian-") as scratch:
        command = ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", scratch]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with subprocess.Popen(["tar", "-C", scratch, "-c", "."], stdout=subprocess.PIPE) as packed:
            assert packed.stdout is not None
            docker("import", "-", tag, stdin=packed.stdout.fileno())
