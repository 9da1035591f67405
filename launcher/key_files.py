"""An API key in a file that only its owner can read: on this host, and on a cluster behind a nemo-run tunnel.

File 0600, directory 0700, made that way from the first moment. A file on this host goes when the process ends, which
for docker and local jobs is after the job: nemo-run does not detach from those
(Experiment._DETACH_SUPPORTED_EXECUTORS). What a killed process leaves is swept by the next one.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import dataclasses
import io
import os
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import LauncherError

FILE_NAME = "wandb_api_key"

# Longer than jobs queue and run; what is older was left behind.
MAX_AGE_DAYS = 30

# Seconds that the end of a launching process may wait for a cluster.
_AT_EXIT_BOUND = 20.0


def key_folder() -> Path:
    """Where keys lie on this host: one directory below for each file."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "wandb-shim" / "keys"


def write_key_file(key: str, keep: bool = False) -> Path:
    """Write a key to a file of its own.

    Args:
        key: The API key.
        keep: Leave the file when this process ends; the caller removes it, or a sweep after 30 days.

    Raises:
        LauncherError: Where the directory cannot be written.
    """
    folder = key_folder()
    own = folder / secrets.token_hex(8)
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        _sweep(folder)
        own.mkdir(mode=0o700)
        path = own / FILE_NAME
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(key + "\n")
    except OSError as error:
        raise LauncherError(
            f"{error.filename or folder}: cannot keep a key file ({error.strerror}): set XDG_CACHE_HOME to a "
            f"directory of yours"
        ) from None
    if not keep:
        atexit.register(_remove, own, os.getpid())
    return path


def place_on_cluster(tunnel: Any, folder: str, files: Mapping[str, str]) -> str:
    """Write secrets to a folder of their own on a cluster; they travel on standard input, never on a command line.

    Args:
        tunnel: nemo-run's SSHTunnel or LocalTunnel.
        folder: Directory for such folders, on a file system that the compute nodes share; made if need be.
        files: Text by file name.

    Returns:
        The folder's path on the cluster.

    Raises:
        LauncherError: Where the cluster cannot be reached or the directory not be written.
    """
    own = f"{folder.rstrip('/')}/{secrets.token_hex(8)}"
    parent = shlex.quote(folder)
    # All is read first and whatever comes: a tunnel whose other end does not listen reports only that.
    reads = "; ".join(f"IFS= read -r text{number}" for number in range(len(files)))
    writes = " && ".join(
        f'printf %s "$text{number}" | base64 -d > {shlex.quote(f"{own}/{name}")}' for number, name in enumerate(files)
    )
    steps = (
        f"{reads}; umask 077; mkdir -p {parent} && chmod 700 {parent} && mkdir {shlex.quote(own)} && {writes} || exit"
        f"; find {parent} -mindepth 1 -maxdepth 1 -mtime +{MAX_AGE_DAYS} -exec rm -rf {{}} + || :"
    )
    lines = "".join(base64.b64encode(text.encode()).decode() + "\n" for text in files.values())
    try:
        run_through(tunnel, f"sh -c {shlex.quote(steps)}", lines)
    except LauncherError as error:
        raise LauncherError(f"the key file could not be written into {folder}: {error}") from None
    return own


def run_at_exit(tunnel: Any, script: str) -> None:
    """Run a script of bash at the other end of a tunnel when this process ends; nothing is said where that fails.

    By `ssh`, which nemo-run's own copying needs, too: an ending interpreter may start no threads (3.12.1), which
    tunnels need. Where the login would ask for a password, it is not done.

    Args:
        tunnel: nemo-run's SSHTunnel or LocalTunnel.
        script: The script.
    """
    command = ["bash", "-s"]
    if type(tunnel).__name__ == "SSHTunnel":
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_AT_EXIT_BOUND // 2:.0f}"]
        options += ["-p", str(tunnel.port)] if tunnel.port else []
        options += ["-i", tunnel.identity] if tunnel.identity else []
        command = ["ssh", *options, f"{tunnel.user}@{tunnel.host}", *command]
    atexit.register(_run_bounded, command, script, os.getpid())


def _run_bounded(command: list[str], script: str, pid: int) -> None:
    if os.getpid() != pid:  # a fork of the process that wants it
        return
    quiet = subprocess.DEVNULL
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            command, input=script, text=True, stdout=quiet, stderr=quiet, timeout=_AT_EXIT_BOUND, check=False
        )


def run_through(tunnel: Any, command: str, text: str = "") -> str:
    """Run a command at the other end of a tunnel; what it printed.

    Args:
        tunnel: nemo-run's SSHTunnel or LocalTunnel; one that is not connected is left so.
        command: The command.
        text: Its standard input.

    Raises:
        LauncherError: Where the other end cannot be reached, or the command fails.
    """
    connected = bool(getattr(getattr(tunnel, "session", None), "is_connected", False))
    used = tunnel if connected else dataclasses.replace(tunnel)
    try:
        used.connect()
        return str(used.run(command, hide=True, in_stream=io.StringIO(text)).stdout)
    except (Exception, SystemExit) as error:  # nemo-run's SSHTunnel exits where it cannot log in
        raise LauncherError(f"{tunnel.key}: {_last_line(error)}") from None
    finally:
        if not connected:
            used.cleanup()


def _last_line(error: BaseException) -> str:
    """What a failed command said, without the command."""
    if isinstance(error, SystemExit):
        return "the login is refused: does this account there accept the key that `identity` names?"
    said = str(getattr(getattr(error, "result", None), "stderr", "") or error).strip()
    return said.splitlines()[-1] if said else type(error).__name__


def _sweep(folder: Path) -> None:
    oldest = time.time() - MAX_AGE_DAYS * 24 * 3600
    for left in folder.iterdir():
        if left.stat().st_mtime < oldest:
            shutil.rmtree(left, ignore_errors=True)


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # not in a fork of the process that wrote it
        shutil.rmtree(folder, ignore_errors=True)
