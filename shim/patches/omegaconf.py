"""What `OmegaConf.from_cli` has parsed, as it was written; and a configuration with what it refers to.

Remove when: never.
"""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping

# A resolver in use, and those of OmegaConf 2.3 and Hydra 1.3 that give the same whenever they are asked.
_RESOLVER = re.compile(r"\$\{\s*([\w.]+)\s*:")
_PURE = frozenset(("oc.env", "oc.select", "oc.decode", "oc.create", "oc.dict.keys", "oc.dict.values", "hydra"))


def apply(module: ModuleType) -> None:
    """Watch `from_cli`."""
    wrapping.required(module.OmegaConf, "from_cli", _tell, title=parsed.TITLE.format("OmegaConf"))


def _tell(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if parsed.is_of_the_command_line(wrapping.argument(args, kwargs, 0, "args_list")):
        content.config(result)


def resolved(config: Any, *, without: str = "") -> Any:
    """A container in plain values, with what its `${…}` refer to.

    As they stand there are left: `???`, what leads nowhere, and what resolvers of the program's own would give, or the
    clock: they may draw numbers, count, or remember.

    Args:
        config: The container, which stays as it is.
        without: A name at its top that is left out.
    """
    containers: Any = sys.modules["omegaconf"].OmegaConf
    written = containers.to_container(config, resolve=False)
    if without:
        written.pop(without, None)
    return _values(containers, containers.create(_literally(written), flags={"allow_objects": True}))


def _literally(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _literally(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_literally(held) for held in value]
    if isinstance(value, str) and not _PURE.issuperset(_RESOLVER.findall(value)):
        return value.replace("${", "\\${")
    return value


def _values(containers: Any, config: Any) -> Any:
    if containers.is_dict(config):
        return {str(name): _value(containers, config, name) for name in config}
    if containers.is_list(config):
        return [_value(containers, config, at) for at in range(len(config))]
    return config


def _value(containers: Any, config: Any, name: Any) -> Any:
    try:
        return _values(containers, config[name])
    except Exception:  # it is missing, or leads nowhere
        return str(config._get_node(name)._value())
