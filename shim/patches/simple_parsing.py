"""What simple-parsing has parsed, as the dataclasses that it makes of argparse's flat names.

Its own `ArgumentParser.parse_known_args` calls that of argparse and then makes the dataclasses
(simple_parsing/parsing.py 0.1.9).

Remove when: never.
"""

from __future__ import annotations

from types import ModuleType

from . import configargparse, parsed, wrapping


def apply(module: ModuleType) -> None:
    """Watch what all ways to parse come to."""
    title, depth = parsed.TITLE.format("simple-parsing"), wrapping.Depth()
    wrapping.required(module.ArgumentParser, "parse_known_args", configargparse.tell, title=title, outermost=depth)
