"""Whether an ancestor of this process, or this process before an exec, has a companion: by the kernel's tables alone.

The mark in the environment says so, too, but a script may start its children with variables of its own choosing.
"""

import os

from . import frames


def owner_above(pid: int) -> int:
    """The nearest ancestor of a process that has a companion; 0 where none has."""
    found = scripts()
    while found and pid > 1:
        pid = _parent(pid)
        if pid in found:
            return pid
    return 0


def named_for(pid: int, attach: str) -> "tuple[str, int] | None":
    """Address and process id of the companion that WANDB_SHIM_ATTACH names, where it is this script's own and alive.

    Args:
        pid: The script's process id.
        attach: "<machine>:<process id of the companion>:<address>".
    """
    machine, _, rest = attach.partition(":")
    companion, _, name = rest.partition(":")
    words = name.split("/")
    mine = len(words) == 4 and words[2] == str(pid) and words[3].startswith(frames.process_namespace() + "-")
    if not mine or machine != os.uname().nodename or frames.state_of(int(companion)) in ("", "Z"):
        return None
    return "\0" + name, int(companion)


def companion_of(pid: int) -> "tuple[str, int] | None":
    """Address and process id of the companion of a script, where one listens that is this user's or root's."""
    address = scripts().get(pid)
    if address is None:
        return None
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(1.0)
        connection.connect(address)
        companion, uid = frames.peer(connection)
        return (address, companion) if uid in (os.getuid(), 0) else None
    except OSError:
        return None
    finally:
        connection.close()


def scripts() -> "dict[int, str]":
    """The address of each companion that listens here, by the process id of the script that the address names."""
    try:
        with open("/proc/net/unix", "rb", 0) as file:
            table = file.read()
    except OSError:
        return {}
    found = {}
    mark = b"@" + frames.NAMESPACE.encode()
    if mark in table:
        namespace = frames.process_namespace() + "-"
        for line in table.splitlines():
            name = line.rpartition(b" ")[2]
            if name.startswith(mark):
                words = name.decode(errors="replace").split("/")
                if len(words) == 4 and words[2].isdecimal() and words[3].startswith(namespace):
                    found[int(words[2])] = "\0" + name[1:].decode(errors="replace")
    return found


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as file:
            return int(file.read(4096).rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
