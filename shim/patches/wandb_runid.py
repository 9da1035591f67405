"""Artifact client IDs that no seed and no fork can repeat.

Why: W&B refuses an artifact whose client ID it has seen with other contents ("Invalid Client ID digest"; it reaches
Python only through `artifact.wait()`). In wandb 0.23.1 `runid.generate_fast_id` draws from the global `random`, so
that after `random.seed(n)` two jobs make the same IDs, and the script's own random stream moves
(https://github.com/wandb/wandb/pull/11039). In 0.24.0 to 0.25.1 it draws from a private generator that forked
children inherit, so that siblings make the same IDs (https://github.com/wandb/wandb/pull/11491).

Remedy: under the name that the module draws from, give it the operating system's generator. So all uses of
`generate_fast_id` change, also where somebody has imported the function; a replaced function would not achieve that.

Remove when: wandb before 0.26.0 is no longer supported.
"""

from __future__ import annotations

import random
import sys
from types import ModuleType

MODULE = "wandb.sdk.lib.runid"


def patch_wandb_runid_for_seeded_random() -> bool:
    """Make artifact IDs independent of `random.seed` and of forks, whatever the wandb release.

    Harmless where the shim has already done it, and where the release has no such defect.

    Returns:
        Whether the installed wandb has the defect, which is now mended; False where wandb is not installed, too.
    """
    import importlib

    try:
        module = importlib.import_module(MODULE)
    except ImportError:
        return False
    return apply(module)


def apply(module: ModuleType) -> bool:
    """Replace the generator in `wandb.sdk.lib.runid` where it repeats; whether it is replaced, now or before."""
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
    """Whether the module reseeds its generator in forked children, as from 0.26.0 on; it imports `os` for that."""
    return getattr(module, "os", None) is sys.modules["os"]
