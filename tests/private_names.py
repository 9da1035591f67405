"""wandb's private names that the shim touches, found in its code: each release may take one away.

python -m tests.private_names
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SHIM = Path(__file__).parents[1] / "shim"

_PRIVATE = re.compile(r"_[a-z]\w*")
# Words of other libraries, or of ours, that wandb happens to use as well.
_NOT_OF_WANDB = frozenset({"_data", "_exit", "_joined", "_netrc", "_timestamp"})


def touched(wandb: Path) -> dict[str, list[str]]:
    """The names, each with the files of the shim that touch it.

    Args:
        wandb: The package, whose words say which of the shim's are its own.
    """
    words = set().union(*(set(_PRIVATE.findall(path.read_text(encoding="utf-8"))) for path in wandb.rglob("*.py")))
    found: dict[str, set[str]] = {}
    for path in sorted(SHIM.rglob("*.py")):
        if path.parent.name == "patches":
            continue  # what they touch is of other libraries
        for name in _names(ast.parse(path.read_text(encoding="utf-8"))):
            if name in words - _NOT_OF_WANDB:
                found.setdefault(name, set()).add(str(path.relative_to(SHIM)))
    return {name: sorted(files) for name, files in sorted(found.items())}


def _names(tree: ast.AST) -> Iterator[str]:
    """Private attributes of anything but `self`, and strings that may be one, for getattr."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            name = node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value
        else:
            continue
        if _PRIVATE.fullmatch(name):
            yield name


if __name__ == "__main__":
    from tests.environments import environment_of

    names = touched(environment_of("wandb").site_packages / "wandb")
    for name, files in names.items():
        print(f"{name:32} {', '.join(files)}")
    print(f"{len(names)} private names of wandb")
