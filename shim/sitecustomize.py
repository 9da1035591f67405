"""What the interpreter runs before any user code, and all that an idle process pays for: this one file.

It arms the import hooks, and looks no further where the process certainly owns no run. Then it runs the sitecustomize
that this file shadows. The copy in a directory of PYTHONPATH finds the shim beside itself. The copy that
`shim install` puts into an interpreter has its two constants filled in.

Everything else of the shim is the package `_wandb_shim`: a private name, because a training script may well have a
`shim.py` of its own. Hence relative imports everywhere in that package.
"""

import os
import sys

HOME = os.path.dirname(__file__ if __file__.startswith("/") else os.path.abspath(__file__))
DISPLACED = ""  # the sitecustomize that was here before, if any
NAME = "_wandb_shim"

# Console scripts beside the interpreter that train by themselves, or run another program; all other console scripts own
# no run. The names are those of TRAINING_SCRIPTS and WRAPPER_SCRIPTS in tables.py, which this file does not load.
PROGRAMS = (
    "llamafactory-cli lmf tune yolo oumi lm_eval lm-eval lerobot-train litgpt ns-train nnUNetv2_train nnUNet_train "
    "fairseq-train fairseq-hydra-train ludwig axolotl spacy rasa rl_zoo3 "
    "memray kernprof scalene pyinstrument viztracer debugpy coverage"
)

# Modules to patch when they are imported, and the module of ours that does it. `patches/__init__.py` says more.
HOOKS = {
    "wandb": "script.attach",
    "wandb.sdk.lib.runid": "patches.wandb_runid",
    "megatron.bridge.training.utils.wandb_utils": "patches.megatron_bridge",
    "megatron.bridge.training.state": "patches.megatron_bridge",
    "megatron.training.wandb_utils": "patches.megatron_lm",
    "megatron.training.global_vars": "patches.megatron_lm",
    "nemo_rl.utils.checkpoint": "patches.nemo_rl",
    "nemo_rl.utils.logger": "patches.nemo_rl",
    "ray.air.integrations.wandb": "patches.ray_wandb",
    "torch.distributed.checkpoint.filesystem": "patches.torch_checkpoint",
    "accelerate.accelerator": "patches.accelerate",
    "transformers.trainer_callback": "patches.transformers",
    "transformers.trainer": "patches.transformers",
    "keras.src.callbacks.callback_list": "patches.keras",
    "keras.src.callbacks.model_checkpoint": "patches.keras",
    "lightning.pytorch.trainer.trainer": "patches.lightning",
    "pytorch_lightning.trainer.trainer": "patches.lightning",
    "shim": "",  # no patch: `import shim` works in every process, yet any other module of that name wins
}


def find_spec(name: str, path: object = None, target: object = None) -> object:
    """A finder that finds nothing: one dict lookup an import, until a module of HOOKS comes (PEP 451).

    The package itself stands on `sys.meta_path`, with a copy of this function whose globals are the package's. With the
    globals of this file, `os` and `sys` would outlive `sys.modules`, and each exit would clear them name by name.
    """
    if name not in waiting:  # noqa: F821
        return None
    try:
        from _wandb_shim import hooks  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None  # the shim was removed, and this door forgotten
    return hooks.find_spec(finder, name, path, target)  # noqa: F821


def start() -> None:
    """Arm this process once, however many doors lead here, and open a run where the process is to own one."""
    if NAME in sys.modules:
        return
    package: "Any" = type(sys)(NAME)
    sys.modules[NAME] = package
    package.__path__ = [HOME + "/shim"]
    get = _get()
    if get("WANDB_SHIM", "").strip().lower() == "off":
        return
    waiting = dict(HOOKS)
    package.waiting = waiting
    function: "Any" = type(start)
    package.find_spec = function(find_spec.__code__, package.__dict__, NAME, (None, None))
    package.finder = package
    sys.meta_path.insert(0, package)
    skipped = get("WANDB_SHIM_SKIP")
    if skipped:
        from _wandb_shim import bootstrap

        bootstrap.skip(waiting, skipped)
    # With WANDB_SHIM_LOG the tables are asked in any case: they know the reason.
    if get("WANDB_PROJECT") and (get("WANDB_SHIM_LOG") or not cannot_own(get, sys.orig_argv)):
        from _wandb_shim import bootstrap

        bootstrap.consider_run()


def _get() -> "Callable[..., Any]":
    """A quicker `os.environ.get`: the original raises and catches an exception for each name that is not set."""
    held = getattr(os.environ, "_data", None)
    if type(held) is not dict:
        return os.environ.get
    return lambda name, default=None: os.environ[name] if name.encode() in held else default


def cannot_own(get: "Callable[..., str | None]", argv: "Sequence[str]") -> bool:
    """Whether process.decide would certainly say no. To load its tables costs several times as much as all else here.

    What is told here needs no table: a process below an owner, a command given with `-c`, a console script beside the
    interpreter, and a rank between the first and the last.

    Args:
        get: `get` of the environment.
        argv: As `sys.orig_argv`.
    """
    mark = get("WANDB_SHIM_OWNED_BY")
    if mark:
        owner, _, job = mark.partition("@")
        jobs = ("SLURM_JOB_ID", "SKYPILOT_TASK_ID", "KUBERNETES_JOB_UID")
        named = [f"{name}={value}" for name in jobs if (value := get(name))]
        if owner != str(os.getpid()) and job == (named[0] if named else ""):
            return True
    if get("WANDB_SHIM_INIT") or get("WANDB_SHIM_OWNER") or get("WANDB_SHIM_NODES") or get("WANDB_SHIM_TRAINS"):
        return False
    program = argv[1] if len(argv) > 1 else ""
    if program == "-c":
        return True
    directory, slash, name = program.rpartition("/")
    if slash and not name.endswith(".py") and directory == os.path.dirname(sys.executable):
        return name not in PROGRAMS.split()
    for rank_name, size_name in (
        ("RANK", "WORLD_SIZE"),
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
        ("HOROVOD_RANK", "HOROVOD_SIZE"),
        ("PMI_RANK", "PMI_SIZE"),
        ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ):
        rank = get(rank_name)
        size = get(size_name) if rank else None
        if rank and size and rank.isdecimal() and size.isdecimal():
            if rank_name == "SLURM_PROCID":  # the step of the batch script has a number of ten digits, and no rank
                step = get("SLURM_STEP_ID") or ""
                others = get("JAX_PROCESS_ID") or get("XRT_SHARD_ORDINAL") or get("NEURON_PJRT_PROCESS_INDEX")
                if others or not step.isdecimal() or len(step) > 9:
                    return False
            return 0 < int(rank) < int(size) - 1
    return False


def chain() -> None:
    """Run the sitecustomize that Python would have run if this file were not here, each file once.

    The search covers the entries of sys.path after our own directory: an entry before it has no sitecustomize, or has
    one that called this file. (Others of our kind step aside by removing their directory from sys.path, which cannot be
    done with the directory of the standard library.)
    """
    external = sys.modules["_frozen_importlib_external"]
    done = sys.modules[NAME].__dict__.setdefault("chained", set()) if NAME in sys.modules else set()
    done.add(__file__)
    specs: "Iterable[Any]"
    if DISPLACED:
        # Python passes over a link that leads nowhere, and so does this.
        specs = [external.spec_from_file_location("sitecustomize", DISPLACED)] if os.path.exists(DISPLACED) else []
    else:
        # Our directory may be spelled otherwise (a trailing slash, a relative name), which costs more to find out.
        here = os.path.dirname(__file__)
        entries = sys.path if here in sys.path else [os.path.abspath(entry) for entry in sys.path]
        after = entries[entries.index(here) + 1 :] if here in entries else entries
        find = external.PathFinder.find_spec
        specs = [find("sitecustomize", after)]  # all entries at once: in nearly every process there is none
        if specs[0] is not None and (specs[0].origin in done or specs[0].loader is None):
            specs = (find("sitecustomize", [entry]) for entry in after)
    for spec in specs:
        # A spec without a loader is a directory of that name, which gives way to a module in a later entry.
        if spec is None or spec.loader is None or spec.origin in done:
            continue
        done.add(spec.origin)
        module = sys.modules["sitecustomize"] = sys.modules["_frozen_importlib"].module_from_spec(spec)
        spec.loader.exec_module(module)
        return


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    waiting: dict[str, str]
    finder: Any

try:
    start()
except Exception as error:
    # Silent where the shim was removed and this door left behind. Where stderr is closed, print would take stdout.
    if sys.stderr is not None and os.path.isdir(HOME + "/shim"):
        print(f"wandb-shim: not started: {type(error).__name__}: {error}", file=sys.stderr)
if __name__ == "sitecustomize":  # not where a .pth file or a test imports this under another name
    chain()
