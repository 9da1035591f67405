"""What Hugging Face's HfArgumentParser makes of a file: `parse_json_file`, `parse_yaml_file`, `parse_dict`.

All of them call `parse_dict` (transformers/hf_argparser.py). The words of the command line are parsed by argparse,
whose patch tells them.

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping


def apply(module: ModuleType) -> None:
    """Watch the method that takes the values of all files."""
    wrapping.required(module.HfArgumentParser, "parse_dict", _tell, title=parsed.TITLE.format("HfArgumentParser"))


def _tell(result: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for values in result:
        content.config({name: value for name, value in vars(values).items() if not name.startswith("_")})
