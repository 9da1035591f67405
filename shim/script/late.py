"""Do for a run that is open already what wandb does for arguments of `wandb.init` while it opens a run.

At the start wandb's service saves the main script as `code/…` among the run's files, and the path stands in the config
(wandb/sdk/wandb_init.py, `code_path`); a code directory is logged as an artifact (`Run._on_start`). Some settings are
read in Python each time wandb needs them; the others were given to wandb's service when the run was opened.

Remove when: wandb merges the arguments of a second init into the active run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any

from .. import log

# Fields of wandb.Settings that wandb reads in Python when it needs them, the same from 0.19 to 0.31.
_READ_AT_USE = frozenset(
    {
        *("quiet", "silent", "show_colors", "show_emoji", "show_errors", "show_info", "show_warnings"),
        *("summary_timeout", "summary_warnings", "max_end_of_run_history_metrics", "max_end_of_run_summary_metrics"),
        *("allow_media_symlink", "allow_offline_artifacts", "table_raise_on_max_row_limit_exceeded"),
        *("finish_timeout", "finish_timeout_raises", "strict", "symlink"),
    }
)


def follow(opened: Any, asked: dict[str, Any]) -> None:
    """Do what can still be done of what was asked, and take that out of `asked`."""
    import wandb

    if asked.pop("sync_tensorboard", asked.pop("tensorboard", False)):
        with contextlib.suppress(ValueError):  # patched already
            wandb.tensorboard.patch()
    if asked.pop("monitor_gym", False):
        wandb.sdk.wandb_init._monkeypatch_openai_gym()
    try:
        _save_code(opened, asked.pop("save_code", None), asked.pop("code_dir", None))
    except Exception as error:  # no reason for the script's init to fail
        log.warn(f"the code was not saved: {type(error).__name__}: {error}")
    for name in _READ_AT_USE & asked.keys():
        with contextlib.suppress(Exception):  # this release does not take the value
            setattr(opened._settings, name, asked.pop(name))


def _save_code(opened: Any, wanted: bool | None, directory: str | None) -> None:
    settings = opened._settings
    if wanted and not settings.save_code and not settings.disable_code:
        settings.save_code = True
        if settings.program_relpath and settings.program_abspath:
            name = os.path.join("code", settings.program_relpath)
            copy = os.path.join(opened.dir, name)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copyfile(settings.program_abspath, copy)
            opened._set_config_wandb("code_path", name)
            opened.save(copy, base_path=opened.dir, policy="now")
    if directory is not None and settings.save_code:
        opened.log_code(directory)
