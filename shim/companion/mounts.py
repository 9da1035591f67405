"""Where a path of this container lies outside of it, as far as the kernel tells (proc(5), /proc/[pid]/mountinfo)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

_MOUNTINFO = "/proc/self/mountinfo"

# Files that container engines mount from a directory of their own, which mostly lies on the host's root file system.
_OF_THE_ENGINE = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")


@dataclass(frozen=True)
class Outside:
    """A path as the host has it.

    Attributes:
        path: The path.
        note: Why it may not be the host's path, for people; "" where it is the host's.
    """

    path: str
    note: str = ""


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo.

    Attributes:
        device: "major:minor" of the file system.
        root: The directory of the file system that is mounted.
        point: The directory at which it is mounted.
        kind: The file system's type: "ext4", "lustre".
        source: What was mounted: a device, a server's export.
    """

    device: str
    root: str
    point: str
    kind: str = ""
    source: str = ""


def path_outside(path: str, mountinfo: str | None = None) -> Outside:
    """The host's path of a file on a bind mount; the path itself where it lies on the container's own root.

    A bind mount tells which directory of a file system it shows, but not where the host has that file system. Where
    another mount shows the whole file system, that place is taken: jobs have shared file systems at the places where
        the
    host has them. Otherwise it is the host's root file system if the container engine's own files come from it.

    Args:
        path: An absolute path.
        mountinfo: The contents of /proc/self/mountinfo; read where this is None.
    """
    if mountinfo is None:
        try:
            with open(_MOUNTINFO, encoding="utf-8", errors="surrogateescape") as file:
                mountinfo = file.read()
        except OSError:
            return Outside(path)
    mounts = [mount for mount in map(_parsed, mountinfo.splitlines()) if mount is not None]
    path = os.path.realpath(path)
    own = _mount_of(path, mounts)
    if own is None or own.point == "/":
        return Outside(path)
    if own.root == "/":
        # The mount shows a whole file system of its own. On a host nothing more is to be said.
        top = _mount_of("/", mounts)
        contained = top is not None and (top.kind == "overlay" or top.root != "/")
        return Outside(path, f"{own.point} is a {own.kind}; where the host has it is not known" if contained else "")
    below = os.path.normpath(own.root + "/" + os.path.relpath(path, own.point))
    whole = [one for one in mounts if one.device == own.device and one.root == "/" and one.point != "/"]
    if whole:
        shortest = min(whole, key=lambda mount: len(mount.point))
        return Outside(os.path.normpath(shortest.point + below))
    of_the_engine = {one.device for one in mounts if one.point in _OF_THE_ENGINE}
    if own.device in of_the_engine or not of_the_engine:
        return Outside(below)
    return Outside(below, f"below the root of {own.source or own.kind}; where the host has that is not known")


def _parsed(line: str) -> Mount | None:
    """The mount of a line; None for a line that is no mount."""
    fields = line.split(" ")
    if len(fields) < 5:
        return None
    _, _, kinds = line.partition(" - ")
    kind, source = [*kinds.split(" "), "", ""][:2]
    return Mount(fields[2], _unescape(fields[3]), _unescape(fields[4]), kind, _unescape(source))


def _mount_of(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The deepest mount that a path is on, the last of several at one place."""
    found: Mount | None = None
    for mount in mounts:
        if _is_below(path, mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _unescape(text: str) -> str:
    r"""The text with its blanks, tabs, newlines and backslashes, which mountinfo has as \040, \011, \012 and \134."""
    for code in ("040", "011", "012", "134"):
        text = text.replace("\\" + code, chr(int(code, 8)))
    return text
