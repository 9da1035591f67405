"""What docopt has parsed: `--batch-size` is told as `batch_size`, and `<file>` as `file`.

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping


def apply(module: ModuleType) -> None:
    """Watch docopt's one function.

    Raises:
        TypeError: The module is that of docopt-ng, whose function looks into the frame that calls it.
    """
    if hasattr(module, "magic_docopt"):
        raise TypeError("docopt-ng, which is not known")
    wrapping.required(module, "docopt", _tell, title=parsed.TITLE.format("docopt"))


def _tell(result: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if parsed.is_of_the_command_line(wrapping.argument(args, kwargs, 1, "argv")):
        content.config({name.strip("-<>").replace("-", "_"): value for name, value in result.items()})
