"""Track every unmodified training script of an image in Weights & Biases.

The public names load on first use, so that `import shim` stays light. Where the interpreter has started the shim
already, the names come from that copy (`_wandb_shim`, see sitecustomize.py), so that no process holds two.
"""

from __future__ import annotations

import sys

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import WandbConfig as WandbConfig
    from .patches.megatron_bridge import patch_wandb_checkpoint_logging as patch_wandb_checkpoint_logging
    from .patches.nemo_rl import patch_nemo_rl_checkpoint_logging as patch_nemo_rl_checkpoint_logging
    from .patches.wandb_runid import (
        patch_wandb_runid_for_seeded_random as patch_wandb_runid_for_seeded_random,
    )
    from .run import init_wandb_from_env as init_wandb_from_env
    from .run import init_wandb_if_configured as init_wandb_if_configured

_HOMES = {
    "WandbConfig": "config",
    "init_wandb_from_env": "run",
    "init_wandb_if_configured": "run",
    "patch_nemo_rl_checkpoint_logging": "patches.nemo_rl",
    "patch_wandb_checkpoint_logging": "patches.megatron_bridge",
    "patch_wandb_runid_for_seeded_random": "patches.wandb_runid",
}

__all__ = [
    "WandbConfig",
    "init_wandb_from_env",
    "init_wandb_if_configured",
    "patch_nemo_rl_checkpoint_logging",
    "patch_wandb_checkpoint_logging",
    "patch_wandb_runid_for_seeded_random",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    engine = "_wandb_shim" if "_wandb_shim" in sys.modules else __name__
    return getattr(import_module(f"{engine}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
