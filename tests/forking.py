"""One interpreter that has imported what takes long, and forks for each program that a test gives it.

`import nemo_run` alone is seven seconds of a CPU, and tests need it twenty times.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

# Takes a program a line, forks for it, and answers with its exit code.
_SERVER = """
import atexit, json, os, sys, traceback
exec(json.loads(sys.stdin.readline()))
for line in sys.stdin:
    told = json.loads(line)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    code = 1
    try:
        os.environ.clear()
        os.environ.update(told["environ"])
        os.chdir(told["folder"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, name in enumerate((nothing, told["out"], told["err"])):
            os.dup2(name if number == 0 else os.open(name, os.O_WRONLY | os.O_CREAT, 0o600), number)
        exec(compile(told["program"], "<program>", "exec"), {"__name__": "__main__"})
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
"""


class Forks:
    """A running interpreter that forks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, program: str, environ: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a program in a fork.

        Args:
            program: Its text.
            environ: All variables that it has.
            folder: Its working directory; its output is left there.
        """
        out, err = folder / "stdout", folder / "stderr"
        for file in (out, err):
            file.unlink(missing_ok=True)
        told = {"program": program, "environ": dict(environ), "folder": str(folder), "out": str(out), "err": str(err)}
        answer = self._ask(json.dumps(told))
        return subprocess.CompletedProcess([program], int(answer), out.read_text(), err.read_text())

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextlib.contextmanager
def forking(python: Path, first: str, environ: Mapping[str, str]) -> Iterator[Forks]:
    """Start an interpreter, run `first` in it, and end it afterwards.

    Args:
        python: The interpreter.
        first: What all programs find done: its imports.
        environ: Its variables while it imports.
    """
    command = [str(python), "-W", "ignore", "-c", _SERVER]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=dict(environ)) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(first) + "\n")
        yield Forks(process)
        process.stdin.close()
