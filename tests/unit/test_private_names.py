"""What of wandb the shim touches beside its public API: one list that may only become shorter.

Each name is what another release of wandb may have changed; `Where releases of wandb differ` in ARCHITECTURE.md and the
tests on six releases are there for that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SHIM = Path(__file__).parent.parent.parent / "shim"

# Modules of wandb that are no public API, as they are imported, named in a string or reached by attributes.
_MODULE = re.compile(r"wandb\.(sdk|apis|cli|errors|integration|proto|util)(\.[a-z_.]+)?$")
_BY_NAME = ("getattr", "setattr", "hasattr", "delattr")
# Private names that are not wandb's: Python's, the shim's own, and those of the libraries that it patches.
OTHERS = frozenset(
    {
        *("_exit", "_getframe", "_is_of_wandb_shim", "_kept"),
        *("_wandb_logger", "_GLOBAL_TENSORBOARD_WRITER", "_set_wandb_writer", "_finalize_thread", "_logdir"),
    }
)

# By file. MOST is their number: it may be lowered, never raised.
MOST = 48
TOUCHED: Mapping[str, tuple[str, ...]] = {
    "companion/artifacts.py": ("_attach", "_attach_id", "_tensorboard_callback"),
    "companion/job.py": ("_attach_id", "_is_finished", "_settings", "_start_time"),
    "companion/opening.py": (
        "_attach",
        "_show_info",
        "wandb.errors.term",
        "wandb.sdk.wandb_init",
        "wandb.sdk.wandb_setup",
    ),
    "patches/wandb_runid.py": ("wandb.sdk.lib.runid",),
    "script/asked.py": ("wandb.sdk.lib", "wandb.sdk.wandb_helper", "wandb.sdk.wandb_setup"),
    "script/attach.py": ("_attach_id", "_settings"),
    "script/attached.py": (
        "_active_runs",
        "_attach",
        "_backend",
        "_connection",
        "_finalizer",
        "_header",
        "_interface",
        "_is_attached",
        "_is_finished",
        "_proc",
        "_settings",
        "_shared_service_notice_shown",
        "_singleton",
        "_start_time",
        "_wl",
        "wandb.integration",
        "wandb.sdk.lib.module.unset_globals",
        "wandb.sdk.lib.service.service_token",
        "wandb.sdk.lib.service_token",
        "wandb.sdk.wandb_init",
    ),
    "script/children.py": ("_is_finished", "wandb.sdk.lib.module.unset_globals"),
    "script/late.py": (
        "_monkeypatch_openai_gym",
        "_set_config_wandb",
        "_settings",
        "wandb.integration",
        "wandb.sdk.wandb_init._monkeypatch_openai_gym",
    ),
    "script/merge.py": ("_settings",),
    "script/start.py": ("_attach_id",),
    "sitecustomize.py": ("wandb.sdk.lib.runid",),
}


def touched(tree: ast.AST) -> Iterator[str]:
    """The private names of other objects, and the private modules of wandb, in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if _is_private(node.attr) and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.attr
            yield from _modules(ast.unparse(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _BY_NAME:
            named = node.args[1] if len(node.args) > 1 else None
            if isinstance(named, ast.Constant) and isinstance(named.value, str) and _is_private(named.value):
                yield named.value
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _modules(node.value)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from _modules(node.module)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(alias.name)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _modules(text: str) -> Iterator[str]:
    if _MODULE.match(text):
        yield text


def names_of(text: str) -> set[str]:
    """Those of one file; of `wandb.sdk.lib.module` the parents are left out."""
    names = set(touched(ast.parse(text))) - OTHERS
    return {name for name in names if not any(other.startswith(f"{name}.") for other in names)}


def test_the_names_of_wandb_that_are_not_public_are_those_of_the_list() -> None:
    found = {
        (str(path.relative_to(SHIM)), name)
        for path in SHIM.rglob("*.py")
        for name in names_of(path.read_text(encoding="utf-8"))
    }
    listed = {(file, name) for file, names in TOUCHED.items() for name in names}
    assert found - listed == set(), "use wandb's public API"
    assert listed - found == set(), "take it out of the list"
    assert len(listed) <= MOST


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("run._settings.silent", {"_settings"}),
        ("getattr(run, '_wl', None)", {"_wl"}),
        ("self._run.log({})", set()),
        ("wandb.sdk.lib.module.unset_globals()", {"wandb.sdk.lib.module.unset_globals"}),
        ("from wandb.sdk import wandb_init", {"wandb.sdk"}),
        ("import wandb.sdk.lib", {"wandb.sdk.lib"}),
        ("importlib.import_module('wandb.sdk.wandb_login')", {"wandb.sdk.wandb_login"}),
        ("os._exit(0)", set()),
        ("wandb.init().log({'x': 1})", set()),
    ],
)
def test_a_private_name_is_seen_however_it_is_written(text: str, names: set[str]) -> None:
    assert names_of(text) == names
