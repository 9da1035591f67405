"""Keep the script's directory out of our imports, and our imports out of the script's.

At the first frame of `__main__`, `sys.path[0]` is the script's directory (or the working directory). A `click.py` or
`random.py` there would break `import wandb`; and the real `click` that wandb brought in would afterwards hide the
script's. So the directory is taken out meanwhile, and what it has a name for is forgotten again. Nothing is imported
here that is not loaded already.
"""

import os
import sys


class HiddenScriptDirectory:
    """A context in which `sys.path` lacks the script's directory."""

    __slots__ = ("_directory", "_loaded")

    @staticmethod
    def hides() -> bool:
        """Whether the first entry of `sys.path` is the script's directory."""
        return not (sys.flags.isolated or getattr(sys.flags, "safe_path", False) or not sys.path)

    def __enter__(self) -> None:
        self._directory = sys.path.pop(0) if self.hides() else None
        self._loaded = set(sys.modules)

    def __exit__(self, *error: object) -> None:
        if self._directory is None:
            return
        sys.path.insert(0, self._directory)
        names = _importable_names(self._directory)
        for name in list(sys.modules):
            if name not in self._loaded and name.partition(".")[0] in names:
                del sys.modules[name]


def offers_another_wandb() -> bool:
    """Whether the script's directory has a `wandb` of its own, which the script's import is for."""
    script = getattr(sys.modules["__main__"], "__file__", None) or ""
    if not HiddenScriptDirectory.hides() or os.path.basename(script) == "wandb.py":  # that one is the program itself
        return False
    place = os.path.join(sys.path[0], "wandb")
    return os.path.isfile(place + ".py") or os.path.isfile(os.path.join(place, "__init__.py"))


def _importable_names(directory: str) -> "set[str]":
    """Top-level modules that `directory` offers; a `wandb` of its own is another matter."""
    names = set()
    try:
        for name in os.listdir(directory or "."):
            stem, _, suffix = name.partition(".")
            if suffix.endswith(("py", "so", "pyc")) or os.path.exists(os.path.join(directory, name, "__init__.py")):
                names.add(stem)
    except OSError:
        pass  # a zip file, or gone
    return names - {"wandb"}
