"""Import wandb in the companion as the script would: its arguments, its module path, nothing of its own directory."""

from __future__ import annotations

import importlib.machinery
import os
import sys
import types
from types import ModuleType
from typing import Any

from .. import environment
from . import surroundings

# Keeps the module alive that runs here as `__main__`, once another has its name.
_kept: list[ModuleType] = []


class NoRunError(Exception):
    """No run can be had; the message says why, for people."""


def impersonate(hello: dict[str, Any]) -> None:
    """Let this process look to wandb like the script: arguments, program, modules.

    Args:
        hello: What script/start.py says of the script.
    """
    sys.argv = [surroundings.text(word) for word in hello["argv"]]
    main = types.ModuleType("__main__", hello["doc"])
    if hello["file"] is not None:
        main.__file__ = surroundings.text(hello["file"])
    main.__spec__ = None if hello["spec"] is None else importlib.machinery.ModuleSpec(hello["spec"], None)
    _kept.append(sys.modules["__main__"])
    sys.modules["__main__"] = main
    if hello["switch"] is None:
        os.environ.pop(environment.SWITCH, None)
    else:
        os.environ[environment.SWITCH] = hello["switch"]


def import_wandb(hello: dict[str, Any]) -> ModuleType:
    """Import wandb as the script would, and nothing from the script's own directory.

    Raises:
        NoRunError: There is no wandb that can be used.
    """
    path = hello["path"]
    directory = path[0] if hello["hides"] and path else None
    if directory is not None and _offers_another_wandb(directory, hello["file"] or ""):
        raise NoRunError("the job is not tracked: beside its script lies a wandb of its own")
    surroundings.prepare()
    impersonate(hello)
    _run_path_files()
    sys.path[:] = path[1:] if directory is not None else path
    sys.path_importer_cache.clear()
    wandb = _import()
    if "x_stats_pid" not in getattr(wandb.Settings, "model_fields", {}):
        raise NoRunError(f"wandb {wandb.__version__} is too old (0.19 is needed): the job is not tracked")
    if directory is not None:
        sys.path.append(directory)  # wandb lists the packages that are installed there, too
    return wandb


def _run_path_files() -> None:
    """Run .pth files, without which some packages cannot be imported (setuptools' distutils, editable installations).

    This is `site.main` without sitecustomize and usercustomize, which are somebody else's programs.
    """
    import site

    known: Any = site.venv(site.removeduppaths())
    if site.ENABLE_USER_SITE is None:
        site.ENABLE_USER_SITE = site.check_enableusersite()
    known = site.addusersitepackages(known)
    site.addsitepackages(known)


def _import() -> ModuleType:
    sys.modules["numpy"] = None  # type: ignore[assignment]  # wandb works without it, and a companion is to be small
    try:
        import wandb
    except ImportError as error:
        if error.name != "wandb":
            raise
        raise NoRunError("the wandb package is not installed for this interpreter: the job is not tracked") from None
    finally:
        del sys.modules["numpy"]
    if not getattr(wandb, "__file__", None):  # a bare `wandb/` of run files is a namespace package
        raise NoRunError("the wandb package is not installed for this interpreter: the job is not tracked")
    module: ModuleType = wandb
    return module


def _offers_another_wandb(directory: str, script: str) -> bool:
    if os.path.basename(script) == "wandb.py":  # the script itself has that name
        return False
    place = os.path.join(directory, "wandb")
    return os.path.isfile(place + ".py") or os.path.isfile(os.path.join(place, "__init__.py"))
