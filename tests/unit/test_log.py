"""What the shim says: single lines on the interpreter's own stderr."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def said(repository: Path, code: str, **environ: str) -> tuple[str, str]:
    """Run code that has `log`; its stdout and stderr."""
    program = f"import sys; sys.path.insert(0, {str(repository)!r}); from shim import log\n{code}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


EVERY_LEVEL = "log.debug('1'); log.info('2'); log.warn('3'); log.notice('4')"


@pytest.mark.parametrize(
    ("environ", "numbers"),
    [
        ({}, "34"),
        ({"WANDB_SHIM_LOG": "warn"}, "34"),
        ({"WANDB_SHIM_LOG": "info"}, "234"),
        ({"WANDB_SHIM_LOG": " DEBUG "}, "1234"),
        ({"WANDB_SHIM_LOG": "nonsense"}, "34"),
        ({"WANDB_SILENT": "true"}, "3"),
        ({"WANDB_QUIET": "1"}, "3"),
        ({"WANDB_SILENT": "false"}, "34"),
    ],
)
def test_levels_and_wandbs_own_switches_decide(repository: Path, environ: dict[str, str], numbers: str) -> None:
    expected = "".join(f"wandb-shim: {number}\n" for number in numbers)
    assert said(repository, EVERY_LEVEL, **environ) == ("", expected)


def test_a_message_is_one_line(repository: Path) -> None:
    assert said(repository, "log.warn('a\\n  b\\r\\nc')")[1] == "wandb-shim: a b c\n"


def test_what_cannot_be_encoded_is_escaped(repository: Path) -> None:
    assert "\\udcff" in said(repository, "log.warn('name \\udcff')")[1]


@pytest.mark.parametrize(
    "breaking",
    [
        "sys.stderr.close()",
        "sys.__stderr__ = None",
        "import os; os.close(2)",
        "sys.stderr = None; sys.__stderr__ = None",
    ],
)
def test_without_a_stderr_nothing_is_said_and_nothing_breaks(repository: Path, breaking: str) -> None:
    assert said(repository, f"{breaking}\nlog.warn('x')\nprint('on')")[0] == "on\n"


def test_a_replaced_stderr_is_not_written_to(repository: Path) -> None:
    code = "import io; sys.stderr = io.StringIO(); log.warn('x'); print(repr(sys.stderr.getvalue()))"
    assert said(repository, code) == ("''\n", "wandb-shim: x\n")


def test_what_was_printed_before_comes_before(repository: Path) -> None:
    assert said(repository, "sys.stderr.write('first '); log.warn('x')")[1] == "first wandb-shim: x\n"


def test_saying_something_sets_no_logging_up(repository: Path) -> None:
    assert said(repository, "log.warn('x'); print('logging' in sys.modules)")[0] == "False\n"
