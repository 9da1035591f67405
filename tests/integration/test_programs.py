"""Small programs that look closely do the same with the shim and without it, tracked and untracked.

They lie in programs.txt, need nothing but the standard library, and end within a few seconds. Tracked runs are offline:
what their record has to say is the business of other tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import interpreters
from tests.environments import python_of
from tests.jobs import Job, companions, wait_for_companions


@dataclass(frozen=True)
class Program:
    """A program, and how it is run.

    Attributes:
        text: Its source.
        options: Of the interpreter.
        how: "script", "module", "directory" or "zip".
        stdin: What it reads.
        as_root: Whether only root can run it.
    """

    text: str
    options: str = ""
    how: str = "script"
    stdin: str = ""
    as_root: str = ""


def programs() -> dict[str, Program]:
    """Those of programs.txt: "### name | field=value | …", then the text."""
    found = {}
    for section in Path(__file__).with_name("programs.txt").read_text(encoding="utf-8").split("### ")[1:]:
        head, _, text = section.partition("\n")
        name, *fields = head.split(" | ")
        found[name] = Program(text.rstrip("\n") + "\n", **dict(field.split("=", 1) for field in fields))
    return found


PROGRAMS = programs()


def place(program: Program, directory: Path) -> list[str]:
    """Write a program, and say how it is started."""
    directory.mkdir()
    directory.chmod(0o777)
    (directory / "train.py").write_text(program.text)
    if program.how == "module":
        return ["-m", "train"]
    if program.how == "script":
        return ["train.py"]
    (directory / "app").mkdir()
    (directory / "app" / "__main__.py").write_text(program.text)
    if program.how == "directory":
        return ["app"]
    with zipfile.ZipFile(directory / "app.pyz", "w") as archive:
        archive.write(directory / "app" / "__main__.py", "__main__.py")
    return ["app.pyz"]


def outcome(
    python: Path, program: Program, directory: Path, variables: Mapping[str, str]
) -> tuple[tuple[int, bytes, bytes], list[bytes]]:
    """Exit code, stdout, stderr without our lines; and these."""
    words = [str(python), *program.options.split(), *place(program, directory), "--lr", "1"]
    done = subprocess.run(
        words, cwd=directory, env=variables, input=program.stdin.encode(), capture_output=True, timeout=60, check=False
    )
    lines = done.stderr.splitlines(keepends=True)
    ours = [line for line in lines if line.startswith(b"wandb-shim: ")]
    theirs = b"".join(line for line in lines if line not in ours)
    return (done.returncode, _same(done.stdout, directory), _same(theirs, directory)), ours


def _same(text: bytes, directory: Path) -> bytes:
    """Without what differs from run to run."""
    return re.sub(rb"0x[0-9a-f]{6,}", b"0x", text.replace(str(directory).encode(), b""))


@pytest.mark.in_turn
@pytest.mark.parametrize("python", interpreters.pythons())
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_does_the_same(python: str, program: Program, job: Job, tmp_path: Path) -> None:
    interpreter = python_of(f"wandb-{python}")
    if program.as_root and os.getuid() != 0:
        pytest.skip("only root can run it")
    tracked = {**job.environ, "PYTHONPATH": str(job.home), "WANDB_MODE": "offline", "PYTHONHASHSEED": "0"}
    untracked = {name: value for name, value in tracked.items() if name != "WANDB_PROJECT"}
    off, none = outcome(interpreter, program, tmp_path / "off", {**tracked, "WANDB_SHIM": "off"})
    assert none == []
    assert outcome(interpreter, program, tmp_path / "untracked", untracked) == (off, [])
    before = companions()
    seen, lines = outcome(interpreter, program, tmp_path / "tracked", tracked)
    wait_for_companions(before)
    assert seen == off
    assert len(lines) <= 1, lines
    assert list((tmp_path / "tracked").glob("**/offline-run-*/*.wandb")), lines
