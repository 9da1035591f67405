"""The arguments with which tyro calls a function or makes a dataclass.

`callable_with_args` puts the call together, and `_cli_impl` hands it to `tyro.cli`, which makes it (tyro/_cli.py 1.0).
Both have returned before the program's function begins.

Remove when: never.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping

# The field in which tyro puts a value that is no dataclass: `__tyro_dummy_inner__`, up to 0.9 `__tyro_dummy_field__`.
_WRAPPED = "__tyro_dummy_"

# The last call that was put together.
_call: Any = None


def apply(module: ModuleType) -> None:
    """Watch both functions."""
    title = parsed.TITLE.format("tyro")
    wrapping.required(module._calling, "callable_with_args", _note, title=title)
    wrapping.required(module, "_cli_impl", _tell, title=title)


def _note(result: tuple[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    global _call
    if wrapping.argument(args, kwargs, 4, "field_name_prefix") == "":
        _call = result[0]


def _tell(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    global _call
    call, _call = _call, None
    if call is None or not parsed.is_of_the_command_line(kwargs.get("args")):
        return
    if isinstance(call, functools.partial):
        values: Any = parsed.bound(call.func, call.args, call.keywords)
    else:
        values = call()  # returns a value that has been made already
    if isinstance(values, dict) and len(values) == 1 and next(iter(values)).startswith(_WRAPPED):
        (values,) = values.values()
    content.config(values)
