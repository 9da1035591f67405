"""What a start costs, in units that do not depend on how busy the machine is: modules, system calls, instructions."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What a program that is measured does: it says what its process holds, to a file, since stdout belongs to the test.
PROBE = """\
import os, sys
with open(os.environ["PROBE"], "w") as file:
    file.write(repr([sorted(sys.modules), len(os.listdir("/proc/self/task"))]).replace("'", '"'))
"""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a program.

    Attributes:
        modules: What was in `sys.modules`.
        threads: How many it had.
        file_calls: System calls that take a file name, in the process and its children.
        output: Everything on stdout and stderr.
    """

    modules: frozenset[str]
    threads: int
    file_calls: int
    output: str


def fixed(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables under which two starts do exactly the same: sets and dicts are in the same order."""
    return {**environ, "PYTHONHASHSEED": "0"}


def count_start(command: Sequence[str | Path], environ: Mapping[str, str], scratch: Path) -> Start:
    """Start a command that runs `PROBE`, under strace."""
    trace, probe = scratch / "trace", scratch / "probe"
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=%file", "-o", trace, *command],
        env={**fixed(environ), "PROBE": str(probe)},
        cwd=scratch,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}"
    modules, threads = json.loads(probe.read_text())
    calls = sum("(" in line for line in trace.read_text(errors="replace").splitlines())
    return Start(frozenset(modules), threads, calls, done.stdout)


def count_instructions(command: Sequence[str | Path], environ: Mapping[str, str], scratch: Path) -> int:
    """Run a command under callgrind: instructions of its process, not of its children."""
    with subprocess.Popen(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command],
        env={**fixed(environ), "PROBE": str(scratch / "probe")},
        cwd=scratch,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said = process.communicate(timeout=300)[1]
    # A child that it forks says its own number.
    found = re.search(rf"=={process.pid}== Collected : (\d+)", said)
    assert process.returncode == 0, f"{command}: {said}"
    assert found, f"{command}: {said}"
    return int(found[1])
