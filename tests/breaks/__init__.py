"""The rules that `make break` takes out of the code, one at a time, by what they are about."""

from __future__ import annotations

from tests.breaks import checkpoints, content, core, image, launcher, libraries
from tests.breaks.row import Break

BREAKS: tuple[Break, ...] = (
    *core.BREAKS,
    *content.BREAKS,
    *libraries.BREAKS,
    *checkpoints.BREAKS,
    *image.BREAKS,
    *launcher.BREAKS,
)
