"""`shim explain` against what really happens: each command is run, and says by which rule it opened no run."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shim.command_line import parse_command_line
from shim.explain import explain
from shim.tables import TRAINING
from tests.command_lines import ROLES
from tests.environments import REPOSITORY, python_of
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


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of a virtual environment, with console scripts that only say that they were run."""
    tools = tmp_path_factory.mktemp("tools") / "venv" / "bin"
    subprocess.run([python_of("wandb-3.12"), "-m", "venv", "--without-pip", tools.parent], check=True)
    for name in ("pip", "yolo", "spacy", "mine"):
        (tools / name).write_text(f"#!{tools}/python\nprint('done')\n")
        (tools / name).chmod(0o755)
    return tools


@pytest.mark.parametrize(("command", "environ"), COMMANDS, ids=[f"{line} {told or ''}" for line, told in COMMANDS])
def test_what_is_explained_is_what_happens(job: Job, command: str, environ: dict[str, str], tools: Path) -> None:
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


STUB = "print('done')\n"
# In place of the companion's program: it says that it was started, on the script's stderr.
COMPANION = "import os\nos.write(4, b'a run is opened\\n')\n"


def lay_out(line: str, place: Path) -> list[str]:
    """Put a stub where a command line of the wild has its program; the line's words for that.

    Args:
        line: As the table has it.
        place: Whose `venv` stands for /venv, and which stands for / of other absolute paths.
    """
    words = ["python", *shlex.split(line)[1:]]
    found = parse_command_line(words)
    directory = working = place / "cwd" / hashlib.sha256(line.encode()).hexdigest()[:16]
    directory.mkdir(parents=True)
    if found.kind == "module":
        path = directory / (found.target.replace(".", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in found.target.split(".")[:-1]:
            directory /= parent
            (directory / "__init__.py").touch()  # else the standard library's own comes first
        path.write_text(STUB)
    elif found.kind == "script":
        path = place / found.target.lstrip("/") if found.target.startswith("/") else directory / found.target
        path = path / "__main__.py" if path.is_dir() else path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("__main__.py", STUB)
        else:
            path.write_text(STUB)
        if found.target.startswith("/"):
            words[words.index(found.target)] = str(path)
    return ["env", "-C", str(working), *words]


@pytest.mark.parametrize("role", ROLES)
def test_what_is_explained_of_the_command_lines_of_the_wild_is_what_happens(
    role: str, job: Job, tmp_path: Path
) -> None:
    home, python = tmp_path / "home-of-the-shim", tmp_path / "venv" / "bin" / "python"
    subprocess.run([python_of("wandb-3.12"), "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    subprocess.run(
        [sys.executable, "-m", "shim", "install", "--python", python, "--home", home], cwd=REPOSITORY, check=True
    )
    (home / "shim" / "companion" / "__main__.py").write_text(COMPANION)
    environ = {**job.environ, "PATH": f"{python.parent}:{job.environ['PATH']}"}
    told = {**environ, "WANDB_SHIM_LOG": "info"}

    def happens(words: list[str]) -> list[str]:
        done = subprocess.run(
            words, env=told, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
        )
        opened = ["owner"] if "a run is opened" in done.stderr else []
        return opened + re.findall(r"^wandb-shim: process \d+ opens no run: (.*)$", done.stderr, re.MULTILINE)

    lines = [line for line in ROLES[role] if parse_command_line(shlex.split(line)).kind != "none"]
    commands = [lay_out(line, tmp_path) for line in lines]
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(happens, commands))
    explained = [explain(words, environ) for words in commands]
    expected = [["owner" if one["owner"] else f"{one['role']}: {one['rule']}" for one in found] for found in explained]
    wrong = [(line, one, two) for line, one, two in zip(lines, seen, expected, strict=True) if one != two]
    assert not wrong
    assert sum(one == ["owner"] for one in seen) >= (len(lines) - 3 if role == TRAINING else 0)
