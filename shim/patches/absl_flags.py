"""The values of absl's flags, once a program has parsed them; ml_collections' config_flags are such flags.

`absl.app.run` and `FLAGS(argv)` both call `FlagValues.__call__` (absl/flags/_flagvalues.py 2.5). absl's own flags, for
logging and debuggers, count only where the command line names them. ml_collections has put what `--config.lr=…` changes
into the configuration itself.

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping


def apply(module: ModuleType) -> None:
    """Watch the parsing of flags."""
    wrapping.required(module.FlagValues, "__call__", _tell, title=parsed.TITLE.format("absl"))


def _tell(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    words = wrapping.argument(args, kwargs, 1, "argv")
    if parsed.is_of_the_command_line(list(words)[1:]):
        found = {
            flag.name: flag.value
            for module, flags in args[0].flags_by_module_dict().items()
            for flag in flags
            if flag.present or module.partition(".")[0] != "absl"
        }
        content.config({name: found[name] for name in found if "." not in name or name.partition(".")[0] not in found})
