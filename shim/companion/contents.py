"""What the files of a checkpoint are like, and whether a checkpoint that was saved again is the same.

Why: Megatron-Bridge 0.3 writes the last checkpoint twice, with the same weights at other times. A loop that goes back
and saves a step again writes as many bytes, of other weights. Only the content tells these cases apart. To read all of
it would take as long as to write it, so a few blocks of the largest files have to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from ..checkpoint import JOURNALS

# How many files are looked into, and the bytes and the number of the blocks that are read of each.
_FILES, _BLOCK, _BLOCKS = 8, 4096, 16


@dataclass(frozen=True)
class Contents:
    """The files of a checkpoint.

    Attributes:
        state: "files", their number; "bytes", their size in all; "modified_ns", when the newest was written.
        sample: A digest of some blocks of the files.
    """

    state: Mapping[str, int]
    sample: str

    def is_same(self, before: Contents) -> bool:
        """Whether they are what they were, whenever they were written."""
        sizes, sizes_before = ((one.state["files"], one.state["bytes"], one.sample) for one in (self, before))
        return sizes == sizes_before


def contents_of(path: str) -> Contents:
    """Look at the files of the checkpoint at `path`, a directory or a file."""
    entries = [path]
    for directory, _, names in os.walk(path):
        entries += [os.path.join(directory, name) for name in names if name not in JOURNALS]
    found: dict[str, os.stat_result] = {}
    for entry in entries:
        with contextlib.suppress(OSError):  # the file is gone since it was listed
            found[entry] = os.stat(entry)
    state = {
        "files": len(entries) - os.path.isdir(path),
        "bytes": sum(one.st_size for one in found.values()),
        "modified_ns": max((one.st_mtime_ns for one in found.values()), default=0),
    }
    return Contents(state, _sample({name: one.st_size for name, one in found.items() if stat.S_ISREG(one.st_mode)}))


def _sample(sizes: Mapping[str, int]) -> str:
    """A digest of some blocks of the largest files; hidden files are left out: they are indexes with times in them."""
    digest = hashlib.sha256()
    visible = [entry for entry in sizes if not os.path.basename(entry).startswith(".")]
    for entry in sorted(visible, key=lambda one: (-sizes[one], one))[:_FILES]:
        with contextlib.suppress(OSError), open(entry, "rb", buffering=0) as file:
            for number in range(_BLOCKS):
                file.seek(max(sizes[entry] - _BLOCK, 0) * number // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()
