"""The two calls by which a script asks for the job's run without knowing how it is configured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from . import environment, ranks
from .config import WandbConfig
from .script import attach, channel, merge


def init_wandb_from_env() -> Any | None:
    """Open the run that the environment describes, or hand over the one that is open.

    For scripts that want the run without naming a project. In a job of several ranks only the owner's call opens
    one.

    Returns:
        The `wandb.Run`; None where WANDB_PROJECT is not set, or this process does not own the job's run.
    """
    return init_wandb_if_configured(WandbConfig.from_env(os.environ))


def init_wandb_if_configured(
    config: WandbConfig | None, job_type: str | None = None, tags: Sequence[str] | None = None
) -> Any | None:
    """Open a run as `config` says, or hand over the open one with these settings merged in.

    Args:
        config: What to call the run and where it belongs; None or one without a project means no run.
        job_type: Instead of the config's.
        tags: In addition to the config's.

    Returns:
        The `wandb.Run`; None where there is none to open, or this process does not own the job's run.

    Raises:
        ImportError: wandb is not installed.
        wandb.Error: as `wandb.init` does.
    """
    if config is None or not config.enabled or not _may_open():
        return None
    import wandb

    arguments = {
        "project": config.project,
        "entity": config.entity,
        "name": config.run_name,
        "notes": config.notes,
        "group": config.group,
        "job_type": job_type or config.job_type,
        "tags": tuple(dict.fromkeys((*config.tags, *(tags or ())))) or None,
    }
    attach.apply(wandb)
    said = {name: value for name, value in arguments.items() if value is not None}
    opened = attach.job_run()
    if opened is None:
        return wandb.init(**said)
    merge.merge(opened, None, said)
    return opened


def _may_open() -> bool:
    """Whether an explicit call in this process may open the run: the rank's say, whatever the role."""
    if channel.current() is not None:
        return True
    contract = environment.Contract(os.environ)
    rank, world_size, _, _ = ranks.find_rank(os.environ)
    return rank == ranks.owner_rank(contract.owner, world_size)
