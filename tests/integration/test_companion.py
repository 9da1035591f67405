"""The run lives beside the script: what that asks of both, whatever happens to either."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.environments import python_of
from tests.jobs import Job, wait_for_companions
from tests.wandb_server import Fault

pytestmark = pytest.mark.in_turn

# The channel of a script to its companion, for scripts of these tests.
CHANNEL = "import importlib\nchannel = importlib.import_module('_wandb_shim.script.channel').current()\n"


def newest() -> Path:
    return python_of("wandb-3.12")


def test_the_script_has_no_thread_no_child_and_no_wandb(job: Job, interpreter: Path) -> None:
    script = """
import json, os, sys
modules = sorted(name.partition(".")[0] for name in sys.modules)
tasks = os.listdir("/proc/self/task")
children = "".join(open(f"/proc/self/task/{task}/children").read() for task in tasks)
low = [name for name in os.listdir("/proc/self/fd") if int(name) < 200]
print(json.dumps({"tasks": len(tasks), "children": children, "low": len(low), "wandb": "wandb" in modules}))
"""
    job.write("train.py", script)
    plain, tracked = (json.loads(job.run(interpreter, "train.py", shim=shim).stdout) for shim in (False, True))
    assert tracked == plain
    assert job.server.run().exit_code == 0


def test_the_first_line_does_not_wait_for_the_network(job: Job) -> None:
    """Counted in messages: the server has heard nothing when the script is at its last line."""
    job.server.set_fault(Fault("hang"))
    job.write("train.py", "print('trained', flush=True)\nimport os\nos._exit(0)\n")
    start = time.monotonic()
    done = subprocess.run(
        [newest(), "train.py"],
        cwd=job.directory,
        env={**job.environ, "PYTHONPATH": str(job.home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("trained\n", "")
    assert time.monotonic() - start < 8  # the preflight alone waits that long
    job.server.clear_faults()
    wait_for_companions()


def test_the_end_of_a_script_waits_until_its_run_is_finished(job: Job) -> None:
    job.server.set_fault(Fault("slow", seconds=0.3))
    job.write("train.py", "print('trained')\n")
    variables = {**job.environ, "PYTHONPATH": str(job.home)}
    subprocess.run([newest(), "train.py"], cwd=job.directory, env=variables, check=True, timeout=120)
    run = job.server.run()  # at once, before its companion has gone
    assert (run.exit_code, run.complete) == (0, True)
    wait_for_companions()


def test_a_line_is_one_message_however_many_writes_it_was(job: Job) -> None:
    script = (
        CHANNEL + "before = channel.sent\nprint('a', 'b', 'c', 'd')\nprint('e')\nassert channel.sent == before + 2\n"
    )
    job.write("train.py", script)
    job.run(newest(), "train.py")
    assert job.server.run().console_text() == "a b c d\ne"


def test_a_companion_that_is_slow_loses_no_line_and_holds_up_nobody(job: Job) -> None:
    script = CHANNEL + (
        "import os, signal, sys, time\nos.kill(channel.companion, signal.SIGSTOP)\n"
        "for number in range(100_000):\n    print(f'{number:030}')\nprint(len(channel._kept) > 0, file=sys.stderr)\n"
        "os.kill(channel.companion, signal.SIGCONT)\n"
    )
    job.write("train.py", script)
    done = job.run(newest(), "train.py")
    assert "True" in done.stderr.splitlines()
    lines = job.server.run().console_text().splitlines()
    assert lines[:100_000] == [f"{number:030}" for number in range(100_000)]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_companion_that_is_stopped_or_killed_once_the_script_has_its_run_neither_blocks_nor_ends_the_script(
    job: Job, number: signal.Signals
) -> None:
    script = CHANNEL + f"import os, sys, wandb\nwandb.init()\nos.kill(channel.companion, {int(number)})\n"
    script += "open('companion', 'w').write(str(channel.companion))\n"
    job.write("train.py", script + "for number in range(1000):\n    print(number)\nsys.exit(3)\n")
    variables = {**job.environ, "PYTHONPATH": str(job.home)}
    # Into files: a pipe would have to be read to the end of its companion, which is not coming.
    with (job.directory / "stdout").open("w") as stdout, (job.directory / "stderr").open("w") as stderr:
        command = [str(newest()), "train.py"]
        done = subprocess.run(
            command, cwd=job.directory, env=variables, stdout=stdout, stderr=stderr, timeout=60, check=False
        )
    with contextlib.suppress(psutil.NoSuchProcess):  # stopped before it has become a companion, or killed
        psutil.Process(int((job.directory / "companion").read_text())).kill()
    wait_for_companions()
    assert done.returncode == 3
    assert (job.directory / "stdout").read_text().splitlines()[:1000] == [str(number) for number in range(1000)]
    assert "Traceback" not in (job.directory / "stderr").read_text()


def test_nothing_stays_in_the_directory_for_temporary_files(job: Job) -> None:
    (job.directory / "tmp").mkdir()
    job.write("train.py", "print('trained')\n")
    job.run(newest(), "train.py", environ={"TMPDIR": str(job.directory / "tmp")})
    assert job.server.run().state == "finished"
    assert list((job.directory / "tmp").iterdir()) == []


def test_a_script_that_closes_every_descriptor_is_recorded_to_its_end(job: Job) -> None:
    job.write(
        "train.py", "import os\nprint('before', flush=True)\nos.closerange(3, 4096)\nprint('trained', flush=True)\n"
    )
    assert job.run(newest(), "train.py").stdout == "before\ntrained\n"
    run = job.server.run()
    assert (run.console_text(), run.exit_code) == ("before\ntrained", 0)


def test_a_file_at_the_number_of_our_descriptor_is_not_written_to(job: Job) -> None:
    script = CHANNEL + (
        "import os\nfile = os.open('mine', os.O_RDWR | os.O_CREAT)\nos.dup2(file, channel.descriptor)\n"
        "print('trained', flush=True)\nprint(os.path.getsize('mine'))\n"
    )
    job.write("train.py", script)
    assert job.run(newest(), "train.py").stdout == "trained\n0\n"
    assert job.server.run().console_text() == "trained\n0"


def test_a_program_that_takes_the_scripts_place_goes_on_in_its_run(job: Job) -> None:
    job.write("after.py", "import sys\nprint('second')\nsys.exit(4)\n")
    job.write(
        "train.py",
        "import os, sys\nprint('first', flush=True)\nos.execv(sys.executable, [sys.executable, 'after.py'])\n",
    )
    done = job.run(newest(), "train.py", check=False)
    assert (done.returncode, done.stdout) == (4, "first\nsecond\n")
    run = job.server.run()
    assert (run.console_text(), run.exit_code) == ("first\nsecond", 4)


def test_a_run_id_belongs_to_one_process_also_of_sixteen_in_one_instant(job: Job) -> None:
    job.write("train.py", "import time\ntime.sleep(20)\n")
    variables = {**job.environ, "PYTHONPATH": str(job.home), "KUBERNETES_JOB_UID": "a", "WANDB_MODE": "offline"}
    scripts = [
        subprocess.Popen([newest(), "train.py"], cwd=job.directory, env=variables, stderr=subprocess.PIPE, text=True)
        for _ in range(16)
    ]
    said = [script.communicate(timeout=200)[1] for script in scripts]
    wait_for_companions()
    assert sum("another process of this job runs the same command line" in text for text in said) == 15
    names = [path.name for path in (job.directory / "wandb").glob("offline-run-*")]
    assert len({name.rpartition("-")[2] for name in names}) == 16


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_a_companion_answers_no_other_user(job: Job) -> None:
    asking = (
        "import marshal, os, socket, sys\nos.setuid(65534)\nconnection = socket.socket(socket.AF_UNIX)\n"
        "connection.connect('\\0' + sys.argv[1])\ndata = marshal.dumps({'ask': 'facts'})\n"
        "connection.sendall(len(data).to_bytes(4, 'big') + data)\nprint(connection.recv(9))\n"
    )
    script = CHANNEL + (
        "import subprocess, sys\nassert channel.ask({'ask': 'facts'}, 60)['run']\n"
        f"subprocess.run([sys.executable, '-c', {asking!r}, channel.address[1:]], check=True)\n"
    )
    job.write("train.py", script)
    assert job.run(newest(), "train.py").stdout == "b''\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_a_script_that_becomes_another_user_is_recorded_to_its_end(job: Job) -> None:
    job.write("train.py", "import os, sys\nos.setgid(65534)\nos.setuid(65534)\nsys.exit(4)\n")
    done = job.run(newest(), "train.py", check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (4, False), done.stderr
    assert job.server.run().exit_code == 4


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make a process namespace here")
@pytest.mark.parametrize("end", ["time.sleep(60)", "os._exit(7)"])
def test_as_the_first_process_of_a_container_the_job_ends_at_sigterm(job: Job, end: str) -> None:
    job.write("train.py", f"import os, time\nassert os.getpid() == 1\nprint('started', flush=True)\n{end}\n")
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", str(newest()), "train.py"]
    variables = {**job.environ, "PYTHONPATH": str(job.home)}
    with subprocess.Popen(command, cwd=job.directory, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        if "sleep" in end:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            time.sleep(3)
            os.kill(int(children[0]), signal.SIGTERM)
        assert process.wait(60) == (128 + signal.SIGTERM if "sleep" in end else 7)
    assert job.server.run().exit_code == process.returncode


def test_a_child_with_an_environment_of_the_scripts_making_is_below_its_owner(job: Job) -> None:
    job.write("evaluate.py", "print('evaluated')\n")
    kept = ["PATH", "HOME", "WANDB_PROJECT", "WANDB_API_KEY", "WANDB_BASE_URL", "PYTHONPATH"]
    script = (
        f"import os, subprocess, sys, time\ntime.sleep(2)\nkept = {{name: os.environ[name] for name in {kept}}}\n"
        "subprocess.run([sys.executable, 'evaluate.py'], env=kept, check=True)\n"
    )
    job.write("train.py", script)
    assert job.run(newest(), "train.py").stdout == "evaluated\n"
    assert job.server.run().program.endswith("train.py")


def test_the_figures_of_the_process_are_those_of_the_script(job: Job) -> None:
    job.write("train.py", "import time\nheld = bytearray(b'x') * (400 << 20)\ntime.sleep(6)\n")
    job.run(newest(), "train.py", environ={"WANDB_X_STATS_SAMPLING_INTERVAL": "1"})
    sampled = [row["system.proc.memory.rssMB"] for row in job.server.run().events if "system.proc.memory.rssMB" in row]
    assert 400 < max(sampled) < 480, sampled


def test_a_console_that_is_off_is_not_followed(job: Job) -> None:
    script = "import sys\nprint(type(sys.stdout.write).__name__)\n"
    job.write("train.py", script)
    assert job.run(newest(), "train.py", environ={"WANDB_CONSOLE": "off"}).stdout == "builtin_function_or_method\n"
    assert job.server.run().console_text() == ""
