"""What wandb takes for granted in its process: a home directory, a working directory, variables that make sense."""

from __future__ import annotations

import os
import tempfile

from .. import environment
from . import home_directory, temporary

# The job's variables that are kept where wandb refuses to open a run: none of these can be wrong.
_HARMLESS = frozenset(
    {
        *(environment.PROJECT, environment.ENTITY, environment.NAME, "WANDB_RUN_GROUP", "WANDB_JOB_TYPE"),
        *("WANDB_NOTES", "WANDB_TAGS", "WANDB_SILENT", "WANDB_QUIET"),
    }
)
# Variables with paths. wandb encodes what it reads as UTF-8, so a path that is no UTF-8 leads nowhere.
_PATHS = (environment.DIR, "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR")


def prepare() -> None:
    """Give wandb a home, a working directory, and variables that it can read."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        value = text(os.environ[name])
        if value != os.environ[name]:
            if name in _PATHS:
                del os.environ[name]
            else:
                os.environ[name] = value
    key = os.environ.get(environment.API_KEY)
    if key is not None and key != key.strip():  # as in a secret that was made with `echo`; wandb refuses it
        os.environ[environment.API_KEY] = key.strip()
    for name in (environment.API_KEY, environment.RUN_ID):
        if not os.environ.get(name, "unset"):
            del os.environ[name]
    if os.environ.get(environment.MODE) == "dryrun":  # the old name of "offline"
        os.environ[environment.MODE] = "offline"
    # It names the service of whatever has started this job, which may end before this run does.
    os.environ.pop(environment.SERVICE, None)
    home_directory.replace_missing(os.environ)
    try:
        os.getcwd()
    except OSError:  # the working directory has been deleted
        os.chdir("/")
        os.environ.setdefault(environment.DIR, _directory())


def reduce_to_the_harmless() -> None:
    """Take away everything that wandb may have refused: most variables, and the settings files that it reads."""
    for name in [name for name in os.environ if name.startswith("WANDB_") and name not in _HARMLESS]:
        if not name.startswith("WANDB_SHIM"):
            del os.environ[name]
    directory = _directory()
    os.chdir(directory)  # old releases read `wandb/settings` of the working directory
    os.environ[environment.DIR] = os.environ["WANDB_CONFIG_DIR"] = os.environ["WANDB_CACHE_DIR"] = directory


def text(value: str) -> str:
    """The text with what is no UTF-8 replaced."""
    return value.encode(errors="surrogateescape").decode(errors="replace")


def _directory() -> str:
    return tempfile.mkdtemp(prefix="wandb-shim-", dir=temporary.of_others())
