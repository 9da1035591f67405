"""A place for wandb's settings, logs and caches where the user has no home directory that can be written.

In containers that run as any user id (`docker run --user 4242`, OpenShift) there is no home directory, or a read-only
one. Then wandb.init fails (wandb/sdk/wandb_setup.py, 0.31.0, `_load_settings`), or wandb's service logs to stderr, as
it also does where just HOME is not set (`env -i`). wandb's own variables lead it to a place where it can write.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import MutableMapping

from . import temporary

# wandb's variables (https://docs.wandb.ai/guides/track/environment-variables), with their defaults below a home
# directory.
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
    """A directory below that for temporary files which nobody else has made or can write; it is kept for the next run.

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
