"""A script finds the interpreter as it would without the shim, and stays what it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.environments import python_of
from tests.jobs import Job

pytestmark = pytest.mark.in_turn

# What a script may look at on its first line. Nothing is imported that would change what is seen.
LOOK = """\
import sys
modules = set(sys.modules)
path = list(sys.path)
main = {n: v if n == "__file__" else type(v).__name__ for n, v in vars(sys.modules["__main__"]).items()}
state = {
    "excepthook": sys.excepthook is sys.__excepthook__, "exit": getattr(sys.exit, "__module__", None),
    "exit code": repr(SystemExit(3).code),
    "displayhook": sys.displayhook is sys.__displayhook__,
    "unraisablehook": sys.unraisablehook is sys.__unraisablehook__,
    "recursion limit": sys.getrecursionlimit(), "switch interval": sys.getswitchinterval(),
    "profile": sys.getprofile() is None, "trace": sys.gettrace() is None,
    "byte code": sys.dont_write_bytecode, "flags": repr(sys.flags), "frames": sys._getframe().f_back is None,
    "tools": [t for t in range(6) if hasattr(sys, "monitoring") and sys.monitoring.get_tool(t)],
    "gc": __import__("gc").isenabled(),
}
import asyncio, locale, os, random, signal, socket, threading, tracemalloc, warnings, logging, multiprocessing, platform
state |= {
    "argv": sys.argv, "orig_argv": sys.orig_argv[1:], "path": path, "main": main,
    "filters": [repr(f) for f in warnings.filters if f[2].__module__ == "builtins"],
    "cwd": os.getcwd(), "locale": locale.setlocale(locale.LC_ALL), "umask": os.umask(0o22),
    "encodings": [sys.stdout.encoding, sys.stderr.encoding, sys.stdin.encoding, sys.stdout.errors],
    "buffering": [sys.stdout.line_buffering, sys.stdout.write_through, sys.stdout.isatty()],
    "signals": {str(n): repr(signal.getsignal(n)) for n in signal.valid_signals()},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "logging": [logging.root.level, len(logging.root.handlers)],
    "start method": multiprocessing.get_start_method(allow_none=True),
    "timeout": socket.getdefaulttimeout(), "main thread": threading.current_thread() is threading.main_thread(),
    "malloc": tracemalloc.is_tracing(), "threads hook": threading.excepthook is threading.__excepthook__,
    "random": [random.random(), random.getrandbits(64)] if random.seed(7) is None else [],
    "environ": {n: v for n, v in os.environ.items()},
    "fresh random": random.Random(3).random(),
}
try:
    import numpy
except ImportError:
    pass
else:
    state["numpy"] = [numpy.random.seed(1), float(numpy.random.rand())]
with open("seen.json", "w") as file:
    json = __import__("json")
    json.dump({"state": state, "modules": sorted(modules)}, file)
"""
HEAVY = {"numpy", "torch", "pandas", "tensorflow", "jax", "IPython", "matplotlib", "scipy", "PIL", "sklearn"}
# What the shim is documented to leave in the environment of its process: its mark, and wandb's service, for children.
OURS = {"WANDB_SHIM_OWNED_BY", "WANDB_SHIM_ATTACH", "PYTHONPATH"}


def seen(job: Job, python: Path, *command: str, shim: bool, **environ: str | None) -> tuple[dict[str, Any], set[str]]:
    """What a script sees on its first line, and the modules that are loaded there."""
    job.run(python, *command, shim=shim, environ=environ)
    found = json.loads((job.directory / "seen.json").read_text())
    return found["state"], set(found["modules"])


def assert_nothing_differs(job: Job, python: Path, *command: str) -> None:
    plain, _ = seen(job, python, *command, shim=False)
    tracked, modules = seen(job, python, *command, shim=True)
    plain_environ, tracked_environ = plain.pop("environ"), tracked.pop("environ")
    # The shim's home is on sys.path because the test puts it there.
    tracked["path"] = [entry for entry in tracked["path"] if entry != str(job.home)]
    differing = [f"{name}: {plain[name]} became {tracked[name]}" for name in plain if plain[name] != tracked[name]]
    assert not differing, "\n".join(differing)
    changed = {name for name, value in tracked_environ.items() if plain_environ.get(name) != value}
    assert changed <= OURS, changed - OURS
    assert set(plain_environ) <= set(tracked_environ)
    assert not modules & HEAVY
    assert job.server.run().exit_code == 0


def test_the_first_line_sees_an_interpreter_that_nobody_touched(job: Job, interpreter: Path) -> None:
    job.write("train.py", LOOK)
    assert_nothing_differs(job, interpreter, "train.py", "--lr", "1")


@pytest.mark.parametrize("environment", ["demo", "wandb-0.19.11", "wandb-0.23.1", "wandb-0.25.1"])
def test_older_releases_and_installed_packages_make_no_difference(job: Job, environment: str) -> None:
    job.write("train.py", LOOK)
    assert_nothing_differs(job, python_of(environment), "train.py")


@pytest.mark.parametrize("options", [["-m", "pkg.train"], ["-P", "pkg/train.py"], ["-W", "error", "pkg/train.py"]])
def test_the_way_of_starting_makes_no_difference(job: Job, options: list[str]) -> None:
    job.write("pkg/train.py", LOOK)
    job.write("pkg/__init__.py", "")
    assert_nothing_differs(job, python_of("wandb-3.12"), *options)


def test_the_random_stream_of_a_script_that_never_seeds_is_not_moved_by_the_run(job: Job) -> None:
    script = """
import random, threading, time
random.seed(5)
first = [random.random() for _ in range(3)]
random.seed(5)
time.sleep(1)  # the run's threads are at work
assert [random.random() for _ in range(3)] == first
"""
    job.write("train.py", script)
    job.run(python_of("wandb-0.23.1"), "train.py")
    assert job.server.run().exit_code == 0


# Names that wandb or the shim import themselves.
NAMES = ["click", "requests", "yaml", "typing_extensions", "platform", "queue", "secrets", "wandb_something", "shim"]
NAMES += [
    "config",
    "run",
    "environment",
    "guard",
    "pydantic",
    "packaging",
    "google",
    "log",
    "wrapt",
    "six",
    "git",
    "tests",
]


def test_a_script_imports_its_own_modules_whatever_their_names(job: Job, interpreter: Path) -> None:
    for name in NAMES:
        job.write(f"{name}.py", f"mine = '{name}'\n")
    job.write("utils/__init__.py", "from . import helpers\n")
    job.write("utils/helpers.py", "mine = 'utils'\n")
    job.write("urllib3/__init__.py", "mine = 'urllib3'\n")
    job.write("namespace/part.py", "mine = 'part'\n")
    script = f"import importlib\nfor name in {[*NAMES, 'utils.helpers', 'urllib3', 'namespace.part']}:\n"
    job.write("train.py", script + "    print(importlib.import_module(name).mine)\n")
    plain = job.run(interpreter, "train.py", shim=False).stdout
    assert job.run(interpreter, "train.py").stdout == plain
    assert job.server.run().exit_code == 0


@pytest.mark.parametrize("name", ["grp.py", "click.py", "wandb_train.py", "random.py", "wandb.py", "socket.py"])
def test_a_script_may_have_the_name_of_a_module(job: Job, name: str) -> None:
    job.write(name, "from __future__ import annotations\nprint('trained', __name__)\n")
    plain = job.run(python_of("wandb-3.12"), name, shim=False)
    tracked = job.run(python_of("wandb-3.12"), name)
    assert tracked.stdout == plain.stdout
    run = job.server.run()
    assert (run.exit_code, run.program) == (0, str(job.directory / name))


@pytest.mark.parametrize("name", ["wandb.py", "wandb/__init__.py"])
def test_a_wandb_of_the_scripts_own_is_what_it_imports(job: Job, name: str) -> None:
    job.write(name, "mine = True\n")
    job.write("train.py", "import wandb\nprint(wandb.mine)\n")
    done = job.run(python_of("wandb-3.12"), "train.py")
    assert done.stdout == "True\n"
    assert "a wandb of its own" in done.stderr
    assert not job.server.runs


def test_a_script_reads_standard_input_and_prints_a_lot(job: Job) -> None:
    script = "import sys\ntext = sys.stdin.read()\nfor number in range(500):\n    print(number, text * 3)\n"
    job.write("train.py", script)
    plain = job.run(python_of("wandb-3.12"), "train.py", shim=False, stdin="täglich\n").stdout
    assert job.run(python_of("wandb-3.12"), "train.py", stdin="täglich\n").stdout == plain
    assert job.server.run().console_text().endswith("täglich")


STREAMS = {
    "stdout closed": "import sys\nsys.stdout.close()",
    "stderr closed": "import sys\nsys.stderr.close()",
    "stdout replaced": "import io, sys\nsys.stdout = io.StringIO()\nprint('swallowed')",
    "streams gone": "import sys\nsys.stdout = sys.stderr = None\nprint('nowhere')",
    "bytes": "import sys\nsys.stdout.buffer.write(b'raw\\x00\\n')\nsys.stdout.flush()\nprint('text')",
    "descriptor closed": "import os\nos.closerange(0, 3)",
    "carriage returns": "for n in range(50):\n    print(f'\\r{n}%', end='', flush=True)",
    "a thread at the end": "import threading\nthreading.Timer(1, print, ['late']).start()",
    "a daemon at the end": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "a child at the end": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(1)'])",
    "a changed directory": "import os, tempfile\nos.chdir(tempfile.mkdtemp())\nprint('elsewhere')",
    "a cleared environment": "import os\nos.environ.clear()\nprint('bare')",
    "a spawned child": (
        "import multiprocessing\nif __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n        print(pool.map(abs, [-1, -2]))"
    ),
}


@pytest.mark.parametrize("script", STREAMS.values(), ids=STREAMS)
def test_an_unusual_script_runs_as_it_does_without_the_shim(job: Job, script: str) -> None:
    job.write("train.py", script + "\n")
    python = python_of("wandb-3.12")
    plain = job.run(python, "train.py", shim=False, check=False)
    tracked = job.run(python, "train.py", check=False, environ={"WANDB_FINISH_TIMEOUT": "5"}, timeout=60)
    assert (tracked.returncode, tracked.stdout) == (plain.returncode, plain.stdout), tracked.stderr
    assert "Traceback" not in tracked.stderr.replace(plain.stderr, "")


@pytest.mark.parametrize("shim", [False, True])
def test_a_reader_that_goes_away_ends_the_script_as_always(job: Job, shim: bool) -> None:
    job.write("train.py", "for number in range(100_000):\n    print(number)\n")
    command = f"{python_of('wandb-3.12')} train.py | head -n 2; echo ${{PIPESTATUS[0]}}"
    done = job.run("bash", "-c", command, shim=shim)
    assert done.stdout == "0\n1\n1\n"
    assert [run.exit_code for run in job.server.runs] == ([1] if shim else [])


def test_stdout_is_the_same_byte_by_byte(job: Job, interpreter: Path) -> None:
    job.write("train.py", "import sys\nfor n in range(300):\n    print(n, 'ä')\n    print(n, file=sys.stderr)\n")
    environ = dict(job.environ)
    outputs = [
        subprocess.run(
            [interpreter, "train.py"],
            cwd=job.directory,
            env=environ | ({"PYTHONPATH": str(job.home)} if shim else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        ).stdout
        for shim in (False, True)
    ]
    assert outputs[0] == outputs[1]
    assert len(job.server.run().console) == 600
