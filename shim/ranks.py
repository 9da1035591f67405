"""Which rank of how many a process is, by the variables of whoever started it. Loaded before user code: no imports."""

from . import environment

# Where a rank comes from, the most specific first: (name, rank, world size, local rank, a variable that must be a
# number too, or None). A world size that ends in a comma is counted: a list, one entry a process.
#
# torchrun: https://docs.pytorch.org/docs/stable/elastic/run.html; srun: srun(1), OUTPUT ENVIRONMENT VARIABLES
# (SLURM_PROCID is also set in the batch script, where there is one process: only a step counts); Open MPI: mpirun(1);
# PMI: MPICH, Intel MPI; JAX: jax/_src/clusters/ and jax.distributed.initialize, which under Slurm reads srun's; XLA:
# torch_xla/core/xla_env_vars.py; Neuron: AWS's "PJRT environment variables" of neuronx-distributed; TPU: Cloud TPU's
# runtime and GKE, one process a host; SkyPilot: one command a node.
RANK_SOURCES = (
    ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", None),
    ("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", None),
    ("MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", None),
    ("Horovod", "HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_RANK", None),
    ("PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", None),
    ("JAX", "JAX_PROCESS_ID", "JAX_NUM_PROCESSES", None, None),
    ("XLA", "XRT_SHARD_ORDINAL", "XRT_SHARD_WORLD_SIZE", "XRT_SHARD_LOCAL_ORDINAL", None),
    ("Neuron", "NEURON_PJRT_PROCESS_INDEX", "NEURON_PJRT_PROCESSES_NUM_DEVICES,", None, None),
    ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_ID"),
    ("srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_ID"),
    ("Lightning", "NODE_RANK", "WORLD_SIZE", "LOCAL_RANK", None),
    ("TPU", "TPU_WORKER_ID", "TPU_WORKER_HOSTNAMES,", None, None),
    ("SkyPilot", "SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES", None, None),
)

# TensorFlow's cluster, in JSON: https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config
# environment_variable. The chief is rank 0; an evaluator and parameter servers are no ranks of the training.
_TF_CONFIG = "TF_CONFIG"
_TF_RANKS = ("chief", "master", "worker")

# Slurm gives the batch script, the extern and the interactive step numbers from here on (slurm.h, SLURM_BATCH_SCRIPT).
_FIRST_SPECIAL_SLURM_STEP = 0xFFFFFFF0


def find_rank(environ: "Mapping[str, str]") -> "tuple[int, int, int | None, str]":
    """Rank, world size, local rank and who set them; `(0, 1, None, "")` for a process on its own."""
    for source, rank_name, size_name, local_name, also in RANK_SOURCES:
        rank = _number(environ, rank_name)
        if rank is None:
            continue
        size = _number(environ, size_name) if size_name[-1] != "," else _entries(environ, size_name[:-1])
        if size is None:
            continue
        if also is not None:
            step = _number(environ, also)
            if step is None or step >= _FIRST_SPECIAL_SLURM_STEP:
                continue
        return rank, max(size, 1), _number(environ, local_name) if local_name else None, source
    return _of_tensorflow(environ) or (0, 1, None, "")


def joins(environ: "Mapping[str, str]", owner: int) -> bool:
    """Whether this process brings its node's machine into the run that rank `owner`, on another node, opens."""
    rank, size, local_rank, _ = find_rank(environ)
    if not environment.Contract(environ).nodes or size == 1 or local_rank not in (0, None):
        return False
    # Where nobody says how many ranks a node has, the owner's node may be in the run twice, but no node is missing.
    on_this_node = _number(environ, "LOCAL_WORLD_SIZE") or 1
    return not rank <= owner < rank + on_this_node


def owner_rank(owner: "str | int", world_size: int) -> int:
    """The rank that WANDB_SHIM_OWNER names; "auto" is the first."""
    if isinstance(owner, int):
        return owner
    return world_size - 1 if owner == "last" else 0


def _of_tensorflow(environ: "Mapping[str, str]") -> "tuple[int, int, int | None, str] | None":
    text = environ.get(_TF_CONFIG)
    if not text:
        return None
    import json

    try:
        told = json.loads(text)
        sizes = [(kind, len(told["cluster"].get(kind, ()))) for kind in _TF_RANKS]
        kind, index = str(told["task"]["type"]), int(told["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    world_size = sum(size for _, size in sizes)
    if not world_size:
        return None
    before = 0
    for name, size in sizes:
        if name == kind:
            return before + index, world_size, None, _TF_CONFIG
        before += size
    return world_size, world_size, None, _TF_CONFIG  # an evaluator or a parameter server, which never owns the run


def _entries(environ: "Mapping[str, str]", name: str) -> "int | None":
    value = environ.get(name, "")
    return len(value.split(",")) if value else None


def _number(environ: "Mapping[str, str]", name: str) -> "int | None":
    value = environ.get(name, "")
    return int(value) if value.isdecimal() else None


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
