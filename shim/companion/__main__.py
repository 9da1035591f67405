"""The companion's program: `python … shim/companion/__main__.py PID`, started by script/start.py and by nobody else.

The package is loaded by its path, under the name that it has in the script's process: no entry of this process's
sys.path has a `shim`.
"""

import os
import sys
import types


def load() -> "types.ModuleType":
    """Load the package, and return its module `companion.main`."""
    package = types.ModuleType("_wandb_shim")
    package.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    sys.modules["_wandb_shim"] = package
    import importlib

    return importlib.import_module("_wandb_shim.companion.main")


if __name__ == "__main__":
    sys.path.pop(0)  # the directory of this file
    load().main()
