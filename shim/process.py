"""Which process is this, and does it own the run? A pure function over the command line and the environment.

Only a `training` process may own a run, and only one rank of a job. Tables first, then the code that walks them.
Loaded before user code, hence no imports, and no module of ours but the names of the contract.

The command line is read from `sys.orig_argv`: while `site` runs, `sys.argv[0]` is just "-m" for `-m pkg.train`.
"""

from . import environment

TRAINING = "training"
LAUNCHER = "launcher"
TOOL = "tool"
CHILD = "child"
INTERACTIVE = "interactive"

# Console scripts, by name, that start the training processes (which are then looked at one by one).
LAUNCHER_SCRIPTS = frozenset(
    {
        *("torchrun", "accelerate", "accelerate-launch", "deepspeed", "ds", "horovodrun", "colossalai", "composer"),
        *("lightning", "fabric", "torchx", "ray", "sky", "nemo", "nemorun", "nemo_run"),
        *("dask", "dask-worker", "dask-scheduler", "ddtrace-run", "newrelic-admin", "opentelemetry-instrument"),
    }
)

# Modules (run with -m, or as a file inside site-packages) and everything below them.
MODULES = {
    "torch.distributed.run": LAUNCHER,
    "torch.distributed.launch": LAUNCHER,
    "torch.distributed.elastic.multiprocessing": LAUNCHER,
    "accelerate.commands": LAUNCHER,
    "deepspeed.launcher": LAUNCHER,
    "horovod.runner": LAUNCHER,
    "ray.scripts": LAUNCHER,
    "ray.job_submission": LAUNCHER,
    "nemo_run.cli": LAUNCHER,
    "nemo_run.__main__": LAUNCHER,
    "nemo_run": LAUNCHER,
    "nemo_run.core.runners": TRAINING,  # fdl_runner: a nemo-run Partial, the user's own function
    "torchx.apps": LAUNCHER,
    "torch.backends.xeon": LAUNCHER,
    "composer.cli": LAUNCHER,
    "colossalai.cli": LAUNCHER,
    "lightning.fabric.cli": LAUNCHER,
    "lightning_fabric.cli": LAUNCHER,
    "paddle.distributed.launch": LAUNCHER,
    "sky": LAUNCHER,
    "ray._private": CHILD,
    "ray.dashboard": CHILD,
    "ray.autoscaler": CHILD,
    "ray.util.client.server": CHILD,
    "ray.core": CHILD,
    "torch._inductor": CHILD,
    "torch.utils": TOOL,
    "triton": TOOL,
    "pyspark": CHILD,
    "joblib": CHILD,
    "loky": CHILD,
    "distributed.cli": CHILD,
    "pip": TOOL,
    "pipx": TOOL,
    "uv": TOOL,
    "virtualenv": TOOL,
    "build": TOOL,
    "setuptools": TOOL,
    "pytest": TOOL,
    "wandb": TOOL,
    "shim": TOOL,
    "tensorboard": TOOL,
    "huggingface_hub": TOOL,
    "mypy": TOOL,
    "ruff": TOOL,
    "black": TOOL,
    "pyproject_hooks": TOOL,
    "pybind11": TOOL,
    "azure": TOOL,
    "awscli": TOOL,
    "nltk": TOOL,
    "spacy.cli": TOOL,
    "IPython": INTERACTIVE,
    "ipykernel": INTERACTIVE,
    "ipykernel_launcher": INTERACTIVE,
    "jupyter": INTERACTIVE,
    "jupyter_core": INTERACTIVE,
    "jupyterlab": INTERACTIVE,
    "notebook": INTERACTIVE,
    "nbconvert": INTERACTIVE,
    "jupyterhub": INTERACTIVE,
    "jupyter_server": INTERACTIVE,
    "papermill": INTERACTIVE,
    "debugpy": TRAINING,
    "debugpy.adapter": CHILD,
    "debugpy.launcher": LAUNCHER,
    "coverage": TRAINING,
    # The standard library's modules are tools, but these run somebody's program …
    "cProfile": TRAINING,
    "profile": TRAINING,
    "runpy": TRAINING,
    "trace": TRAINING,
    # … and these talk to a person.
    "code": INTERACTIVE,
    "idlelib": INTERACTIVE,
    "pdb": INTERACTIVE,
    "multiprocessing": CHILD,
}

# Of the above, those that can be told to run a module with -m.
WRAPPERS = frozenset({"cProfile", "profile", "trace", "coverage", "debugpy"})

# The packages of the standard library that can be run with -m, or in part; all else there has no parts.
_STANDARD_PACKAGES = frozenset(
    {
        *("asyncio", "concurrent", "ctypes", "curses", "dbm", "distutils", "email", "encodings", "ensurepip", "html"),
        *("http", "idlelib", "importlib", "json", "lib2to3", "logging", "multiprocessing", "pathlib", "pydoc_data"),
        *("re", "sqlite3", "sysconfig", "tkinter", "tomllib", "turtledemo", "unittest", "urllib", "venv", "wsgiref"),
        *("xml", "xmlrpc", "zipfile", "zoneinfo"),
    }
)

# `python -c` is a tool or a helper; these beginnings tell a child of multiprocessing from the rest.
CHILD_COMMANDS = ("from multiprocessing", "from multiprocess", "from loky", "from joblib")

# Files that are tools whatever directory they lie in.
TOOL_FILES = frozenset({"setup.py", "conftest.py", "get-pip.py"})

# Directories whose programs are the system's or an editor's, never a job; a debugger there is looked up by its name.
TOOL_DIRECTORIES = ("/usr/lib/", "/usr/libexec/", "/usr/share/", "/usr/sbin/", "/bin/", "/sbin/")
EDITORS = ("/.vscode-server/", "/.vscode/", "/.cursor-server/", "/.pycharm_helpers/")

# Arguments with which a program only talks about itself.
HELP = frozenset({"-h", "--help", "--helpfull", "--helpshort"})

# Interpreter options that take the next argument when theirs is not attached (CPython, Python/initconfig.c).
_OPTIONS_WITH_VALUE = "WX"

# Where a rank comes from, the most specific first: (name, rank, world size, local rank, a variable that must be a
# number too, or None). torchrun: https://docs.pytorch.org/docs/stable/elastic/run.html; srun: srun(1), OUTPUT
# ENVIRONMENT VARIABLES (SLURM_PROCID is also set in the batch script, where there is one process: only a step
# counts); Open MPI: mpirun(1); PMI: MPICH, Intel MPI; SkyPilot: one command a node.
RANK_SOURCES = (
    ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", None),
    ("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", None),
    ("MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", None),
    ("Horovod", "HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_RANK", None),
    ("PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", None),
    ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_ID"),
    ("srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_ID"),
    ("Lightning", "NODE_RANK", "WORLD_SIZE", "LOCAL_RANK", None),
    ("SkyPilot", "SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES", None, None),
)

# Slurm gives the batch script, the extern and the interactive step numbers from here on (slurm.h, SLURM_BATCH_SCRIPT).
_FIRST_SPECIAL_SLURM_STEP = 0xFFFFFFF0


class CommandLine:
    """What the interpreter was asked to run.

    Attributes:
        kind: "script", "module", "command", "stdin" (also the REPL) or "none" (`--version`, `--help`).
        target: The script's path, the module's name or the command's text.
        arguments: What follows it.
        inspect: Whether -i was given.
    """

    __slots__ = ("arguments", "inspect", "kind", "target")

    def __init__(self, kind: str, target: str, arguments: "Sequence[str]", inspect: bool) -> None:
        self.kind = kind
        self.target = target
        self.arguments = arguments
        self.inspect = inspect


class Decision:
    """The role of a process, and whether it owns the job's run.

    Attributes:
        role: One of `training`, `launcher`, `tool`, `child`, `interactive`.
        rule: The sentence that decided, for people.
        owner: Whether this process owns the run. False for all roles but training, unless WANDB_SHIM_INIT=always.
        depends: Whether the program may turn that round: the first or the last rank of several, and WANDB_SHIM_OWNER
            leaves it open. In a Megatron job the last rank is the owner (owner.py).
        rank: Global rank, 0 where nobody set one.
        world_size: Number of ranks; 1 where nobody set one.
        local_rank: Rank on this node; None where unknown.
        joins: Whether this process is to bring its node's machine into the run of another node (nodes.py).
        rank_source: Who set the rank; "" where nobody did.
        directory: Where the program's own modules lie: its script's directory, or the working directory.
    """

    __slots__ = (
        *("depends", "directory", "joins", "local_rank", "owner", "rank", "rank_source", "role", "rule"),
        "world_size",
    )

    def __init__(self, role: str, rule: str, ranks: "tuple[int, int, int | None, str]", directory: str = "") -> None:
        self.role = role
        self.directory = directory
        self.rule = rule
        self.owner = False
        self.depends = False
        self.joins = False
        self.rank, self.world_size, self.local_rank, self.rank_source = ranks


def parse_command_line(orig_argv: "Sequence[str]") -> CommandLine:
    """Split `sys.orig_argv` as CPython's own option parser does (Python/getopt.c)."""
    inspect = False
    position = 1
    while position < len(orig_argv):
        word = orig_argv[position]
        position += 1
        if word == "-":
            return CommandLine("stdin", "-", orig_argv[position:], inspect)
        if not word.startswith("-"):
            return CommandLine("script", word, orig_argv[position:], inspect)
        if word.startswith("--"):
            if word == "--check-hash-based-pycs":
                position += 1
            elif word != "--":
                return CommandLine("none", word, (), inspect)
            continue
        for at, letter in enumerate(word[1:], start=2):
            if letter in "cm":
                target = word[at:]
                if not target and position < len(orig_argv):
                    target = orig_argv[position]
                    position += 1
                return CommandLine("command" if letter == "c" else "module", target, orig_argv[position:], inspect)
            if letter in _OPTIONS_WITH_VALUE:
                position += not word[at:]
                break
            if letter in "hV?":
                return CommandLine("none", word, (), inspect)
            inspect = inspect or letter == "i"
    return CommandLine("stdin", "", (), inspect)


def find_rank(environ: "Mapping[str, str]") -> "tuple[int, int, int | None, str]":
    """Rank, world size, local rank and who set them; `(0, 1, None, "")` for a process on its own."""
    for source, rank_name, size_name, local_name, also in RANK_SOURCES:
        rank = _number(environ, rank_name)
        size = _number(environ, size_name)
        if rank is None or size is None:
            continue
        if also is not None:
            step = _number(environ, also)
            if step is None or step >= _FIRST_SPECIAL_SLURM_STEP:
                continue
        return rank, max(size, 1), _number(environ, local_name) if local_name else None, source
    return 0, 1, None, ""


def job_of(environ: "Mapping[str, str]") -> str:
    """The scheduler's name for this job; "" where there is none. Tells a new job from a child of this one."""
    for name in ("SLURM_JOB_ID", "SKYPILOT_TASK_ID", "KUBERNETES_JOB_UID"):
        value = environ.get(name)
        if value:
            return f"{name}={value}"
    return ""


def classify(line: CommandLine, bin_directories: "Sequence[str]", is_bin: "IsBin | None" = None) -> tuple[str, str]:
    """The role of a command line, and the rule that gave it."""
    if line.kind == "none":
        return TOOL, f"the interpreter was only asked for {line.target}"
    if line.inspect or line.kind == "stdin":
        return INTERACTIVE, "-i keeps a prompt" if line.inspect else "the program comes from standard input"
    if line.kind == "command":
        if line.target.lstrip().startswith(CHILD_COMMANDS):
            return CHILD, "a process of multiprocessing, started with -c"
        return TOOL, "a command given with -c"
    if line.kind == "module":
        found = _role_of_module(line.target)
        if found is None and _is_standard(line.target):
            found = TOOL, f"{line.target} is a tool of the standard library"
    else:
        found = _role_of_script(line.target, bin_directories, is_bin)
    if found is not None and found[0] != TRAINING:
        return found
    if line.kind == "module" and line.target in WRAPPERS:
        inner = _wrapped(line)
        if inner is not None:
            return classify(inner, bin_directories, is_bin)
    asked = _asks_for_help(line.arguments)
    if asked:
        return TOOL, f"{asked} among its arguments: it only talks about itself"
    return found or (TRAINING, f"a {line.kind}: {line.target}")


def _asks_for_help(arguments: "Sequence[str]") -> str:
    """The argument with which a program only talks about itself; "" where there is none.

    `-h 224` is a height or a host; and after `--` stand the arguments of Fire itself, where nothing else does.
    """
    for at, word in enumerate(arguments):
        following = arguments[at + 1 :]
        value = following[0] if following else "-"
        if word == "--":
            of_fire = all(word.startswith("-") for word in following)
            return next((f"-- {word}" for word in following if of_fire and word in HELP), "")
        if word == "-h" and not value.startswith("-"):
            continue
        if word in HELP or (word == "--version" and value.startswith("-")):
            return word
    return ""


def decide(
    orig_argv: "Sequence[str]",
    environ: "Mapping[str, str]",
    *,
    pid: int,
    bin_directories: "Sequence[str]" = (),
    is_bin: "IsBin | None" = None,
) -> Decision:
    """The whole decision for one process.

    Args:
        orig_argv: `sys.orig_argv`: interpreter, its options, what it runs and its arguments.
        environ: The process's environment.
        pid: Its process id; a process that replaced itself (exec) carries its own mark and stays the owner.
        bin_directories: Where console scripts lie; a file there without `.py` is one.
        is_bin: Whether a directory, as spelled on the command line, is an interpreter's.
    """
    contract = environment.Contract(environ)
    ranks = find_rank(environ)
    line = parse_command_line(orig_argv)
    role, rule = classify(line, bin_directories, is_bin)
    mark = environ.get(environment.OWNED_BY, "")
    if mark:
        owner_pid, _, job = mark.partition("@")
        if job == job_of(environ) and owner_pid != str(pid):
            role, rule = CHILD, f"below process {owner_pid}, which owns the run ({environment.OWNED_BY})"
    directory = line.target.rpartition("/")[0] if line.kind == "script" else ""
    decision = Decision(role, rule, ranks, directory or ".")
    if not contract.switch:
        decision.rule = f"{environment.SWITCH}=off"
    elif not environ.get(environment.PROJECT):
        decision.rule += f"; no run, {environment.PROJECT} is not set"
    elif environ.get(environment.MODE) == "disabled":
        decision.rule += f"; no run, {environment.MODE}=disabled"
    elif contract.init == "off":
        decision.rule += f"; no run, {environment.INIT}=off"
    elif role == TRAINING or (contract.init == "always" and role != CHILD):
        wanted = owner_rank(contract.owner, decision.world_size)
        decision.owner = decision.rank == wanted
        decision.rule += f"; rank {decision.rank} of {decision.world_size}, the owner is rank {wanted}"
        if contract.owner == "auto" and decision.world_size > 1:
            decision.depends = decision.rank in (0, decision.world_size - 1)
            decision.rule += " (in a Megatron job: the last)"
        if joins(environ, wanted):
            decision.joins = True
            decision.rule += f"; joins it with its node's machine ({environment.NODES})"
    return decision


def joins(environ: "Mapping[str, str]", owner: int) -> bool:
    """Whether this process brings its node's machine into the run that rank `owner`, on another node, opens."""
    rank, size, local_rank, _ = find_rank(environ)
    if not environment.Contract(environ).nodes or size == 1 or local_rank not in (0, None):
        return False
    # Where nobody says how many ranks a node has, the owner's node may be in the run twice, but none is missing.
    on_this_node = _number(environ, "LOCAL_WORLD_SIZE") or 1
    return not rank <= owner < rank + on_this_node


def owner_rank(owner: "str | int", world_size: int) -> int:
    """The rank that WANDB_SHIM_OWNER names; "auto" is the first."""
    if isinstance(owner, int):
        return owner
    return world_size - 1 if owner == "last" else 0


def _is_standard(name: str) -> bool:
    """Whether a module is the standard library's. `code.train` is not: there `code` is a module, not a package."""
    top, _, rest = name.partition(".")
    return top in _standard_library() and (not rest or top in _STANDARD_PACKAGES)


def _wrapped(line: CommandLine) -> "CommandLine | None":
    """What a module like cProfile runs, where that is a module (`-m`); None where it is a script or nothing."""
    words = [word for word in line.arguments if word != "run"]
    if "-m" in words:
        at = words.index("-m")
        return CommandLine("module", words[at + 1] if at + 1 < len(words) else "", words[at + 2 :], line.inspect)
    if line.target == "coverage" and "run" not in line.arguments[:1]:
        return CommandLine("none", "coverage", (), line.inspect)
    return None


def _role_of_module(name: str) -> "tuple[str, str] | None":
    """Look up a module and then its parents: the most specific row wins."""
    prefix = name
    while prefix:
        role = MODULES.get(prefix)
        if prefix != name and prefix in _standard_library() and prefix not in _STANDARD_PACKAGES:
            return None
        if role is not None:
            return role, f"{name} is listed as {role}" + (f" (by {prefix})" if prefix != name else "")
        prefix = prefix.rpartition(".")[0]
    return None


def _role_of_script(path: str, bin_directories: "Sequence[str]", is_bin: "IsBin | None") -> "tuple[str, str] | None":
    directory, _, name = path.rpartition("/")
    if name in TOOL_FILES:
        return TOOL, f"{name} is listed as a tool"
    if any(editor in path for editor in EDITORS):
        _, debugger, part = path.rpartition("/debugpy")
        return _role_of_module("debugpy" + part.replace("/", ".")) if debugger else (TOOL, "a helper of an editor")
    for packages in ("/site-packages/", "/dist-packages/"):
        _, found, inside = path.rpartition(packages)
        if found:
            return _role_of_module(inside.removesuffix(".py").removesuffix("/__main__").replace("/", "."))
    if path.startswith(TOOL_DIRECTORIES):
        return TOOL, f"{path} belongs to the system"
    if name in LAUNCHER_SCRIPTS and directory.endswith("/bin"):
        return LAUNCHER, f"{name} is listed as launcher"
    if not name.endswith(".py") and (directory in bin_directories or (is_bin is not None and is_bin(directory))):
        if name in LAUNCHER_SCRIPTS:
            return LAUNCHER, f"{name} is listed as launcher"
        return TOOL, f"{name} is a console script in {directory}"
    return None


def _standard_library() -> "frozenset[str]":
    import sys

    return sys.stdlib_module_names


def _number(environ: "Mapping[str, str]", name: str) -> "int | None":
    value = environ.get(name, "")
    return int(value) if value.isdecimal() else None


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    IsBin = Callable[[str], bool]
