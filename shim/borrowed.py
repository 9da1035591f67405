"""A home for one command's processes, where no interpreter of theirs has a door: `shim run -- python train.py`.

PYTHONPATH leads them to it, as opentelemetry-instrument does. It lies in the user's cache, named by what is in it, so
that all jobs of one version share it and none changes another's.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from . import install


def with_a_door(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with a door for each Python that is started in it.

    Args:
        environ: The environment of the command.

    Raises:
        OSError: Nowhere can a home be written.
    """
    rest = environ.get("PYTHONPATH")
    home = str(_home(environ))
    return {**environ, "PYTHONPATH": f"{home}:{rest}" if rest else home}


def _home(environ: Mapping[str, str]) -> Path:
    digest = hashlib.sha256()
    for path in sorted(install.SOURCE.rglob("*.py")):
        digest.update(str(path.relative_to(install.SOURCE)).encode() + b"\0" + path.read_bytes())
    cache = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".cache")
    folder = Path(cache) / "wandb-shim"
    home = folder / f"home-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if not home.exists():
            made = Path(tempfile.mkdtemp(prefix=".home-", dir=folder))
            install.write_home(made)
            with contextlib.suppress(OSError):  # another job was faster
                made.rename(home)
            shutil.rmtree(made, ignore_errors=True)
        if _is_ours(home):
            return home
    except OSError:
        pass
    home = Path(tempfile.mkdtemp(prefix="wandb-shim-home-"))
    install.write_home(home)
    return home


def _is_ours(place: Path) -> bool:
    """Whether nobody else can have put code into it."""
    found = place.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
