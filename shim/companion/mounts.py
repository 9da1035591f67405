"""Where a path of this container lies outside of it, as far as the kernel tells (proc(5), /proc/[pid]/mountinfo)."""

from __future__ import annotations

import os

_MOUNTINFO = "/proc/self/mountinfo"


def path_outside(path: str, mountinfo: str | None = None) -> str:
    """The host's path of a file on a bind mount; the path itself where it lies on the container's own root.

    A bind mount tells which directory of its filesystem it shows. Where that filesystem is not the host's root, its
    own mount point on the host is unknown here, and the path below it is the answer.

    Args:
        path: An absolute path.
        mountinfo: Contents of /proc/self/mountinfo, read when None.
    """
    if mountinfo is None:
        try:
            with open(_MOUNTINFO, encoding="utf-8", errors="surrogateescape") as file:
                mountinfo = file.read()
        except OSError:
            return path
    path = os.path.realpath(path)
    root, mount_point = "/", "/"
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) < 5:
            continue
        here = _unescape(fields[4])
        if _is_below(path, here) and len(here) >= len(mount_point):
            root, mount_point = _unescape(fields[3]), here
    if mount_point == "/" or root == "/":
        return path
    return os.path.normpath(root + "/" + os.path.relpath(path, mount_point))


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _unescape(text: str) -> str:
    r"""Blanks, tabs, newlines and backslashes are written as \040, \011, \012 and \134."""
    for code in ("040", "011", "012", "134"):
        text = text.replace("\\" + code, chr(int(code, 8)))
    return text
