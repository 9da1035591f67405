"""The configuration that Hydra has composed, as the task's function gets it, and the overrides of the command line.

`run_job` calls Hydra's callbacks right before the task's function, to which it gives the configuration without the key
`hydra` (hydra/core/utils.py 1.3, `run_job`; since 1.1).

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import omegaconf, parsed, wrapping


def apply(module: ModuleType) -> None:
    """Watch the beginning of a job."""
    wrapping.required(module.Callbacks, "on_job_start", _tell, title=parsed.TITLE.format("Hydra"))


def _tell(result: None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    config = wrapping.argument(args, kwargs, 1, "config")
    if content.wanted(content.CONFIG):
        content.config(omegaconf.resolved(config, without="hydra"))
        content.config({"overrides": list(config.hydra.overrides.task)}, under="hydra")
