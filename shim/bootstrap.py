"""The one entry, and all that an idle process pays for: read the environment, arm the hooks, decide, arm the run.

The interpreter loads this file as the package `_wandb_shim` (see sitecustomize.py): a private name, because a
training script may well have a `shim.py` of its own. Hence relative imports everywhere in this package, and none
here before something is to be done: each file at start-up is paid by every Python process of the image.
"""

import os
import sys

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
}


# The one on sys.meta_path; None until `start`.
finder: "Finder | None" = None


class Finder:
    """A finder on `sys.meta_path` that finds nothing: one dict lookup an import, until a module on its list comes.

    The second service: `import shim` works in every process, yet any other module of that name wins.
    """

    __slots__ = ("waiting",)

    def __init__(self, waiting: "dict[str, Patch]") -> None:
        self.waiting = waiting

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Answer None at once for all but the modules waited for (PEP 451)."""
        if name not in self.waiting:
            return None
        from . import hooks

        return hooks.find_spec(self, name, path, target)


def start() -> None:
    """Arm this process. Called once; whatever goes wrong is one line on stderr and the script runs without us."""
    environ = os.environ
    if environ.get("WANDB_SHIM", "").strip().lower() == "off":
        return
    waiting: "dict[str, Patch]" = dict(HOOKS)
    for name in environ.get("WANDB_SHIM_SKIP", "").split(",") if "WANDB_SHIM_SKIP" in environ else ():
        for module, patch in HOOKS.items():
            if patch == "patches." + name.strip():
                waiting.pop(module, None)
    waiting["shim"] = ""
    global finder
    finder = Finder(waiting)
    sys.meta_path.insert(0, finder)
    if environ.get("WANDB_PROJECT") and not _cannot_own(environ, sys.orig_argv):
        _consider_run()


def _cannot_own(environ: "Mapping[str, str]", argv: "Sequence[str]") -> bool:
    """Whether process.decide is sure to say no. Loading its tables costs as much as all the rest of a start.

    Only what needs no table: a command, a console script beside the interpreter, a rank between the first and the
    last, and what runs below an owner.
    """
    if "WANDB_SHIM_INIT" in environ or "WANDB_SHIM_OWNER" in environ or "WANDB_SHIM_NODES" in environ:
        return False
    if "WANDB_SHIM_OWNED_BY" in environ:
        owner, _, job = environ["WANDB_SHIM_OWNED_BY"].partition("@")
        if owner != str(os.getpid()) and not job and not any(name in environ for name in _JOBS):
            return True
    program = argv[1] if len(argv) > 1 else ""
    if program == "-c":
        return True
    if "/" in program and not program.endswith(".py") and os.path.dirname(program) == os.path.dirname(sys.executable):
        return True
    rank, size = environ.get("RANK", ""), environ.get("WORLD_SIZE", "")
    return rank.isdecimal() and size.isdecimal() and 0 < int(rank) < int(size) - 1


# As in process.job_of.
_JOBS = ("SLURM_JOB_ID", "SKYPILOT_TASK_ID", "KUBERNETES_JOB_UID")


def _consider_run() -> None:
    """Decide whether this process owns the job's run, and if so, open it at the first line of its program."""
    from . import process

    decision = process.decide(
        sys.orig_argv,
        os.environ,
        pid=os.getpid(),
        bin_directories=bin_directories(sys.executable, sys.prefix),
        is_bin=_is_bin,
    )
    if decision.owner and "WANDB_SHIM_OWNED_BY" not in os.environ:
        from .script import above

        if above.owner_above(os.getpid()):  # whose script gave this one an environment of its own making
            return
    if decision.owner or decision.depends or decision.joins:
        # Whatever this process starts is a child from now on, also what a package starts while it is imported.
        os.environ["WANDB_SHIM_OWNED_BY"] = f"{os.getpid()}@{process.job_of(os.environ)}"
    if decision.depends and _can_find("megatron", decision.directory):
        last = decision.rank > 0
        # Rank 0 joins the last one's run, and the other way round.
        joins = decision.joins if last else process.joins(os.environ, decision.world_size - 1)
        return _at_main("ask_program", last, joins)
    if decision.owner or decision.joins:
        return _at_main("open_run", not decision.owner)
    # The tables have said what they had to say: a process that is not the owner keeps one module of ours.
    for used in ("process", "environment"):
        sys.modules.pop(f"{__name__}.{used}", None)
        globals().pop(used, None)


def _is_bin(directory: str) -> bool:
    """Whether a directory holds an interpreter, and so console scripts: however its path is spelled, or linked."""
    return os.path.exists((directory or ".") + "/python3")


def _can_find(name: str, directory: str) -> bool:
    """Whether the program will be able to import a package, seen from here: sys.path lacks its directory as yet."""
    if os.path.isdir(os.path.join(directory, name)):
        return True
    return any(other.find_spec(name, None) for other in sys.meta_path if hasattr(other, "find_spec"))


def bin_directories(executable: str, prefix: str) -> "tuple[str, ...]":
    """Directories whose files without `.py` are console scripts, for the interpreter `executable` below `prefix`."""
    return (
        executable.rpartition("/")[0],
        prefix + "/bin",
        "/usr/local/bin",
        "/usr/bin",
        os.path.expanduser("~/.local/bin"),
    )


def _at_main(function: str, *arguments: object) -> None:
    """Call a function of first_line.py at the first frame of `__main__`."""
    from . import main_hook

    def call() -> None:
        from . import first_line

        getattr(first_line, function)(*arguments)

    main_hook.call_at_main(call)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Patch = str | Callable[[ModuleType], object]
