"""Post-import hooks: run a patch of ours right after a module's own code has run, and never break that import.

The finder of sitecustomize.py calls this module only for the names on its list. The other finders find the loader, and
for the length of one import an `exec_module` of ours shadows the loader's, on the instance. No smaller intrusion
survives LazyLoader, pkgutil, importlib.resources and reload: the loader keeps its type. A hook fires once, as wrapt's
hooks do; but an exception in a patch is a warning here, and not a broken import.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

from . import log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Patch = str | Callable[[ModuleType], object]  # a module of ours, or what to call


def find_spec(finder: Any, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """Ask the other finders for `name`, and see to it that the patch runs after the module's code."""
    patch = finder.waiting.pop(name)  # another finder may ask all finders again, this one included
    try:
        spec = _ask_others(finder, name, path, target)
    finally:
        # The patch waits until the module's code has run. Nothing may run now: where somebody only looks
        # (importlib.util.find_spec), where this is a namespace package, where the import fails.
        finder.waiting[name] = patch
    if name == "shim":
        return _own_package() if spec is None else spec
    if spec is not None and spec.loader is not None:
        _shadow_exec_module(finder, spec, patch)
    return spec


def after_import(name: str, function: Callable[[ModuleType], object]) -> None:
    """Call `function` with the module of that name once its code has run; at once if it has already."""
    if name in sys.modules:
        apply(function, sys.modules[name])
    else:
        sys.modules[__package__].finder.waiting[name] = function


def apply(patch: Patch, module: ModuleType) -> None:
    """Run a function, or `apply(module)` of one of our patches; a failure is one warning."""
    try:
        function = importlib.import_module(f".{patch}", __package__).apply if isinstance(patch, str) else patch
        function(module)
    except Exception as error:  # the script's import must not fail because of the patch
        log.warn(f"{_name_of(patch)} not applied to {module.__name__}: {type(error).__name__}: {error}")


def _name_of(patch: Patch) -> str:
    return patch.rpartition(".")[2] if isinstance(patch, str) else getattr(patch, "__name__", repr(patch))


def _ask_others(finder: Any, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    for other in sys.meta_path:
        find = getattr(other, "find_spec", None)  # a legacy finder has none
        if find is None or other is finder:
            continue
        spec: ModuleSpec | None = find(name, path, target)
        if spec is not None:
            return spec
    return None


def _shadow_exec_module(finder: Any, spec: ModuleSpec, patch: Patch) -> None:
    loader = spec.loader
    assert loader is not None
    original = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        if getattr(module.__spec__, "name", None) != spec.name:  # several modules share the loader (zipimport)
            return original(module)
        vars(loader).pop("exec_module", None)
        original(module)
        # Only from here on the hook is spent: a module that was only looked for, or has failed, is still waited for.
        return apply(patch, module) if finder.waiting.pop(spec.name, None) else None

    try:
        loader.exec_module = exec_module  # type: ignore[method-assign]
    except AttributeError:
        log.warn(f"{_name_of(patch)} not applied to {spec.name}: its {type(loader).__name__} takes no hook")


def _own_package() -> ModuleSpec | None:
    """`import shim` where no other module of that name is on the path: the public face of this package."""
    here = os.path.dirname(os.path.abspath(__file__))
    return importlib.util.spec_from_file_location(
        "shim", os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
