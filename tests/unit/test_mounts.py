"""Paths of a container as the host sees them: contents of /proc/self/mountinfo, a path, and the answer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shim.companion.mounts import path_outside

# As runc and enroot make them: the root is an overlay, everything else is mounted into it.
CONTAINER = r"""
610 500 0:52 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
611 610 0:55 / /proc rw,nosuid - proc proc rw
612 610 0:56 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
613 610 259:1 /home/ada/job /workspace rw,relatime - ext4 /dev/nvme0n1p1 rw
614 610 259:1 /home/ada/with\040blank\134 /mnt/a\011b rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw
615 613 0:60 /team/ckpts /workspace/results rw,relatime - lustre 10.0.0.1@o2ib:/fs rw
616 610 259:2 / /scratch rw,relatime - xfs /dev/nvme1n1 rw
617 610 259:1 /old /twice rw,relatime - ext4 /dev/nvme0n1p1 rw
618 617 259:1 /new /twice rw,relatime - ext4 /dev/nvme0n1p1 rw
"""


@pytest.mark.parametrize(
    ("path", "outside"),
    [
        ("/workspace/ckpts/iter_0000001", "/home/ada/job/ckpts/iter_0000001"),
        ("/workspace", "/home/ada/job"),
        ("/workspace-2/ckpts", "/workspace-2/ckpts"),
        ("/workspace/results/step_1", "/team/ckpts/step_1"),
        ("/mnt/a\tb/last.ckpt", "/home/ada/with blank\\/last.ckpt"),
        ("/scratch/ckpts", "/scratch/ckpts"),
        ("/twice/x", "/new/x"),
        ("/opt/of the image", "/opt/of the image"),
        ("/workspace/../scratch/x", "/scratch/x"),
        ("/", "/"),
    ],
)
def test_the_answer_is_that_of_the_deepest_and_last_mount(path: str, outside: str) -> None:
    assert path_outside(path, CONTAINER) == outside


@pytest.mark.parametrize("mountinfo", ["", "\n", "nonsense", "1 2 3 4"])
def test_without_a_mount_that_is_understood_the_path_is_the_answer(mountinfo: str) -> None:
    assert path_outside("/a/b", mountinfo) == "/a/b"


def test_a_link_is_followed_first(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    mountinfo = f"1 0 8:1 /on/the/host {os.path.realpath(tmp_path)}/real rw - ext4 /dev/sda1 rw"
    assert path_outside(str(tmp_path / "link" / "iter_1"), mountinfo) == "/on/the/host/iter_1"


def test_on_this_machine_the_root_is_the_root() -> None:
    assert path_outside("/etc") == os.path.realpath("/etc")
