"""Stable-Baselines3: what an agent's logger dumps is a row of the run, and the agent's parameters the configuration.

`Logger.dump` (common/logger.py) gives all figures to its output formats and then forgets them, so they are taken before
that; figures that are not for TensorBoard are left out. The rows are those that W&B reads from TensorBoard's files of
the same program with `sync_tensorboard=True`. The parameters are those of wandb/integration/sb3/sb3.py that are plain
values; `BaseAlgorithm._setup_learn`, which is called at each `learn`, is watched for them.

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import wrapping

MODULES = ("stable_baselines3.common.logger", "stable_baselines3.common.base_class")

_TITLE = "what Stable-Baselines3 logs"
# Attributes of an agent that are told as text, and attributes that are no parameters.
_AS_TEXT = frozenset(["device", "policy_class", "observation_space", "action_space", "clip_range", "clip_range_vf"])
_STATE = frozenset(["num_timesteps", "start_time"])


def apply(module: ModuleType) -> None:
    """Watch the logger, or the beginning of a training.

    Raises:
        AttributeError: This release has nothing of the shape that is known.
    """
    if module.__name__ == MODULES[1]:
        wrapping.required(module.BaseAlgorithm, "_setup_learn", _learning, title=_TITLE)
    else:
        wrapping.required(module.Logger, "dump", wrapping.nothing, title=_TITLE, first=_tell)


def _tell(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not content.wanted(content.METRICS):
        return
    content.tells("stable_baselines3")
    logger, step = args[0], wrapping.argument(args, kwargs, 1, "step") or 0
    excluded = logger.name_to_excluded
    row = {name: value for name, value in logger.name_to_value.items() if "tensorboard" not in (excluded[name] or ())}
    figures = content.numbers(row)
    if figures:
        content.metrics({**figures, "global_step": step})


def _learning(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    agent = args[0]
    values: dict[str, Any] = {"algo": type(agent).__name__}
    for name, value in vars(agent).items():
        if name.startswith("_") or name in _STATE:
            continue
        if value is None or isinstance(value, bool | int | float | str | dict):
            values[name] = value
        elif name in _AS_TEXT:
            values[name] = content.as_text(value)
    content.config(values, under="stable_baselines3")
