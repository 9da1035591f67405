"""Which module may import which: ARCHITECTURE.md's floors, and the imports that wait inside a function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Rooms of the shim, each with those that it may import from. `basics` is what has no state and starts nothing.
FLOORS: dict[str, frozenset[str]] = {
    "basics": frozenset({"basics"}),
    "script": frozenset({"basics", "script"}),
    "patches": frozenset({"basics", "script", "patches"}),
    # What both ends of the channel speak (frames, channel, above, attached) is the script's.
    "companion": frozenset({"basics", "script", "companion"}),
    "start": frozenset({"basics", "script", "start"}),
    "tools": frozenset({"basics", "script", "patches", "companion", "start", "tools"}),
}
START = ("sitecustomize", "bootstrap", "first_line", "main_hook", "owner", "run")
TOOLS = (
    *("__main__", "doctor", "explain", "wrappers", "wrapper_table", "status", "columns", "install", "interpreters"),
    *("init", "borrowed"),
)
# Of the rooms above, what may be asked for its tables: names of patches.
TABLES = {("companion/main.py", "patches")}

# Imports of ours that wait inside a function: (file, module) and why.
WAITING = {
    ("sitecustomize.py", "hooks"): "an idle process loads one file",
    ("sitecustomize.py", "bootstrap"): "an idle process loads one file",
    ("bootstrap.py", "process"): "only what may own a run needs the tables",
    ("bootstrap.py", "ranks"): "only what may own a run needs the tables",
    ("bootstrap.py", "above"): "only what would own a run looks at its parents",
    ("bootstrap.py", "log"): "only where WANDB_SHIM_LOG says so",
    ("bootstrap.py", "main_hook"): "only the owner has a first line to wait for",
    ("bootstrap.py", "first_line"): "user code is about to begin, not before",
    ("first_line.py", "owner"): "only where the program shows which rank owns the run",
    ("first_line.py", "start"): "only the owner starts a companion",
    ("first_line.py", "log"): "only where something fails",
    ("first_line.py", "hooks"): "only where the script's own init opens the run",
    ("first_line.py", "patches"): "only the owner's run shows what its script is given",
    ("script/content.py", "log"): "only where something fails",
    ("first_line.py", "deferred"): "only where the script's own init opens the run",
    ("owner.py", "hooks"): "only where it waits for an import",
    ("script/start.py", "attach"): "wandb and what it needs come with the script's own import",
    ("script/start.py", "above"): "after an exec alone",
    ("script/end.py", "start"): "they know each other",
    ("script/end.py", "log"): "only where something fails",
}


def modules() -> Iterator[Path]:
    yield from sorted((ROOT / "shim").rglob("*.py"))


def room(name: str) -> str:
    """The room of a module, by its path below shim/ without `.py`."""
    first = name.partition("/")[0]
    if first in FLOORS:
        return first
    return "start" if first in START else "tools" if first in TOOLS else "basics"


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """What a module of ours imports of ours, by path below shim/, and whether a function does it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    typing = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    package = path.parent.relative_to(ROOT / "shim")
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node in typing:
            continue
        if node.module and node.module.startswith("_wandb_shim"):
            base, names = Path(), [alias.name for alias in node.names]
        elif node.level:
            base = package if node.level == 1 else package.parent
            base = base / (node.module or "").replace(".", "/")
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            whole = base / name
            found = whole if _exists(whole) else base
            yield str(found), node in inside


def _exists(path: Path) -> bool:
    return (ROOT / "shim" / path).with_suffix(".py").exists() or (ROOT / "shim" / path).is_dir()


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT / "shim")))
def test_no_module_imports_upwards(path: Path) -> None:
    own = str(path.relative_to(ROOT / "shim"))
    here = room(own.removesuffix(".py"))
    wrong = []
    for name, inside in imported(path):
        there = room(name) if name != "." else "basics"
        if there not in FLOORS[here] and not inside and (own, name) not in TABLES:
            wrong.append(f"{own} ({here}) imports {name} ({there})")
    assert wrong == []


def test_what_waits_inside_a_function_is_listed_with_its_reason() -> None:
    found = {
        (str(path.relative_to(ROOT / "shim")), name.rpartition("/")[2])
        for path in modules()
        for name, inside in imported(path)
        if inside and name != "."
    }
    assert found == set(WAITING)


def test_the_launcher_knows_of_the_shim_what_both_halves_share() -> None:
    shared = {"environment", "config", "expressions", "login", "viewer"}
    for path in (ROOT / "launcher").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == "shim":
                names = (
                    {(node.module or "").partition(".")[2]} if node.module != "shim" else {a.name for a in node.names}
                )
                assert names <= shared, path
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] != "wandb", path


def states(path: Path) -> set[str]:
    """Names of a module that its functions change: those declared global, and those that begin as empty containers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id != target.id.upper() and value is not None:
            text = ast.unparse(value)
            if text in ("[]", "{}") or text.endswith("()") or text.startswith("Liveness("):
                found.add(target.id)
    return found


def test_the_architecture_names_the_state_of_every_module() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    paragraph = re.search(r"^State of modules.*?\n\n", text, re.DOTALL | re.MULTILINE)
    assert paragraph is not None
    told = {
        module: set(re.findall(r"\w+", names))
        for module, names in re.findall(r"`([\w/]+)`\s+\(([^)]*)\)", paragraph.group())
    }
    found = {str(path.relative_to(ROOT / "shim").with_suffix("")): states(path) for path in modules()}
    assert told == {module: names for module, names in found.items() if names}
