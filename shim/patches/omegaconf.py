"""What `OmegaConf.from_cli` has parsed, as it was written; and the values of a configuration, references followed.

Remove when: never.
"""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

from ..script import content
from . import parsed, wrapping

# A reference to a resolver; and the resolvers of OmegaConf 2.3 and Hydra 1.3 that always give the same.
_RESOLVER = re.compile(r"\$\{\s*([\w.]+)\s*:")
_PURE = frozenset(("oc.env", "oc.select", "oc.decode", "oc.create", "oc.dict.keys", "oc.dict.values", "hydra"))


def apply(module: ModuleType) -> None:
    """Watch `from_cli`."""
    wrapping.required(module.OmegaConf, "from_cli", _tell, title=parsed.TITLE.format("OmegaConf"))


def _tell(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if parsed.is_of_the_command_line(wrapping.argument(args, kwargs, 0, "args_list")):
        content.config(result)


def resolved(config: Any, *, without: str = "") -> Any:
    """A container as plain values, with the values to which its `${…}` refer.

    Left as they are written are `???`, references that lead nowhere, and references to other resolvers, those of the
    program among them: such a resolver may draw random numbers, count, remember, or ask the clock.

    Args:
        config: The container, which is not changed.
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
    except Exception:  # the value is missing, or its reference leads nowhere
        return str(config._get_node(name)._value())
