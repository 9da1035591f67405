"""A place for wandb's settings, logs and caches where the user has no home directory that can be written.

In containers that run as any user id (`docker run --user 4242`, OpenShift) there is none, or one that is read-only.
Then wandb.init fails (wandb/sdk/wandb_setup.py, 0.31.0, `_load_settings`), or its service logs to stderr; the latter
also where only HOME is not set (`env -i`). wandb's own variables lead it to where it can write.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import MutableMapping

from . import temporary

# https://docs.wandb.ai/guides/track/environment-variables, and their defaults below a home directory.
VARIABLES = {
    "WANDB_CONFIG_DIR": ".config/wandb",
    "WANDB_CACHE_DIR": ".cache/wandb",
    "WANDB_DATA_DIR": ".local/share/wandb",
}


def replace_missing(environ: MutableMapping[str, str]) -> None:
    """Set those of `VARIABLES` that are not set, where wandb would find no home by itself.

    Args:
        environ: The process's environment; left alone where HOME is set to a directory that can be written.

    Raises:
        OSError: There is no directory for temporary files either.
    """
    home = os.path.expanduser("~")  # HOME, else what /etc/passwd says
    if not os.access(home, os.W_OK):
        home = _own_directory()
    elif "HOME" in environ:
        return
    for name, below in VARIABLES.items():
        environ.setdefault(name, os.path.join(home, below))


def _own_directory() -> str:
    """A directory for temporary files that nobody else has made, nor can write in; kept for the next run.

    Raises:
        OSError: There is no directory for temporary files.
    """
    path = os.path.join(temporary.of_others(), f"wandb-shim-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode=0o700)
    found = os.lstat(path)
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return path
    return tempfile.mkdtemp(prefix="wandb-shim-", dir=temporary.of_others())
