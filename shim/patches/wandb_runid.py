"""Artifact client IDs that no seed and no fork can repeat.

Why: W&B refuses an artifact whose client ID it has seen with other contents ("Invalid Client ID digest"; it reaches
Python only through `artifact.wait()`). In wandb 0.23.1 `runid.generate_fast_id` draws from the global `random`, so
that after `random.seed(n)` two jobs make the same IDs, and the script's own random stream moves
(https://github.com/wandb/wandb/pull/11039). In 0.24.0 to 0.25.1 it draws from a private generator that forked
children inherit, so that siblings make the same IDs (https://github.com/wandb/wandb/pull/11491).

Remedy: give the module an operating-system RNG under the name it draws from. Every function that was imported from
the module follows, which a replaced `generate_fast_id` would not achieve.

Remove when: wandb before 0.26.0 is no longer supported.
"""

from __future__ import annotations

import random
import sys
from types import ModuleType

MODULE = "wandb.sdk.lib.runid"


def patch_wandb_runid_for_seeded_random() -> bool:
    """Make artifact IDs independent of `random.seed` and of forks, whatever the wandb release.

    Harmless where the shim has already done it and where the release has no such defect.

    Returns:
        Whether the loaded wandb has the defect, which is mended then; also False when wandb is not installed.
    """
    import importlib

    try:
        module = importlib.import_module(MODULE)
    except ImportError:
        return False
    return apply(module)


def apply(module: ModuleType) -> bool:
    """Swap the generator in `wandb.sdk.lib.runid` where it is one that repeats; say whether it was, or was before."""
    generate = getattr(module, "generate_fast_id", None)
    if generate is None:  # up to 0.23.0 all IDs come from `secrets`
        return False
    for name in ("random", "_random"):
        if name not in generate.__code__.co_names:
            continue
        source = getattr(module, name, None)
        if isinstance(source, random.SystemRandom):
            return True
        repeats = source is random or (isinstance(source, random.Random) and not _reseeded_after_fork(module))
        if repeats:
            setattr(module, name, random.SystemRandom())
            return True
    return False


def _reseeded_after_fork(module: ModuleType) -> bool:
    """From 0.26.0 the module reseeds its generator in forked children, and imports `os` to say so."""
    return getattr(module, "os", None) is sys.modules["os"]
