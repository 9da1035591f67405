# mypy: ignore-errors
"""Megatron-Bridge's own hooks, called as its checkpointing calls them, on checkpoints of a few bytes: no model, no GPU.

`megatron.bridge` imports every model there is, and its `common_utils` torch; the hooks need neither, but for a function
that prints. So these two places are held open.
"""

import importlib
import importlib.util
import os
import sys
import time
import types
from pathlib import Path


def bridge():
    places = importlib.util.find_spec("megatron").submodule_search_locations
    package = types.ModuleType("megatron.bridge")
    package.__path__ = [os.path.join(place, "bridge") for place in places]
    printing = types.ModuleType("megatron.bridge.utils.common_utils")
    printing.print_rank_last = print
    sys.modules.update({module.__name__: module for module in (package, printing)})
    return importlib.import_module("megatron.bridge.training.utils.wandb_utils")


hooks = bridge()


def write(path, files=2, text="weights"):
    Path(path).mkdir(parents=True, exist_ok=True)
    for number in range(files):
        Path(path, f"__{number}_0.distcp").write_text(text)


def save(step, directory="ckpts", name="", writer=None, files=2, text="weights", iteration=None):
    """Write a checkpoint, and call the hook; the seconds that it took."""
    path = os.path.join(directory, name or f"iter_{step:07d}")
    write(path, files, text)
    return call(path, directory, step if iteration is None else iteration, writer)


def call(path, directory, iteration, writer=None):
    start = time.perf_counter()
    hooks.on_save_checkpoint_success(path, directory, iteration, wandb_writer=writer)
    return time.perf_counter() - start


def load(step, directory="ckpts", writer=None):
    hooks.on_load_checkpoint_success(os.path.join(directory, f"iter_{step:07d}"), directory, writer)
