"""What the interpreter runs before any user code: start the shim, then the sitecustomize that this file shadows.

The copy in a directory of PYTHONPATH finds the shim beside itself. The copy that `shim install` puts into an
interpreter's stdlib directory has its two constants filled in.
"""

import os
import sys

HOME = os.path.dirname(__file__ if __file__.startswith("/") else os.path.abspath(__file__))
DISPLACED = ""  # the sitecustomize that was here before, if any


def start() -> None:
    """Load bootstrap.py as `_wandb_shim` and start it, once a process, whatever number of doors lead here."""
    if "_wandb_shim" in sys.modules:
        return
    # Loaded by path: with an entry on sys.path, `shim` would hide a script's own module of that name, and
    # importlib.util would make each start 1.45 times as long. Both modules are loaded in every interpreter.
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import spec_from_file_location

    package = HOME + "/shim"
    spec = spec_from_file_location("_wandb_shim", package + "/bootstrap.py", submodule_search_locations=[package])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["_wandb_shim"] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        module.start()
    except FileNotFoundError:
        del sys.modules["_wandb_shim"]  # the shim was removed and this door forgotten
    except Exception as error:
        if sys.stderr is not None:  # closed: print would take stdout
            print(f"wandb-shim: not started: {type(error).__name__}: {error}", file=sys.stderr)


def chain() -> None:
    """Run what Python would have run had this file not been here: the next sitecustomize, each file once.

    Searched are the entries of sys.path after our own directory. Those before it have none, or theirs called us.
    (Peers step aside by removing their directory from sys.path; for the stdlib directory that cannot be done.)
    """
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import PathFinder, spec_from_file_location

    done = sys.modules["_wandb_shim"].__dict__.setdefault("chained", set()) if "_wandb_shim" in sys.modules else set()
    here = os.path.dirname(__file__)
    done.add(__file__)
    following: "Iterable[ModuleSpec | None]"
    if DISPLACED:
        # A link that leads nowhere was nothing to Python, and is nothing to us.
        following = [spec_from_file_location("sitecustomize", DISPLACED)] if os.path.exists(DISPLACED) else []
    else:
        # As it stands there, or spelled otherwise (a trailing slash, a relative name), which is dearer to find out.
        entries = sys.path if here in sys.path else [os.path.abspath(entry) for entry in sys.path]
        after = entries[entries.index(here) + 1 :] if here in entries else entries
        following = (PathFinder.find_spec("sitecustomize", [entry]) for entry in after)
    for spec in following:
        # Without a loader: a directory of that name, which gives way to a module further on.
        if spec is None or spec.loader is None or spec.origin in done:
            continue
        done.add(spec.origin)
        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)
        return


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.machinery import ModuleSpec

start()
if __name__ == "sitecustomize":  # not where a .pth file or a test imports this under another name
    chain()
