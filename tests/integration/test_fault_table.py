"""Whatever is wrong with host, variable or server: the script runs as ever, one line says what, data is kept.

With the newest wandb and the oldest. A row's job is over within a bound, and whatever it could not send lies on disk.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.jobs import Job, companions, wait_for_companions
from tests.wandb_server import Fault

RELEASES = ("wandb-3.12", "wandb-0.19.11")
SCRIPT = "import sys\nprint('trained')\nprint('noted', file=sys.stderr)\nsys.exit(3)\n"
# The words after `wandb sync` in a line.
SYNC = rb"wandb sync ((?:--include-online )?/\S+)"
HURRY = {"WANDB_INIT_TIMEOUT": "3", "WANDB_FINISH_TIMEOUT": "3"}


@dataclass(frozen=True)
class Row:
    """What is wrong.

    Attributes:
        environ: Variables; None takes one away. "{dir}" stands for the job's directory, "{https}" for
            its server, which speaks no TLS.
        files: What lies in the job's directory.
        fault: Of the server.
        answer: What a server of its own says to whoever connects; None: the job's is used.
        pause: Seconds between two bytes of that.
        shell: What a shell does before it becomes the interpreter.
        arguments: Of the script.
        kept: Whether the run's data is on disk or at the server; False where there can be no run.
    """

    environ: Mapping[str, str | bytes | None] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    fault: Fault | None = None
    answer: bytes | None = None
    pause: float = 0
    shell: str = ""
    arguments: tuple[bytes, ...] = ()
    kept: bool = True


def variable(name: str, *values: str | bytes, kept: bool = True) -> dict[str, Row]:
    """A row for each value of a variable."""
    return {f"{name}={value!r}": Row({name: value}, kept=kept) for value in values}


def server(step: str, *faults: Fault) -> dict[str, Row]:
    """A row for each fault of the server at a step of a run's life."""
    return {
        f"{step}: {fault.kind} {fault.status if fault.kind == 'status' else ''}": Row(fault=fault) for fault in faults
    }


def wandb_that(text: str) -> Row:
    """A wandb package that does something else when it is imported."""
    return Row({"PYTHONPATH": "{dir}/packages"}, {"packages/wandb/__init__.py": text}, kept=False)


ROWS: dict[str, Row] = {
    **variable("HOME", "", "/nowhere", "/etc/passwd", "/proc"),
    **variable("WANDB_DIR", "{dir}/train.py", "/proc/nowhere", "/nowhere", b"\xff\xfe"),
    **variable("WANDB_API_KEY", "", " ", "short", "k" * 40 + "\n", " " + "k" * 40, "schlüssel" * 5, b"\xff" * 40),
    **variable("WANDB_FINISH_TIMEOUT", "inf", "nan", "-1", "soon"),
    **variable("WANDB_MODE", "dryrun", "offline", "nonsense"),
    **variable("WANDB_RUN_ID", "", "a:b", "x" * 200, b"\xff"),
    **variable("WANDB_RESUME", "nonsense", "must", "allow"),
    **variable("WANDB_NAME", b"\xff\xfe", "x" * 5000),
    **variable("WANDB_BASE_URL", "http://nosuch.invalid", "https://127.0.0.1:9", "http://127.0.0.1:9", "http://[", "x"),
    **variable("WANDB_CONSOLE", "off", kept=False),
    **variable("WANDB_CONSOLE", "nonsense"),
    **variable("WANDB_CACHE_DIR", "/proc/nowhere"),
    **variable("WANDB_CONFIG_DIR", "/proc/nowhere", "{dir}/train.py"),
    **variable("WANDB_API_KEY_FILE", "{dir}", "/dev/zero", "/nowhere"),
    "no key": Row({"WANDB_API_KEY": None}),
    "bytes in netrc": Row({"WANDB_API_KEY": None, "NETRC": "{dir}/netrc"}, {"netrc": b"machine \xff login \xfe\n"}),
    "words in netrc": Row({"WANDB_API_KEY": None, "NETRC": "{dir}/netrc"}, {"netrc": "nothing of the kind {"}),
    "a settings file of bytes": Row(files={"wandb/settings": b"[default]\nproject = \xff\n"}),
    "a settings file that is none": Row(files={"wandb/settings": "project"}),
    "a file in place of wandb/": Row(files={"wandb": ""}),
    "bytes in an argument": Row(arguments=(b"--name=\xff",)),
    "a small address space": Row(shell="ulimit -v 1500000"),
    "few descriptors": Row(shell="ulimit -n 40"),
    "a script name of bytes": Row(files={b"\xff.py".decode("utf-8", "surrogateescape"): SCRIPT}),
    "wandb that exits": wandb_that("raise SystemExit(7)"),
    "wandb that is interrupted": wandb_that("raise KeyboardInterrupt"),
    "wandb that does not compile": wandb_that("def"),
    "wandb that lacks a library": wandb_that("import no_such_library"),
    "wandb that has nothing": wandb_that("print('hello')"),
    "no HTTP": Row(answer=b"220 mail.example.com ESMTP\r\n"),
    "garbage": Row(answer=bytes(range(256)) * 64),
    "long headers": Row(answer=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000),
    "an endless redirect": Row(answer=b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"),
    "a page": Row(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>hi</html>"),
    "a byte at a time": Row(answer=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 9999, pause=0.1),
    "no TLS": Row({"WANDB_BASE_URL": "{https}"}),
    "half an answer": Row(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 1500\r\n\r\n{"),
    **server("any step", *(Fault("status", code) for code in (401, 403, 404, 500, 503)), Fault("drop"), Fault("reset")),
    **server("the run", *(Fault("status", code, match="UpsertBucket") for code in (403, 404, 409, 500)),
             Fault("drop", match="UpsertBucket"), Fault("hang", match="UpsertBucket")),
    **server("its data", *(Fault("status", code, match="file_stream") for code in (401, 404, 429, 500)),
             Fault("reset", match="file_stream"), Fault("hang", match="file_stream")),
    **server("its files", Fault("status", 500, match="^/storage"), Fault("hang", match="^/storage")),
}  # fmt: skip


@contextmanager
def says(answer: bytes, pause: float) -> Iterator[str]:
    """A server with one answer for everything, at once or byte by byte."""
    pieces = [answer[at : at + 1] for at in range(len(answer))] if pause else [answer]
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.settimeout(1)
                    connection.recv(1 << 16)
                    for piece in pieces:
                        connection.sendall(piece)
                        if over.wait(pause):
                            return
                except OSError:
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def run(job: Job, release: str, row: Row, url: str) -> subprocess.CompletedProcess[bytes]:
    """Run the script under this row."""
    job.write("train.py", SCRIPT)
    names = [b"train.py"]
    for name, content in row.files.items():
        path = job.directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        names += [os.fsencode(name)] if os.fsencode(name).endswith(b"f.py") else []
    fill: Callable[[str], str] = lambda text: (  # noqa: E731
        text.replace("{dir}", str(job.directory)).replace("{https}", url.replace("http:", "https:"))
    )
    environ: dict[bytes, bytes] = {os.fsencode(name): os.fsencode(value) for name, value in job.environ.items()}
    environ |= {name.encode(): value.encode() for name, value in HURRY.items()}
    environ[b"WANDB_BASE_URL"] = url.encode()
    environ[b"PYTHONPATH"] = os.fsencode(job.home)
    for name, value in row.environ.items():
        if value is None:
            environ.pop(name.encode())
        else:
            environ[name.encode()] = value if isinstance(value, bytes) else fill(value).encode()
    if "PYTHONPATH" in row.environ:
        environ[b"PYTHONPATH"] = os.fsencode(job.home) + b":" + environ[b"PYTHONPATH"]
    words: list[str | bytes] = [str(python_of(release)), names[-1], *row.arguments]
    if row.shell:
        words = ["bash", "-c", f'{row.shell}; exec "$@"', "bash", *words]
    before = companions()
    done = subprocess.run(words, cwd=job.directory, env=environ, capture_output=True, timeout=60, check=False)
    wait_for_companions(before)
    return done


def under(job: Job, release: str, row: Row) -> subprocess.CompletedProcess[bytes]:
    """Run the script with the row's fault, or the row's server."""
    if row.fault is not None:
        job.server.set_fault(row.fault)
    if row.answer is None:
        return run(job, release, row, job.server.url)
    with says(row.answer, row.pause) as url:
        return run(job, release, row, url)


@pytest.mark.in_turn
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", ROWS)
def test_the_script_runs_and_one_line_says_what_is_wrong(job: Job, name: str, release: str) -> None:
    row = ROWS[name]
    done = under(job, release, row)
    assert (done.returncode, done.stdout) == (3, b"trained\n"), done.stderr
    lines = [line for line in done.stderr.splitlines() if line != b"noted"]
    assert len([line for line in lines if not line.startswith(b"wandb-shim: run ")]) <= 1, lines
    assert all(line.startswith(b"wandb-shim: ") for line in lines), lines
    if row.kept:
        logs = [path for path in job.directory.parent.rglob("*.wandb") if b"trained" in path.read_bytes()]
        sent = any("trained" in run.console_text() for run in job.server.runs)
        elsewhere = re.search(SYNC, b"".join(lines))
        assert logs or sent or (elsewhere and Path(os.fsdecode(elsewhere[1].split()[-1])).is_dir()), lines


@pytest.mark.matrix
@pytest.mark.parametrize("name", ROWS)
def test_the_sync_that_a_line_names_brings_the_run_to_wandb(job: Job, name: str) -> None:
    release = RELEASES[0]  # the oldest asks the server about its schema first, which the double does not have
    done = under(job, release, ROWS[name])
    named = re.findall(SYNC, done.stderr)
    if not named:
        return  # the run was sent, or there can be none: the test above tells which
    job.server.clear_faults()
    command = [str(python_of(release)), "-m", "wandb", "sync", *os.fsdecode(named[-1]).split()]
    # Elsewhere: in a directory with such a wandb/ the command itself fails.
    synced = subprocess.run(
        command, cwd=job.directory.parent, env=job.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert synced.returncode == 0, synced.stderr
    assert any("trained" in run.console_text() for run in job.server.runs), synced.stdout + synced.stderr
