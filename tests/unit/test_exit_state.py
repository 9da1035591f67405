"""The exit code of a process, as `ExitState` tells it from inside, against the one that the operating system sees."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from shim.script.exit_state import exit_code_of
from tests import interpreters

ENDINGS = [
    "pass",
    "import sys; sys.exit()",
    "import sys; sys.exit(3)",
    "import sys; sys.exit(-1)",
    "import sys; sys.exit(256)",
    "import sys; sys.exit(2**40 + 7)",
    "import sys; sys.exit(True)",
    "import sys; sys.exit('text')",
    "import sys; sys.exit('')",
    "import sys; sys.exit(3.0)",
    "import sys; sys.exit((1, 2))",
    "raise SystemExit",
    "raise SystemExit(4)",
    "raise SystemExit('text')",
    "raise SystemExit(1, 2)",
    "error = SystemExit(); error.code = 6; raise error",
    "raise RuntimeError('boom')",
    "class Quiet(BaseException): pass\nraise Quiet",
    "import sys; sys.excepthook = None; raise ValueError",
    "import sys; sys.excepthook = lambda *error: sys.exit(5); raise ValueError",
    "import sys\ntry:\n    sys.exit(3)\nexcept SystemExit as error:\n    print(error.code)",
    "import sys\ntry:\n    sys.exit(3)\nexcept SystemExit:\n    raise KeyError('other')",
    "import sys\ntry:\n    sys.exit(3)\nfinally:\n    sys.exit(4)",
    "def generate():\n    yield 1\nfor _ in generate():\n    pass\nraise SystemExit(2)",
    "import asyncio\nasync def main():\n    raise SystemExit(8)\nasyncio.run(main())",
    "exec('raise SystemExit(7)')",
    "import runpy, sys; sys.argv = ['other.py']; runpy.run_path('other.py', run_name='__main__')",
]
WATCHED = """\
import atexit as _atexit, sys as _sys
_sys.path.insert(0, REPOSITORY)
from shim.script.exit_state import ExitState
_state = ExitState(_sys._getframe())
_sys.path.pop(0)
def _tell():
    with open("code", "w") as file:
        file.write(str(_state.code()))
_atexit.register(_tell)
"""


@pytest.mark.parametrize("minor", interpreters.pythons())
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_code_from_inside_is_the_code_from_outside(
    tmp_path: Path, repository: Path, minor: str, ending: str
) -> None:
    (tmp_path / "other.py").write_text("raise SystemExit(11)\n")
    (tmp_path / "train.py").write_text(WATCHED.replace("REPOSITORY", repr(str(repository))) + ending + "\n")
    python = interpreters.pythons()[minor]
    done = subprocess.run([python, "train.py"], cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert int((tmp_path / "code").read_text()) == done.returncode, done.stderr.decode()


@pytest.mark.parametrize(("value", "code"), [(None, 0), (3, 3), (-1, 255), (True, 1), (False, 0), ("", 1), (3.0, 1)])
def test_the_status_of_a_code(value: object, code: int) -> None:
    assert exit_code_of(value) == code
