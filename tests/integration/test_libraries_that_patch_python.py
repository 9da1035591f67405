"""Programs whose libraries change the interpreter under their feet: the same with and without the shim."""

from __future__ import annotations

import pytest

from tests.environments import python_of
from tests.jobs import Job

PROGRAMS = {
    "gevent, patched": """\
from gevent import monkey
monkey.patch_all()
import gevent, os, socket, subprocess, threading, time
print("trained", flush=True)
jobs = [gevent.spawn(time.sleep, 0.05) for _ in range(50)]
gevent.joinall(jobs)
print(len(jobs), threading.active_count(), subprocess.run(["echo", "a"], capture_output=True).stdout)
""",
    "gevent, patched late": """\
import socket, threading, time
print("trained", flush=True)
from gevent import monkey
monkey.patch_all()
thread = threading.Thread(target=print, args=("in a thread",))
thread.start()
thread.join()
""",
    "trio": """\
import trio
async def work(number):
    await trio.sleep(0.05)
    return number
async def main():
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(work, number)
    print("trained", (await trio.run_process(["echo", "a"], capture_stdout=True)).stdout)
trio.run(main)
""",
    "uvloop": """\
import asyncio, signal, uvloop
async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, print, "told")
    signal.raise_signal(signal.SIGUSR1)
    process = await asyncio.create_subprocess_exec("echo", "a", stdout=asyncio.subprocess.PIPE)
    print("trained", await process.stdout.read(), await process.wait())
uvloop.run(main())
""",
    "fire": "import fire\nfire.Fire(lambda lr=0.1: print('trained', lr))\n",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_with_such_a_library_does_the_same(job: Job, name: str) -> None:
    python = python_of("quirks")
    job.write("train.py", PROGRAMS[name])
    plain = job.run(python, "train.py", shim=False)
    done = job.run(python, "train.py")
    assert (done.stdout, done.returncode) == (plain.stdout, plain.returncode)
    theirs = [line for line in done.stderr.splitlines() if not line.startswith("wandb-shim: run ")]
    assert theirs == plain.stderr.splitlines()
    run = job.server.run()
    assert (run.state, run.exit_code) == ("finished", 0)
    assert "trained" in run.console_text()


def test_help_for_fire_opens_no_run(job: Job) -> None:
    job.write("train.py", PROGRAMS["fire"])
    done = job.run(python_of("quirks"), "train.py", "--", "--help", check=False)
    assert "trained" not in done.stdout
    assert job.server.runs == []
