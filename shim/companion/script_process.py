"""The script's process as its companion sees it: when it ends, and how, although it is no child of the companion."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time

# _IOWR(0xFF, 11, struct pidfd_info) of its first 64 bytes (include/uapi/linux/pidfd.h, Linux 6.13; PIDFD_INFO_EXIT
# 6.15): mask and cgroup id of 64 bits each, eleven ids of 32, exit code.
_PIDFD_GET_INFO = (3 << 30) | (64 << 16) | (0xFF << 8) | 11
_PIDFD_INFO_EXIT = 1 << 3
_INFO = struct.Struct("QQ11Ii")
# Seconds between the end that the kernel tells and the status that it then knows.
_STATUS_BOUND = 1.0

# The exit code of a process that is gone, where nobody tells how it has ended.
UNKNOWN = 255


class ScriptProcess:
    """A process, held by its pidfd, so that another process which gets its id later is not taken for it.

    Args:
        pid: Its process id.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = -1
        self._stat = -1
        try:
            self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            pass  # the process is gone already, or this kernel has no pidfd (before 5.3): `wait` asks again and again

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end of the process.

        Args:
            seconds: The longest wait; None for ever.

        Returns:
            Whether the process has ended.
        """
        if self._pidfd >= 0:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            return bool(poll.poll(None if seconds is None else seconds * 1000))
        end = None if seconds is None else time.monotonic() + seconds
        while self._letter() not in ("", "Z", "X"):
            if end is not None and time.monotonic() > end:
                return False
            time.sleep(0.2)
        return True

    def exit_code(self) -> int:
        """The exit code of the ended process, as a shell counts it; UNKNOWN where the kernel does not tell."""
        status = self._status()
        if status is None:
            return UNKNOWN
        return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _status(self) -> int | None:
        """The wait status, from the zombie's `stat` (proc(5), field 52), else by its pidfd."""
        end = time.monotonic() + _STATUS_BOUND
        while True:
            fields = self._fields()
            if fields[:1] == ["Z"] and len(fields) > 49:
                return int(fields[49])
            status = self._info()
            if status is not None or not fields or time.monotonic() > end:
                return status
            time.sleep(0.005)

    def _info(self) -> int | None:
        if self._pidfd < 0:
            return None
        buffer = bytearray(_INFO.size)
        _INFO.pack_into(buffer, 0, _PIDFD_INFO_EXIT, 0, *(0,) * 11, 0)
        try:
            fcntl.ioctl(self._pidfd, _PIDFD_GET_INFO, buffer)
        except OSError:
            return None  # an older kernel
        mask, *_, code = _INFO.unpack(buffer)
        return code if mask & _PIDFD_INFO_EXIT else None

    def _letter(self) -> str:
        return next(iter(self._fields()), "")

    def _fields(self) -> list[str]:
        try:
            return os.pread(self._stat, 4096, 0).decode(errors="replace").rpartition(")")[2].split()
        except OSError:
            return []
