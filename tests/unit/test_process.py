"""The pure function behind the roles: tables of command lines and environments as they occur in the wild."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from shim import process, ranks
from shim.command_line import parse_command_line
from shim.tables import TOOL, TRAINING
from tests.command_lines import ROLES

BIN = ("/venv/bin", "/usr/local/bin", "/usr/bin")
PROJECT = {"WANDB_PROJECT": "p"}
TRAIN = ("python", "train.py")

# Options as people give them; the interpreter itself says where they end (and no bytecode is written meanwhile).
OPTIONS = [
    *("", "-u", "-uB", "-OO -s", "-I", "-Wignore", "-W ignore", "-W ignore::DeprecationWarning -u", "-Xdev", "-X dev"),
    *("-uX importtime=0", "-X utf8 -W error", "-Xfrozen_modules=off", "--check-hash-based-pycs never", "-bb -qd -v -x"),
    "-uW ignore --check-hash-based-pycs always -E",
]

PARSED = [
    ("python", "stdin", "", []),
    ("python -", "stdin", "-", []),
    ("python -u - --lr 1", "stdin", "-", ["--lr", "1"]),
    ("python -i train.py", "script", "train.py", []),
    ("python -mpkg.train --lr 1", "module", "pkg.train", ["--lr", "1"]),
    ("python -umpkg.train -m x", "module", "pkg.train", ["-m", "x"]),
    ("python -um pkg.train", "module", "pkg.train", []),
    ("python -c 'import a; a.b()' -m x", "command", "import a; a.b()", ["-m", "x"]),
    ("python -uc'import a'", "command", "import a", []),
    ("python -m", "module", "", []),
    ("python -W", "stdin", "", []),
    ("python -V", "none", "-V", []),
    ("python --version", "none", "--version", []),
    ("python -uVV", "none", "-uVV", []),
    ("python --help-all", "none", "--help-all", []),
    ("python train.py -m pip", "script", "train.py", ["-m", "pip"]),
    ("python /a/dir -c 1", "script", "/a/dir", ["-c", "1"]),
]


@pytest.mark.parametrize(("line", "kind", "target", "arguments"), PARSED)
def test_a_command_line_is_split(line: str, kind: str, target: str, arguments: list[str]) -> None:
    found = parse_command_line(shlex.split(line))
    assert (found.kind, found.target, list(found.arguments)) == (kind, target, arguments)
    assert found.inspect == line.startswith("python -i")


@pytest.mark.parametrize("options", OPTIONS)
def test_the_options_end_where_the_interpreter_ends_them(options: str, tmp_path: Path) -> None:
    script = tmp_path / "told.py"
    # Two comment lines: -x skips the first.
    script.write_text("#\n#\nimport json, sys\nprint(json.dumps([sys.orig_argv, sys.argv]))\n")
    command = [sys.executable, *options.split(), str(script), "-m", "a", "--", "-c"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    orig_argv, argv = json.loads(done.stdout)
    found = parse_command_line(orig_argv)
    assert (found.kind, [found.target, *found.arguments]) == ("script", argv)


@pytest.mark.parametrize(("role", "line"), [(role, line) for role, lines in ROLES.items() for line in lines])
def test_a_command_line_of_the_wild_has_its_role(role: str, line: str) -> None:
    found, rule, _ = process.classify(parse_command_line(shlex.split(line)), BIN)
    assert found == role, rule


@pytest.mark.parametrize("line", [line for role, lines in ROLES.items() if role != TRAINING for line in lines])
def test_no_other_role_than_training_owns_a_run(line: str) -> None:
    ranks = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    decision = process.decide(shlex.split(line), {**PROJECT, **ranks}, pid=7, bin_directories=BIN)
    assert not decision.owner
    assert not decision.depends


TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
SRUN = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "6", "SLURM_LOCALID": "2", "SLURM_STEP_ID": "0"}
BATCH = {"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_LOCALID": "0", "SLURM_JOB_ID": "9"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}
ALONE = (0, 1, None, "")


def tf_config(kind: str, index: int) -> str:
    """What TensorFlow's documentation has for a cluster of a chief, two workers and a parameter server."""
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


RANKS: list[tuple[dict[str, str], tuple[int, int, int | None, str]]] = [
    ({}, ALONE),
    (TORCHRUN, (3, 8, 1, "torchrun")),
    (SRUN, (5, 6, 2, "srun")),
    ({**SRUN, "SLURM_STEP_NUM_TASKS": "", "SLURM_NTASKS": "7"}, (5, 7, 2, "srun")),
    ({**SRUN, "SLURM_NTASKS": "16"}, (5, 6, 2, "srun")),  # `srun -n 6` in an allocation of 16
    (OPEN_MPI, (1, 4, 0, "Open MPI")),
    ({"MV2_COMM_WORLD_RANK": "1", "MV2_COMM_WORLD_SIZE": "2"}, (1, 2, None, "MVAPICH")),
    ({"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0"}, (2, 4, 0, "PMI")),
    ({"SKYPILOT_NODE_RANK": "1", "SKYPILOT_NUM_NODES": "2"}, (1, 2, None, "SkyPilot")),
    ({"JAX_PROCESS_ID": "1", "JAX_NUM_PROCESSES": "4"}, (1, 4, None, "JAX")),
    ({**SRUN, "JAX_PROCESS_ID": "1", "JAX_NUM_PROCESSES": "4"}, (1, 4, None, "JAX")),
    ({"XRT_SHARD_ORDINAL": "3", "XRT_SHARD_WORLD_SIZE": "8", "XRT_SHARD_LOCAL_ORDINAL": "1"}, (3, 8, 1, "XLA")),
    ({"NEURON_PJRT_PROCESS_INDEX": "1", "NEURON_PJRT_PROCESSES_NUM_DEVICES": "32,32"}, (1, 2, None, "Neuron")),
    ({"TPU_WORKER_ID": "2", "TPU_WORKER_HOSTNAMES": "a,b,c,d"}, (2, 4, None, "TPU")),
    ({"TPU_WORKER_ID": "0", "TPU_WORKER_HOSTNAMES": ""}, ALONE),
    ({"TF_CONFIG": tf_config("worker", 1)}, (2, 3, None, "TF_CONFIG")),
    ({"TF_CONFIG": tf_config("chief", 0)}, (0, 3, None, "TF_CONFIG")),
    ({"TF_CONFIG": tf_config("ps", 0)}, (3, 3, None, "TF_CONFIG")),
    ({"TF_CONFIG": tf_config("evaluator", 0)}, (3, 3, None, "TF_CONFIG")),
    *(({"TF_CONFIG": text}, ALONE) for text in ("", "{", "[]", "{}", '{"cluster": 1, "task": 2}', '{"cluster": {}}')),
    # Outside of a step: the batch script, the shell of salloc, the extern step.
    (BATCH, ALONE),
    ({**BATCH, "SLURM_STEP_ID": "4294967291"}, ALONE),
    ({**BATCH, "SLURM_STEP_ID": "4294967290"}, ALONE),
    ({**BATCH, "SLURM_STEP_ID": "batch"}, ALONE),
    # One inside another: torchrun in a step, mpirun that starts its daemons with srun.
    ({**SRUN, **TORCHRUN}, (3, 8, 1, "torchrun")),
    ({**SRUN, "SLURM_PROCID": "0", **OPEN_MPI}, (1, 4, 0, "Open MPI")),
    ({"SKYPILOT_NODE_RANK": "1", "SKYPILOT_NUM_NODES": "2", **TORCHRUN}, (3, 8, 1, "torchrun")),
    # Intel MPI's and MPICH's mpirun start one proxy a node with srun: SLURM_PROCID is the node's.
    ({**SRUN, "SLURM_PROCID": "0", "PMI_RANK": "3", "PMI_SIZE": "16"}, (3, 16, None, "PMI")),
    # Values that are none.
    ({**TORCHRUN, "RANK": ""}, ALONE),
    ({**TORCHRUN, "RANK": "-1"}, ALONE),
    ({**TORCHRUN, "WORLD_SIZE": "eight"}, ALONE),
    ({**TORCHRUN, "RANK": "x", **SRUN}, (5, 6, 2, "srun")),
    ({**TORCHRUN, "LOCAL_RANK": "x"}, (3, 8, None, "torchrun")),
    ({"RANK": "0", "WORLD_SIZE": "0"}, (0, 1, None, "torchrun")),
    ({"RANK": "2"}, ALONE),
]

LAST = {"WANDB_SHIM_OWNER": "last"}
RANK_0 = {"RANK": "0", "WORLD_SIZE": "2"}
RANK_1 = {"RANK": "1", "WORLD_SIZE": "2"}

# (changes to an environment with a project, whether `python train.py`, process 7, owns the run)
OWNERS: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    (RANK_0, True),
    (RANK_1, False),
    ({**RANK_0, **LAST}, False),
    ({**RANK_1, **LAST}, True),
    ({**RANK_1, "WANDB_SHIM_OWNER": "1"}, True),
    ({**RANK_0, "WANDB_SHIM_OWNER": "nobody"}, True),
    (LAST, True),
    (SRUN, False),
    ({**SRUN, **LAST}, True),
    (BATCH, True),
    ({**BATCH, **LAST}, True),
    (OPEN_MPI, False),
    ({"HOROVOD_RANK": "1", "HOROVOD_SIZE": "2", "HOROVOD_LOCAL_RANK": "1"}, False),  # horovodrun with gloo
    ({"NODE_RANK": "1", "WORLD_SIZE": "16", "MASTER_ADDR": "node-0"}, False),  # Lightning, started once a node
    ({"WANDB_PROJECT": ""}, False),
    ({"WANDB_MODE": "disabled"}, False),
    ({"WANDB_MODE": "offline"}, True),
    ({"WANDB_SHIM": "off"}, False),
    ({"WANDB_SHIM_INIT": "off"}, False),
    ({"WANDB_SHIM_INIT": "defer"}, True),
    # Below the process that owns the run, in its place after exec, and in another job that inherited the mark.
    ({"WANDB_SHIM_OWNED_BY": "6@"}, False),
    ({"WANDB_SHIM_OWNED_BY": "7@"}, True),
    ({"WANDB_SHIM_OWNED_BY": "6@", "WANDB_SHIM_INIT": "always"}, False),
    ({"WANDB_SHIM_OWNED_BY": "6@SLURM_JOB_ID=9", **BATCH}, False),
    ({"WANDB_SHIM_OWNED_BY": "6@SLURM_JOB_ID=8", **BATCH}, True),
    ({"WANDB_SHIM_OWNED_BY": "6@", **BATCH}, True),
]


@pytest.mark.parametrize(("environ", "expected"), RANKS)
def test_rank_and_world_size_come_from_whoever_started_the_rank(
    environ: dict[str, str], expected: tuple[int, int, int | None, str]
) -> None:
    assert ranks.find_rank(environ) == expected


@pytest.mark.parametrize(("environ", "owner"), OWNERS)
def test_one_process_of_a_job_owns_the_run(environ: dict[str, str], owner: bool) -> None:
    decision = process.decide(TRAIN, {**PROJECT, **environ}, pid=7, bin_directories=BIN)
    assert decision.owner is owner, decision.rule
    assert decision.rule


@pytest.mark.parametrize(
    ("line", "owner"),
    [
        ("python", True),
        ("python -c 'import train'", True),
        ("python -i train.py", True),
        ("python /venv/bin/of-our-own", True),
        ("python /venv/bin/torchrun train.py", True),
        ("python /venv/bin/pip install x", False),
        ("python -m pip install x", False),
        ("python /venv/bin/pytest", False),
        ("python -m http.server", False),
        ("python -I -B -c 'import sys'", False),
        ("python -c \"exec(compile('''\n# This is <pip-setuptools-caller>\"", False),
        ("python -c 'from multiprocessing.spawn import spawn_main'", False),
        ("python train.py --help", False),
        ("python --version", False),
        ("python /venv/bin/spacy download en", False),
    ],
)
def test_always_opens_a_run_in_what_nobody_knows_for_a_tool(line: str, owner: bool) -> None:
    environ = {**PROJECT, "WANDB_SHIM_INIT": "always"}
    assert process.decide(shlex.split(line), environ, pid=7, bin_directories=BIN).owner is owner


@pytest.mark.parametrize(
    ("line", "environ", "role"),
    [
        ("python /venv/bin/mine --lr 1", {"WANDB_SHIM_TRAINS": "other, mine"}, TRAINING),
        ("python /venv/bin/mine --help", {"WANDB_SHIM_TRAINS": "mine"}, TOOL),
        ("python /venv/bin/mine", {}, TOOL),
        ("python -m mlflow.our.train", {"WANDB_SHIM_TRAINS": "mlflow.our"}, TRAINING),
        ("python -m mlflow.ours.train", {"WANDB_SHIM_TRAINS": "mlflow.our"}, TOOL),
        ("python /v/site-packages/tensorboard/x.py", {"WANDB_SHIM_TRAINS": "tensorboard"}, TRAINING),
        ("python /venv/bin/yolo train", {"WANDB_SHIM_TOOLS": "yolo"}, TOOL),
        ("python -m pkg.prepare", {"WANDB_SHIM_TOOLS": "pkg.prepare"}, TOOL),
        ("python prepare.py", {"WANDB_SHIM_TOOLS": "prepare.py"}, TOOL),
        ("python train.py", {"WANDB_SHIM_TOOLS": "prepare.py"}, TRAINING),
    ],
)
def test_a_job_names_what_trains_and_what_does_not(line: str, environ: dict[str, str], role: str) -> None:
    decision = process.decide(shlex.split(line), {**PROJECT, **environ}, pid=7, bin_directories=BIN)
    assert decision.role == role, decision.rule
    assert decision.owner is (role == TRAINING)


@pytest.mark.parametrize(
    ("rank", "owner", "joined"),
    [(0, 0, False), (1, 0, False), (2, 0, True), (3, 0, False), (0, 3, True), (2, 3, False), (3, 3, False)],
)
def test_one_process_a_node_joins_the_run_of_another(rank: int, owner: int, joined: bool) -> None:
    environ = {"RANK": str(rank), "WORLD_SIZE": "4", "LOCAL_RANK": str(rank % 2), "LOCAL_WORLD_SIZE": "2"}
    assert ranks.joins({**environ, "WANDB_SHIM_NODES": "on"}, owner) is joined
    assert not ranks.joins(environ, owner)
