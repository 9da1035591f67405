"""However a job ends, the recorded exit code is the process's, and its ending is what it is without the shim."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.environments import python_of
from tests.jobs import Job

pytestmark = pytest.mark.in_turn

# Name: (the end of the script, the exit code). Interpreters differ in what they tell about these.
ENDINGS = {
    "the last line": ("x = 1", 0),
    "sys.exit(0)": ("sys.exit(0)", 0),
    "sys.exit(3)": ("sys.exit(3)", 3),
    "sys.exit() with a message": ("sys.exit('no data')", 1),
    "sys.exit(True)": ("sys.exit(True)", 1),
    "sys.exit(None)": ("sys.exit(None)", 0),
    "sys.exit(259)": ("sys.exit(259)", 3),
    "an exception": ("raise ValueError('boom')", 1),
    "an exception under a replaced excepthook": (
        "sys.excepthook = lambda *error: print('mine', error[0].__name__)\nraise ValueError('boom')",
        1,
    ),
    "raise SystemExit": ("raise SystemExit(3)", 3),
    "raise SystemExit in a function": (
        "def train(step):\n    if step == 3:\n        raise SystemExit('stop')\n    train(step + 1)\ntrain(0)",
        1,
    ),
    "a subclass of SystemExit": ("class Stop(SystemExit):\n    pass\nraise Stop(4)", 4),
    "the builtin exit": ("exit(3)", 3),
    "an exception that replaces SystemExit": ("try:\n    raise SystemExit(3)\nfinally:\n    1 / 0", 1),
    "SystemExit caught": ("try:\n    sys.exit(3)\nexcept SystemExit as error:\n    print(error.code)", 0),
    "SystemExit caught at the last line": (
        "import contextlib\nwith contextlib.suppress(SystemExit):\n    sys.exit(3)",
        0,
    ),
    "SystemExit caught, then another": ("try:\n    sys.exit(3)\nexcept SystemExit:\n    pass\nsys.exit(5)", 5),
    "SystemExit caught, then an exception": ("try:\n    sys.exit(3)\nexcept SystemExit:\n    pass\n1 / 0", 1),
}

# The same everywhere, so once.
SPECIAL_ENDINGS = {
    "argparse": ("import argparse\nargparse.ArgumentParser().parse_args(['--nonsense'])", 2),
    "an exception in a loop of the main module": ("for step in range(3):\n    if step == 2:\n        1 / 0", 1),
    "an exception in an atexit handler": ("import atexit\natexit.register(os.stat, '/nowhere')", 0),
    "an exception in a thread": (
        "import threading\nthread = threading.Thread(target=lambda: 1 / 0, name='t')\nthread.start()\nthread.join()",
        0,
    ),
    "SystemExit in a thread": (
        "import threading\nthread = threading.Thread(target=sys.exit, args=(5,))\nthread.start()\nthread.join()",
        0,
    ),
    "os._exit": ("os._exit(9)", 9),
    "os._exit in a function that was imported earlier": ("from os import _exit as leave\nleave(6)", 6),
    "os.abort": ("os.abort()", -signal.SIGABRT),
    "an error printed earlier": (
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    sys.excepthook(*sys.exc_info())\nprint('on')",
        0,
    ),
    "a forked child that exits": (
        "pid = os.fork()\nif not pid:\n    sys.exit(7)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
        0,
    ),
    "a forked child that leaves by os._exit": (
        "pid = os.fork()\nif not pid:\n    os._exit(7)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
        0,
    ),
    "a non-daemon thread that outlives the main one": (
        "import threading\nthreading.Timer(0.5, print, ['from the thread']).start()",
        0,
    ),
}
HEAD = "import os\nimport sys\nprint('started', flush=True)\n"
EVERYWHERE = [pytest.param(*ending, id=name) for name, ending in ENDINGS.items()]
ONCE = [pytest.param(*ending, id=name) for name, ending in SPECIAL_ENDINGS.items()]


def ends_alike(job: Job, python: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script without and with the shim; all that a person sees of both must be the same."""
    job.write("train.py", HEAD + script + "\n")
    plain = job.run(python, "-W", "ignore::DeprecationWarning", "train.py", shim=False, check=False)
    tracked = job.run(python, "-W", "ignore::DeprecationWarning", "train.py", check=False)
    known = ("wandb-shim: run ", "wandb: [wandb.login()]")  # where the run is, and with which key
    seen = "".join(line for line in tracked.stderr.splitlines(True) if not line.startswith(known))
    assert (tracked.returncode, tracked.stdout, seen) == (plain.returncode, plain.stdout, plain.stderr)
    return tracked


@pytest.mark.parametrize(("script", "code"), EVERYWHERE)
def test_the_exit_code_is_recorded(job: Job, interpreter: Path, script: str, code: int) -> None:
    done = ends_alike(job, interpreter, script)
    assert (done.returncode, job.server.run().exit_code) == (code, code)


@pytest.mark.parametrize(("script", "code"), ONCE)
def test_the_exit_code_of_a_rarer_ending_is_recorded(job: Job, script: str, code: int) -> None:
    done = ends_alike(job, python_of("wandb-3.12"), script)
    recorded = job.server.run().exit_code
    assert (done.returncode, recorded) == (code, 128 - code if code < 0 else code)


# Starts a shell that signals this process from outside, after half a second, and notes when.
KILLER = """
import signal, subprocess, time

def kill_me_soon(name, after=0.5):
    command = f"sleep {after}; date +%s.%N > killed; kill -{name} {os.getpid()}"
    subprocess.Popen(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

"""
# What the main thread is at when SIGTERM comes.
OCCUPATIONS = {
    "asleep": "time.sleep(60)",
    "in a loop": "while True:\n    pass",
    "in C code that lets other threads run": "import hashlib\nfor _ in range(9):\n    hashlib.sha512(bytes(1 << 30))",
    "waiting for a lock": "import threading\nthreading.Lock().acquire() and threading.Event().wait()",
    "waiting for a child": "subprocess.run(['sleep', '12'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
    "reading from a pipe": "os.read(os.pipe()[0], 1)",
    "signalling itself": "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)",
    "in signal.pause": "signal.pause()",
    "in an event loop": "import asyncio\nasyncio.run(asyncio.sleep(60))",
    "in atexit": "import atexit\natexit.register(time.sleep, 20)",
}
PROMPT_S = 9.0  # docker stop waits 10


def killed(job: Job, python: Path, script: str) -> tuple[int, str, float]:
    """Run a script that a signal ends: exit code, stdout, and the seconds from the signal to the end."""
    job.write("train.py", HEAD + KILLER + script)
    done = job.run(python, "train.py", check=False)
    assert "wandb-shim: the run's end" not in done.stderr, done.stderr
    return done.returncode, done.stdout, time.time() - float((job.directory / "killed").read_text())


@pytest.mark.parametrize("occupation", OCCUPATIONS.values(), ids=OCCUPATIONS)
def test_a_job_that_sigterm_ends_is_recorded_and_still_dies_by_it(job: Job, occupation: str) -> None:
    code, output, seconds = killed(job, python_of("wandb-3.12"), "kill_me_soon('TERM')\n" + occupation)
    assert (code, output) == (-signal.SIGTERM, "started\n")
    assert job.server.run().exit_code == 128 + signal.SIGTERM
    assert seconds < PROMPT_S


def test_sigterm_is_recorded_on_every_python(job: Job, interpreter: Path) -> None:
    code, _, _ = killed(job, interpreter, "kill_me_soon('TERM')\nfor step in range(600):\n    time.sleep(0.1)")
    assert (code, job.server.run().exit_code) == (-signal.SIGTERM, 128 + signal.SIGTERM)


@pytest.mark.parametrize(
    "where", ["time.sleep(60)", "def f():\n    while True:\n        pass\nf()"], ids=["sleep", "loop"]
)
def test_ctrl_c_is_recorded_on_every_python(job: Job, interpreter: Path, where: str) -> None:
    code, _, _ = killed(job, interpreter, "kill_me_soon('INT')\n" + where)
    assert (code, job.server.run().exit_code) == (-signal.SIGINT, 128 + signal.SIGINT)


def test_a_handler_of_the_script_decides_about_sigterm(job: Job) -> None:
    script = """
def stop(number, frame):
    print("stopping", number, flush=True)
    sys.exit(5)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.signal(signal.SIGTERM, stop) is signal.SIG_DFL
assert signal.getsignal(signal.SIGTERM) is stop
kill_me_soon("TERM")
time.sleep(60)
"""
    code, output, _ = killed(job, python_of("wandb-3.12"), script)
    assert (code, output, job.server.run().exit_code) == (5, "started\nstopping 15\n", 5)


def test_a_handler_that_goes_on_lets_the_job_go_on(job: Job) -> None:
    script = """
signal.signal(signal.SIGTERM, lambda number, frame: print("saving", flush=True))
kill_me_soon("TERM")
time.sleep(3)
print("done")
"""
    code, output, _ = killed(job, python_of("wandb-3.12"), script)
    assert (code, output, job.server.run().exit_code) == (0, "started\nsaving\ndone\n", 0)


@pytest.mark.parametrize(
    "restore",
    ["signal.signal(signal.SIGTERM, before)", "signal.signal(signal.SIGTERM, signal.SIG_DFL)"],
    ids=["what was there", "the default"],
)
def test_a_script_that_restores_the_default_is_watched_again(job: Job, restore: str) -> None:
    script = f"""
before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
assert before is signal.SIG_DFL
assert {restore} is signal.SIG_IGN
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
kill_me_soon("TERM")
time.sleep(60)
"""
    code, _, _ = killed(job, python_of("wandb-3.12"), script)
    assert (code, job.server.run().exit_code) == (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_a_script_that_ignores_sigterm_goes_on(job: Job) -> None:
    script = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nkill_me_soon('TERM')\ntime.sleep(2)\nprint('done')"
    code, output, _ = killed(job, python_of("wandb-3.12"), script)
    assert (code, output, job.server.run().exit_code) == (0, "started\ndone\n", 0)


def test_an_event_loop_handles_signals_itself(job: Job) -> None:
    script = """
import asyncio
async def main():
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    kill_me_soon("TERM")
    await asyncio.wait_for(asked.wait(), 20)
    print("asked to stop")
asyncio.run(main())
"""
    code, output, _ = killed(job, python_of("wandb-3.12"), script)
    assert (code, output, job.server.run().exit_code) == (0, "started\nasked to stop\n", 0)


def test_sigterm_after_an_event_loop_has_handled_signals_is_recorded(job: Job) -> None:
    script = """
import asyncio
async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, print)
    assert loop.remove_signal_handler(signal.SIGTERM)
asyncio.run(main())
kill_me_soon("TERM")
time.sleep(60)
"""
    code, _, _ = killed(job, python_of("wandb-3.12"), script)
    assert (code, job.server.run().exit_code) == (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_children_die_by_sigterm_at_once_and_the_job_lives_on(job: Job) -> None:
    script = """
import multiprocessing, signal, subprocess, time, warnings
warnings.simplefilter("ignore")
context = multiprocessing.get_context("fork")
start = time.monotonic()
for _ in range(50):
    child = context.Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(10)
    assert child.exitcode == -signal.SIGTERM, child.exitcode
child = subprocess.Popen(["sleep", "60"], preexec_fn=os.setsid)
child.terminate()
assert child.wait(10) == -signal.SIGTERM
pid = os.fork()
if not pid:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signal.pause()
os.kill(pid, signal.SIGTERM)
assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGTERM
assert time.monotonic() - start < 30
assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
print("lives")
"""
    done = ends_alike(job, python_of("wandb-3.12"), script)
    assert (done.returncode, done.stdout, job.server.run().exit_code) == (0, "started\nlives\n", 0)
