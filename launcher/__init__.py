"""Host half of wandb-shim: resolve the W&B environment of a job, build its nemo-run executor. Nothing is submitted.

The public names load on first use, so that `import launcher` stays light; nemo-run itself only when an executor is
built.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .build import build_executor as build_executor
    from .config import load_wandb_config as load_wandb_config
    from .environment import resolve_environment as resolve_environment
    from .ray import ray_runtime_env as ray_runtime_env

_HOMES = {
    "build_executor": "build",
    "load_wandb_config": "config",
    "ray_runtime_env": "ray",
    "resolve_environment": "environment",
}

__all__ = ["build_executor", "load_wandb_config", "ray_runtime_env", "resolve_environment"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
