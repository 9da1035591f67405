"""Opening the run loads no numpy: the script's own import of it is the first.

Why: `import wandb` loads numpy where it is installed, for the types of its tables (wandb/sdk/data_types/_dtypes.py, the
same in 0.19 to 0.31), and numpy reads OMP_NUM_THREADS and OPENBLAS_NUM_THREADS once, when it is loaded. A script that
sets them in its first lines would come too late. So wandb is imported as if there were no numpy, which it supports, and
told once there is one.

Remove when: `import wandb` leaves numpy alone.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType

from .. import hooks


@contextlib.contextmanager
def without_numpy() -> Iterator[None]:
    """For the import of wandb; nothing to do where either is loaded already."""
    if "numpy" in sys.modules or "wandb" in sys.modules:
        yield
        return
    sys.modules["numpy"] = None  # type: ignore[assignment]  # "not to be had", says the import system
    try:
        yield
    finally:
        del sys.modules["numpy"]
        util = sys.modules.get("wandb.util")
        getattr(util, "_not_importable", set()).discard("numpy")
        hooks.after_import("numpy", apply)


def apply(numpy: ModuleType) -> None:
    """Make up for what the modules of wandb would have done at their import, had numpy been there."""
    for name, module in list(sys.modules.items()):
        if name.startswith("wandb.") and vars(module).get("np", numpy) is None:
            vars(module)["np"] = numpy
    types = sys.modules.get("wandb.sdk.data_types._dtypes")
    if types is not None:
        _register_types(types)


def _register_types(module: ModuleType) -> None:
    """Run the parts `if np: …` of the module, and file its types anew."""
    statements = ast.parse(inspect.getsource(module)).body
    parts: list[ast.stmt] = [part for part in statements if isinstance(part, ast.If) and ast.unparse(part.test) == "np"]
    exec(compile(ast.Module(parts, []), str(module.__file__), "exec"), vars(module))
    for kind in list(module.TypeRegistry.types_by_class().values()):
        module.TypeRegistry.add(kind)
    module.TypeRegistry.add(module.NDArrayType)  # without numpy it has no type to be found by
