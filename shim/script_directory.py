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

    def __enter__(self) -> None:
        flags = sys.flags
        hidden = not (flags.isolated or getattr(flags, "safe_path", False) or not sys.path)
        self._directory = sys.path.pop(0) if hidden else None
        self._loaded = set(sys.modules)

    def __exit__(self, *error: object) -> None:
        if self._directory is None:
            return
        sys.path.insert(0, self._directory)
        names = _importable_names(self._directory)
        for name in list(sys.modules):
            if name not in self._loaded and name.partition(".")[0] in names:
                del sys.modules[name]


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
