"""`shim explain` against what really happens: each command is run, and says by which rule it opened no run."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from shim.explain import explain
from tests.environments import python_of
from tests.jobs import Job

# Commands that end at once, and their variables.
COMMANDS: list[tuple[str, dict[str, str]]] = [
    *((f"{python} {what}", {}) for python in ("python", "BIN/python", "BIN/../bin/python3") for what in ("-V", "-c 1")),
    *(("python train.py --help", {}), ("python -u train.py -- --help", {}), ("python train.py -h -w 3", {})),
    *(("python -m train --version", {}), ("python -m pip --version", {}), ("python -m json.tool --help", {})),
    *(("BIN/pip --version", {}), ("pip --version", {}), ("BIN/../bin/pip --version", {}), ("python BIN/pip list", {})),
    *(("python setup.py --name", {}), ("python manage.py check", {}), ("python -m timeit -n 1 1", {})),
    *(("BIN/yolo predict", {}), ("BIN/spacy download x", {}), ("yolo train --help", {}), ("BIN/mine run", {})),
    *(("BIN/yolo train", {"WANDB_SHIM_TOOLS": "yolo"}), ("BIN/mine --help", {"WANDB_SHIM_TRAINS": "mine"})),
    *(("python train.py", {"RANK": "1", "WORLD_SIZE": "4"}), ("python train.py", {"WANDB_SHIM_INIT": "off"})),
    *(("python train.py", {"WANDB_MODE": "disabled"}), ("python train.py", {"WANDB_SHIM_OWNER": "1"})),
    *(
        ("python train.py", {"WANDB_SHIM_OWNED_BY": "1@"}),
        ("python train.py", {"JAX_PROCESS_ID": "1", "JAX_NUM_PROCESSES": "2"}),
    ),
    *(("env RANK=2 WORLD_SIZE=4 timeout 20 python train.py", {}), ("bash -c 'python train.py --help'", {})),
    *(("python -m invoke train", {}), ("python -m debugpy --pid 1", {}), ("bash -c 'exec \"$@\"' - python -c 1", {})),
    *(("sh job.sh", {}), ("./job.sh", {}), ("nohup python -c 1", {}), ("pip list", {"WANDB_SHIM_INIT": "always"})),
]


@pytest.mark.parametrize(("command", "environ"), COMMANDS, ids=[f"{line} {told or ''}" for line, told in COMMANDS])
def test_what_is_explained_is_what_happens(job: Job, command: str, environ: dict[str, str], tmp_path: Path) -> None:
    python = python_of("wandb-3.12")
    tools = tmp_path / "venv" / "bin"
    subprocess.run([python, "-m", "venv", "--without-pip", "--system-site-packages", tools.parent], check=True)
    program = f"#!{tools}/python\nprint('done')\n"
    for name in ("pip", "yolo", "spacy", "mine"):
        (tools / name).write_text(program)
        (tools / name).chmod(0o755)
    for name in ("train.py", "setup.py", "manage.py", "invoke.py", "debugpy.py"):
        job.write(name, "print('done')\n")
    job.write("job.sh", "#!/bin/sh\n# a job\nset -e\npython train.py \\\n  --help\n")
    (job.directory / "job.sh").chmod(0o755)
    words = shlex.split(command.replace("BIN", str(tools)))
    told = {**job.environ, "PATH": f"{tools}:{job.environ['PATH']}", **environ}
    seen = subprocess.run(
        words,
        cwd=job.directory,
        env={**told, "PYTHONPATH": str(job.home), "WANDB_SHIM_LOG": "info"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = re.findall(r"^wandb-shim: process \d+ opens no run: (\w+): (.*)$", seen.stderr, re.MULTILINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(job.directory)
        found = explain(words, told)
    if "-V" in words:  # the interpreter itself answers, before `site`
        lines = [(found[0]["role"], found[0]["rule"])]
    assert [(one["role"], " ".join(one["rule"].split())) for one in found] == lines, seen.stderr
    assert not found[0]["owner"]
