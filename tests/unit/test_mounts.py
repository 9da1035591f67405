"""Paths of a container as the host sees them: contents of /proc/self/mountinfo, a path, and the answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shim.companion.mounts import Outside, path_outside

REPOSITORY = Path(__file__).parents[2]

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
    assert path_outside(path, CONTAINER).path == outside


@pytest.mark.parametrize("mountinfo", ["", "\n", "nonsense", "1 2 3 4"])
def test_without_a_mount_that_is_understood_the_path_is_the_answer(mountinfo: str) -> None:
    assert path_outside("/a/b", mountinfo) == Outside("/a/b")


def test_a_link_is_followed_first(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    mountinfo = f"1 0 8:1 /on/the/host {os.path.realpath(tmp_path)}/real rw - ext4 /dev/sda1 rw"
    assert path_outside(str(tmp_path / "link" / "iter_1"), mountinfo) == Outside("/on/the/host/iter_1")


def test_on_this_machine_the_root_is_the_root() -> None:
    assert path_outside("/etc").path == os.path.realpath("/etc")


PYXIS = """
800 700 0:100 / / rw,relatime - overlay overlay rw,lowerdir=/l
801 800 0:31 / /lustre rw,relatime - lustre 10.0.0.1@o2ib:/fs rw
802 800 0:31 /team/jobs/exp1 /nemo_run rw,relatime - lustre 10.0.0.1@o2ib:/fs rw
803 800 259:1 /etc/hosts /etc/hosts ro - ext4 /dev/nvme0n1p1 rw
804 800 259:1 /raid/me /data rw - ext4 /dev/nvme0n1p1 rw
805 802 0:31 /team/shared /nemo_run/shared rw,relatime - lustre 10.0.0.1@o2ib:/fs rw
"""
DOCKER = """
610 500 0:52 / / rw,relatime - overlay overlay rw,lowerdir=/l
613 610 259:1 /home/ada/job /workspace rw,relatime - ext4 /dev/nvme0n1p1 rw
616 610 259:2 /data/ckpts /ckpts rw,relatime - xfs /dev/nvme1n1 rw
617 610 259:1 /var/lib/docker/containers/1/hosts /etc/hosts rw - ext4 /dev/nvme0n1p1 rw
618 610 259:3 / /scratch rw,relatime - xfs /dev/nvme2n1 rw
"""
KUBERNETES = """
900 800 0:200 / / rw,relatime - overlay overlay rw
901 900 0:45 /vol/pvc-1 /ckpts rw,relatime - nfs4 10.0.0.7:/export rw
902 900 259:1 /var/lib/kubelet/pods/1/etc-hosts /etc/hosts rw - xfs /dev/nvme0n1p1 rw
903 900 259:1 /var/lib/kubelet/pods/1/volumes/empty /shm rw - xfs /dev/nvme0n1p1 rw
"""
APPTAINER = """
700 600 0:60 / / ro,nodev - overlay overlay ro
701 700 259:1 /home/ada /home/ada rw - ext4 /dev/sda1 rw
702 700 0:31 / /scratch rw - gpfs scratch rw
703 700 259:1 /etc/hosts /etc/hosts rw - ext4 /dev/sda1 rw
"""
HOST = """
25 1 259:1 / / rw,relatime - ext4 /dev/nvme0n1p1 rw
26 25 259:2 / /data rw,relatime - xfs /dev/nvme1n1 rw
27 25 0:31 / /lustre rw,relatime - lustre 10.0.0.1@o2ib:/fs rw
28 25 259:2 /inner /srv/inner rw,relatime - xfs /dev/nvme1n1 rw
"""


@pytest.mark.parametrize(
    ("mountinfo", "path", "outside", "known"),
    [
        (PYXIS, "/nemo_run/ckpts/iter_1", "/lustre/team/jobs/exp1/ckpts/iter_1", True),
        (PYXIS, "/nemo_run/shared/iter_1", "/lustre/team/shared/iter_1", True),
        (PYXIS, "/data/iter_1", "/raid/me/iter_1", True),
        (DOCKER, "/workspace/iter_1", "/home/ada/job/iter_1", True),
        (DOCKER, "/ckpts/iter_1", "/data/ckpts/iter_1", False),
        (DOCKER, "/scratch/iter_1", "/scratch/iter_1", False),
        (KUBERNETES, "/ckpts/iter_1", "/vol/pvc-1/iter_1", False),
        (KUBERNETES, "/shm/iter_1", "/var/lib/kubelet/pods/1/volumes/empty/iter_1", True),
        (APPTAINER, "/home/ada/iter_1", "/home/ada/iter_1", True),
        (APPTAINER, "/scratch/iter_1", "/scratch/iter_1", False),
        (HOST, "/home/iter_1", "/home/iter_1", True),
        (HOST, "/data/iter_1", "/data/iter_1", True),
        (HOST, "/lustre/iter_1", "/lustre/iter_1", True),
        (HOST, "/srv/inner/iter_1", "/data/inner/iter_1", True),
    ],
)
def test_where_the_hosts_place_is_not_known_that_is_said(mountinfo: str, path: str, outside: str, known: bool) -> None:
    found = path_outside(path, mountinfo)
    assert (found.path, not found.note) == (outside, known)


def test_real_mounts_of_one_device_are_seen_as_one(tmp_path: Path) -> None:
    """As in a job: a shared file system as a whole, and a directory of it at another place."""
    program = "import sys; from shim.companion.mounts import path_outside; print(path_outside(sys.argv[1]).path)"
    steps = (
        f"mount -t tmpfs whole {tmp_path}/lustre && mkdir -p {tmp_path}/lustre/team/exp1 {tmp_path}/nemo_run"
        f" && mount --bind {tmp_path}/lustre/team/exp1 {tmp_path}/nemo_run"
        f" && {sys.executable} -c '{program}' {tmp_path}/nemo_run/iter_1"
    )
    (tmp_path / "lustre").mkdir()
    command = ["unshare", "--mount", "sh", "-c", steps]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.stdout == f"{tmp_path}/lustre/team/exp1/iter_1\n", done.stderr
