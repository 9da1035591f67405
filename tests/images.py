"""Docker commands, and the images that tests make: nothing is pulled."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests import engine
from tests.environments import CACHE, REPOSITORY, locked

DEBIAN = "debian"
_PREFIX = "wandb-shim-test"


def docker(*arguments: str) -> str:
    """Run one docker command; what it printed.

    Raises:
        AssertionError: It failed; the message has what it said.
    """
    done = subprocess.run(
        [engine.docker(), *arguments], capture_output=True, text=True, errors="replace", timeout=600, check=False
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
                subprocess.run([REPOSITORY / "docker" / "base" / "make-base", "bookworm", tag], check=True)
            else:
                options = [word for item in arguments.items() for word in ("--build-arg", "=".join(item))]
                docker("build", "--quiet", "--network", "host", "--tag", tag, *options, str(context))
    return tag
