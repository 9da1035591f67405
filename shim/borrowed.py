"""A home for the processes of one command whose interpreters have no door: `shim run -- python train.py`.

PYTHONPATH leads the processes to the home; opentelemetry-instrument does the same. The home lies in the user's cache,
and its name is made from its content: all jobs of one version share a home, and no job changes the home of another.
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
        OSError: There is no place where a home can be written.
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
    """Whether nobody but this user can have put code into a directory."""
    found = place.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
