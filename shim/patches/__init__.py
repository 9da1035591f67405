"""Patches of other people's libraries, applied right after the module that they change is imported."""

# Names for WANDB_SHIM_SKIP: the modules of this package that HOOKS of sitecustomize.py names (a test compares them).
NAMES = frozenset({"megatron_bridge", "megatron_lm", "nemo_rl", "ray_wandb", "wandb_runid"})
