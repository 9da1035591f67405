"""What a person's command line leads to, through all that stands before it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from shim.explain import explain, said
from shim.tables import LAUNCHER, TOOL, TRAINING
from shim.wrappers import commands_of

OWNS, NOT = True, False

# As people type them: role, whether the run is owned, a word of what is said.
LINES: list[tuple[str, str | None, bool, str]] = [
    ("python train.py --lr 1", TRAINING, OWNS, "a script"),
    ("python3.11 -m pkg.train", TRAINING, OWNS, "a module"),
    ("WANDB_SHIM_INIT=off python train.py", TRAINING, NOT, "WANDB_SHIM_INIT=off"),
    ("RANK=1 WORLD_SIZE=2 python train.py", TRAINING, NOT, "rank 1 of 2"),
    ("env RANK=1 WORLD_SIZE=2 python train.py", TRAINING, NOT, "rank 1 of 2"),
    ("env -i python train.py", TRAINING, NOT, "WANDB_PROJECT is not set"),
    ("env -u WANDB_PROJECT python train.py", TRAINING, NOT, "WANDB_PROJECT is not set"),
    ("env -S 'RANK=1 WORLD_SIZE=2 python train.py'", TRAINING, NOT, "rank 1 of 2"),
    ("nohup python train.py", TRAINING, OWNS, "(through nohup)"),
    ("setsid nohup nice -n 10 python train.py", TRAINING, OWNS, "(through setsid, nohup, nice)"),
    ("timeout -s INT 1h python train.py", TRAINING, OWNS, "timeout"),
    ("timeout --kill-after=10 3600 python -m pip install x", TOOL, NOT, "pip"),
    ("time python train.py", TRAINING, OWNS, "time"),
    ("stdbuf -oL python train.py", TRAINING, OWNS, "stdbuf"),
    ("taskset -c 0-7 python train.py", TRAINING, OWNS, "taskset"),
    ("numactl --cpunodebind=0 --membind 0 python train.py", TRAINING, OWNS, "numactl"),
    ("ionice -c 2 -n 0 python train.py", TRAINING, OWNS, "ionice"),
    ("xvfb-run -a -s '-screen 0 1x1x24' python train.py", TRAINING, OWNS, "xvfb-run"),
    ("nsys profile -o out -t cuda,nvtx python train.py", TRAINING, OWNS, "nsys"),
    ("nsys stats out.nsys-rep", None, NOT, "no Python program"),
    ("ncu --set full -o out python train.py", TRAINING, OWNS, "ncu"),
    ("py-spy record -o out.svg -- python train.py", TRAINING, OWNS, "py-spy"),
    ("tini -- python train.py", TRAINING, OWNS, "tini"),
    ("tini -g -- torchrun train.py", LAUNCHER, NOT, "its rank 0 opens the run"),
    ("dumb-init python train.py", TRAINING, OWNS, "dumb-init"),
    ("sudo -E -u me python train.py", TRAINING, OWNS, "sudo"),
    ("srun -n 8 --gpus 8 python train.py", TRAINING, OWNS, "the first of several processes owns the run"),
    ("srun --ntasks=8 --label python -u train.py", TRAINING, OWNS, "the first of several"),
    ("srun -N 2 torchrun --nnodes 2 --nproc-per-node 8 train.py", LAUNCHER, NOT, "its rank 0 opens the run"),
    ("mpirun -np 4 -x PATH python train.py", TRAINING, OWNS, "the first of several processes"),
    ("mpiexec -n 4 python train.py", TRAINING, OWNS, "the first of several"),
    ("uv run train.py", TRAINING, OWNS, "uv"),
    ("uv run --with torch python train.py", TRAINING, OWNS, "uv"),
    ("uv run -m pkg.train", TRAINING, OWNS, "uv"),
    ("uv --quiet run --group dev pytest", TOOL, NOT, "console script"),
    ("uv pip install x", None, NOT, "no Python program"),
    ("conda run -n env python train.py", TRAINING, OWNS, "conda"),
    ("conda run --no-capture-output -p /env python train.py", TRAINING, OWNS, "conda"),
    ("poetry run python train.py", TRAINING, OWNS, "poetry"),
    ("hatch run python train.py", TRAINING, OWNS, "hatch"),
    ("pdm run python train.py", TRAINING, OWNS, "pdm"),
    ("pixi run -e gpu python train.py", TRAINING, OWNS, "pixi"),
    ("bash -c 'python train.py --lr 1'", TRAINING, OWNS, "(through bash)"),
    ("bash -lc 'cd /x && exec python train.py'", TRAINING, OWNS, "(through bash, exec)"),
    ("sh -c 'RANK=1 WORLD_SIZE=2 python train.py'", TRAINING, NOT, "rank 1 of 2"),
    ("bash -c 'timeout 1h srun -n 2 bash -c \"python train.py\"'", TRAINING, OWNS, "through bash, timeout, srun, bash"),
    ("bash -c 'export A=1; if true; then python train.py > log 2>&1 & wait; fi'", TRAINING, OWNS, "bash"),
    ("bash job.sh", TRAINING, OWNS, "(through job.sh)"),
    ("./job.sh --lr 1", TRAINING, OWNS, "(through job.sh)"),
    ("bash nowhere.sh", None, NOT, "there is no program"),
    ("'python train.py --lr 1'", TRAINING, OWNS, "a script"),
    ("torchrun --nproc-per-node 8 train.py", LAUNCHER, NOT, "its rank 0 opens the run"),
    ("torchrun --standalone --nproc-per-node=8 -m pkg.train --lr 1", LAUNCHER, NOT, "its rank 0 opens the run"),
    ("torchrun train.py --help", LAUNCHER, NOT, "its ranks open no run: tool: --help among its arguments"),
    ("accelerate launch --multi_gpu train.py", LAUNCHER, NOT, "its rank 0 opens the run"),
    ("accelerate launch --config_file c.yaml --num_processes 2 train.py", LAUNCHER, NOT, "its rank 0 opens the run"),
    ("python -m torch.distributed.run --nproc_per_node 2 train.py", LAUNCHER, NOT, "its rank 0 opens the run"),
    ("deepspeed --num_gpus 8 train.py --deepspeed", LAUNCHER, NOT, "its rank 0 opens the run"),
    ("ray start --head", LAUNCHER, NOT, "ray is listed as launcher"),
    ("yolo train model=m", TRAINING, OWNS, "yolo is listed as training"),
    ("lm_eval --model hf", TRAINING, OWNS, "lm_eval"),
    ("memray run -o out.bin train.py", TRAINING, OWNS, "a script: train.py"),
    ("kernprof -l train.py --help", TOOL, NOT, "it only talks about itself"),
    ("srun -N1 -n8 --mpi pmix --container-image i.sqsh --container-workdir /w python train.py", TRAINING, OWNS, "srun"),
    ("srun --ntasks-per-node 8 --cpu-bind none -K python train.py", TRAINING, OWNS, "the first of several"),
    ("salloc -N 1 --gres gpu:8 srun python train.py", TRAINING, OWNS, "(through salloc, srun)"),
    ("sbatch -N 2 --exclusive job.sh", TRAINING, OWNS, "(through sbatch)"),
    ("sbatch --gpus 8 --wrap 'srun python train.py'", TRAINING, OWNS, "(through sbatch, srun)"),
    ("mpirun -np 8 -H a:4,b:4 -bind-to none -map-by slot -mca pml ob1 python train.py", TRAINING, OWNS, "the first of"),
    ("mpiexec.hydra -ppn 4 -n 8 -genv A 1 python train.py", TRAINING, OWNS, "the first of several"),
    ("jsrun -n 2 -a 1 -g 1 python train.py", TRAINING, OWNS, "the first of several"),
    ("nsys profile -w true -f true -x true --stats true python train.py", TRAINING, OWNS, "nsys"),
    ("nsys launch --trace cuda torchrun --nproc-per-node 8 train.py", LAUNCHER, NOT, "its rank 0 opens the run"),
    ("compute-sanitizer --tool memcheck python train.py", TRAINING, OWNS, "compute-sanitizer"),
    ("rocprofv3 --hip-trace -- python train.py", TRAINING, OWNS, "rocprofv3"),
    ("gdb -ex run --args python train.py", TRAINING, OWNS, "gdb"),
    ("perf record -g -o out python train.py", TRAINING, OWNS, "perf"),
    ("gosu trainer python train.py", TRAINING, OWNS, "gosu"),
    ("setpriv --reuid 1000 --clear-groups python train.py", TRAINING, OWNS, "setpriv"),
    ("runuser -u trainer -- python train.py", TRAINING, OWNS, "runuser"),
    ("su - trainer -c 'python train.py'", TRAINING, OWNS, "(through su)"),
    ("flock -n /tmp/lock python train.py", TRAINING, OWNS, "flock"),
    ("flock /tmp/lock -c 'python train.py'", TRAINING, OWNS, "(through flock)"),
    ("systemd-run --user --scope -p MemoryMax=1G python train.py", TRAINING, OWNS, "systemd-run"),
    ("xargs -n 1 -P 2 python train.py", TRAINING, OWNS, "xargs"),
    ("uv run --isolated --with-requirements r.txt train.py", TRAINING, OWNS, "uv"),
    ("micromamba run -n env -e A=1 python train.py", TRAINING, OWNS, "micromamba"),
    ("hatch run gpu:python train.py", TRAINING, OWNS, "hatch"),
    ("tini -s -- ./entrypoint.sh torchrun train.py", LAUNCHER, NOT, "(through tini, entrypoint.sh, exec)"),
    ("./entrypoint.sh python train.py", TRAINING, OWNS, "(through entrypoint.sh, exec)"),
    ("bash -c 'exec \"$@\"' -- python train.py", TRAINING, OWNS, "(through bash, exec)"),
    ("bash -c '${PYTHON:-python} train.py'", TRAINING, OWNS, "(through bash)"),
    ("PYTHON=python3 bash -c '$PYTHON train.py'", TRAINING, OWNS, "(through bash)"),
    ("bash -c 'until python train.py; do :; done'", TRAINING, OWNS, "(through bash)"),
    ("bash -c 'if ! python train.py; then exit 1; fi'", TRAINING, OWNS, "(through bash)"),
    ("bash -c 'eval python train.py'", TRAINING, OWNS, "(through bash, eval)"),
    ("deepspeed --num_gpus=8 --bind_cores_to_rank train.py", LAUNCHER, NOT, "its rank 0 opens the run"),
    ("docker run --gpus all -e WANDB_PROJECT=p image python train.py", None, NOT, "docker starts it elsewhere"),
    ("apptainer exec --nv image.sif python train.py", None, NOT, "starts it elsewhere: ask there"),
    ("kubectl exec pod -- python train.py", None, NOT, "starts it elsewhere"),
    ("ssh node1 'python train.py'", None, NOT, "starts it elsewhere"),
    ("ls -l", None, NOT, "no Python program"),
    ("of-our-own --lr 1", TOOL, NOT, "console script"),
    ("long-path --lr 1", TOOL, NOT, "console script"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a job, and a virtual environment on PATH."""
    tools = tmp_path / "venv" / "bin"
    tools.mkdir(parents=True)
    for name, text in {
        "python": "",
        "python3": "",
        "of-our-own": f"#!{tools}/python\n",
        "pytest": f"#!{tools}/python\n",
        "long-path": f"#!/bin/sh\n'''exec' {tools}/python \"$0\" \"$@\"\n' '''\nimport sys\n",
    }.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    job = tmp_path / "job.sh"
    job.write_text(
        '#!/bin/bash\n#SBATCH -N 2\n# it trains\nset -e\nexport A="b c"\npython train.py \\\n  --lr 1 "$@"\n'
    )
    job.chmod(0o755)
    entrypoint = tmp_path / "entrypoint.sh"
    entrypoint.write_text('#!/bin/bash\nset -e\nsource /opt/venv/bin/activate\necho "NVIDIA"\nexec "$@"\n')
    entrypoint.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("line", "role", "owner", "word"), LINES)
def test_a_command_line_is_explained(line: str, role: str | None, owner: bool, word: str) -> None:
    environ = {"WANDB_PROJECT": "p", "PATH": f"{Path('venv/bin').absolute()}:/usr/bin:/bin"}
    found = explain(shlex.split(line), environ)
    assert len(found) == 1, found
    assert (found[0]["role"], found[0]["owner"]) == (role, owner), found
    assert word in said(found[0])


@pytest.mark.usefixtures("place")
def test_a_script_with_several_programs_has_a_line_for_each() -> None:
    line = "pip install x && python prepare.py | tee log; python train.py"
    found = explain(["bash", "-c", line], {"WANDB_PROJECT": "p", "PATH": f"{Path('venv/bin').absolute()}"})
    assert [one["program"] for one in found] == ["python prepare.py", "python train.py"]
    assert [one["owner"] for one in found] == [True, True], "one after the other: two runs"


SCRIPTS = {
    "a; b && c || d | e &": [["a"], ["b"], ["c"], ["d"], ["e"]],
    "a 'b c' \"d;e\"": [["a", "b c", "d;e"]],
    "a > out 2> err < in 2>&1": [["a"]],
    "a \\\n  b\nc": [["a", "b"], ["c"]],
    "(cd x && a)": [["a"]],
    "for i in 1 2; do a $i; done": [["a", "$i"]],
    "if a; then b; else c; fi": [["a"], ["b"], ["c"]],
    "a 'not closed": [],
    "": [],
}


@pytest.mark.parametrize(("text", "commands"), SCRIPTS.items())
def test_the_commands_of_a_script_are_found(text: str, commands: list[list[str]]) -> None:
    assert list(commands_of(text)) == commands


def test_explain_is_not_asked_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    from shim.__main__ import main

    assert main(["explain"]) == 2
    assert main(["explain", "--"]) == 2
    assert main(["explain", sys.executable, "train.py", "--help"]) == 0
    assert "it only talks about itself" in capsys.readouterr().out
