"""Which process is this, and does it own the run? A pure function over the command line and the environment.

Only a `training` process may own a run, and only one rank of a job. The tables are in tables.py, the ranks in ranks.py.
This module is loaded before user code, so it imports no library, and of ours only what the decision needs.

The command line is read from `sys.orig_argv`: while `site` runs, `sys.argv[0]` is just "-m" for `-m pkg.train`.
"""

from . import environment, tables
from .command_line import CommandLine, parse_command_line
from .ranks import find_rank, joins, owner_rank
from .tables import CHILD, INTERACTIVE, LAUNCHER, TOOL, TRAINING

# Directories of installed packages.
_PACKAGES = ("/site-packages/", "/dist-packages/")


class Decision:
    """The role of a process, and whether it owns the job's run.

    Attributes:
        role: One of `training`, `launcher`, `tool`, `child`, `interactive`.
        rule: The sentence that decided, for people.
        owner: Whether this process owns the run. False for all roles but training, unless WANDB_SHIM_INIT=always.
        depends: Whether the program may still change `owner`: this is the first or the last rank of several, and
            WANDB_SHIM_OWNER leaves the choice open. In a Megatron job the last rank owns the run (owner.py).
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


def job_of(environ: "Mapping[str, str]") -> str:
    """The scheduler's name for this job; "" where there is none. The name tells a new job from a child of this one."""
    for name in ("SLURM_JOB_ID", "SKYPILOT_TASK_ID", "KUBERNETES_JOB_UID"):
        value = environ.get(name)
        if value:
            return f"{name}={value}"
    return ""


def classify(
    line: CommandLine, bin_directories: "Sequence[str]", is_bin: "IsBin | None" = None, named: "Named" = ((), ())
) -> "tuple[str, str, bool]":
    """The role of a command line, the rule that gave it, and whether WANDB_SHIM_INIT=always may overrule that.

    Args:
        line: The command line.
        bin_directories: Where console scripts lie.
        is_bin: Whether a directory, as spelled on the command line, is an interpreter's.
        named: The programs that WANDB_SHIM_TRAINS and WANDB_SHIM_TOOLS name.
    """
    if line.kind == "none":
        return TOOL, f"it was only asked for {line.target}", False
    if line.inspect or line.kind == "stdin":
        return INTERACTIVE, "-i keeps a prompt" if line.inspect else "the program comes from standard input", True
    if line.kind == "command":
        return _role_of_command(line)
    found = _role_as_named(line, named) or _role_of_program(line, bin_directories, is_bin)
    if found is not None and found[0] != TRAINING:
        return found
    inner = _wrapped(line, bin_directories, is_bin)
    if inner is not None:
        return classify(inner, bin_directories, is_bin, named)
    asked = _asks_for_help(line.arguments)
    if asked:
        return TOOL, f"{asked} among its arguments: it only talks about itself", False
    return found or (TRAINING, f"a {line.kind}: {line.target}", False)


def _role_of_command(line: CommandLine) -> "tuple[str, str, bool]":
    text = line.target.lstrip()
    if text.startswith(tables.CHILD_COMMANDS):
        return CHILD, "a process of multiprocessing, started with -c", False
    by_installer = text.startswith(tables.INSTALLER_COMMANDS) or line.isolated
    return TOOL, "a command given with -c", not by_installer


def _role_as_named(line: CommandLine, named: "Named") -> "tuple[str, str, bool] | None":
    """The role of a program that the job itself has named, by its console script or its module."""
    own = _name_of(line)
    for names, role, variable in zip(named, (TRAINING, TOOL), (environment.TRAINS, environment.TOOLS), strict=True):
        for name in names:
            if own == name or own.startswith(name + "."):
                return role, f"{name} is named by {variable}", False
    return None


def _name_of(line: CommandLine) -> str:
    """The name by which people know a program: that of its module or its console script."""
    if line.kind == "module":
        return line.target
    for packages in _PACKAGES:
        _, found, inside = line.target.rpartition(packages)
        if found:
            return _module_of(inside)
    return line.target.rpartition("/")[2]


def _role_of_program(
    line: CommandLine, bin_directories: "Sequence[str]", is_bin: "IsBin | None"
) -> "tuple[str, str, bool] | None":
    if line.kind == "script":
        return _role_of_script(line, bin_directories, is_bin)
    script = tables.MODULES_OF_SCRIPTS.get(line.target)
    if script is not None:
        return _role_of_training_script(script, line.arguments)
    found = _role_of_module(line.target)
    if found is None and _is_standard(line.target):
        return TOOL, f"{line.target} is a tool of the standard library", False
    return found


def _role_of_training_script(name: str, arguments: "Sequence[str]") -> "tuple[str, str, bool]":
    """The role of a console script that trains in its own process where its arguments say so."""
    words = tables.TRAINING_SCRIPTS[name]
    first = next((word for word in arguments if not word.startswith("-")), "")
    said = {first, *arguments[1:3]} if name == "yolo" else {first}  # yolo TASK MODE, or mode=MODE anywhere
    if words[0] and not said.intersection(words):
        return TOOL, f"{name} is asked for {first or 'nothing'}, not for {' or '.join(words)}", False
    if words[0] == "" and first in ("ls", "list", "validate"):
        return TOOL, f"{name} {first} only lists", False
    if _launches(name, arguments):
        return LAUNCHER, f"{name} starts the processes that train", False
    return TRAINING, f"{name} is listed as training", False


def _launches(name: str, arguments: "Sequence[str]") -> bool:
    if name == "axolotl":
        given = " ".join(arguments)
        return "--launcher python" not in given.replace("=", " ") and "--no-accelerate" not in arguments
    return name == "tune" and any(word.startswith(tables.LAUNCHING_OPTIONS) for word in arguments)


def _asks_for_help(arguments: "Sequence[str]") -> str:
    """The argument with which a program only talks about itself; "" where there is none.

    `-h 224` is a height or a host. Where nothing but options follows `--`, they are Fire's own arguments.
    """
    for at, word in enumerate(arguments):
        following = arguments[at + 1 :]
        value = following[0] if following else "-"
        if word == "--":
            of_fire = all(word.startswith("-") for word in following)
            return next((f"-- {word}" for word in following if of_fire and word in tables.HELP), "")
        if word == "-h" and not value.startswith("-"):
            continue
        if word in tables.HELP or (word == "--version" and value.startswith("-")):
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
        pid: Its process id. The mark of a process that has replaced itself by exec has this id: it stays the owner.
        bin_directories: Where console scripts lie; a file there without `.py` is one.
        is_bin: Whether a directory, as spelled on the command line, is an interpreter's.
    """
    contract = environment.Contract(environ)
    ranks = find_rank(environ)
    line = parse_command_line(orig_argv)
    role, rule, open_to_all = classify(line, bin_directories, is_bin, (contract.trains, contract.tools))
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
    elif role == TRAINING or (contract.init == "always" and open_to_all and role != CHILD):
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


def _is_standard(name: str) -> bool:
    """Whether a module is the standard library's. `code.train` is not: there `code` is a module, not a package."""
    top, _, rest = name.partition(".")
    return top in _standard_library() and (not rest or top in tables.STANDARD_PACKAGES)


def _wrapped(line: CommandLine, bin_directories: "Sequence[str]", is_bin: "IsBin | None") -> "CommandLine | None":
    """What a program like cProfile or memray runs in its own process; None where the program is not of that kind."""
    name = line.target.rpartition("/")[2]
    if line.kind == "module" and line.target not in tables.WRAPPERS:
        return None
    if line.kind == "script" and not (
        name in tables.WRAPPER_SCRIPTS and _is_console_script(line, bin_directories, is_bin)
    ):
        return None
    first, with_value = tables.WRAPPERS.get(name, ((), ()))
    words = list(line.arguments)
    if first and words[:1] != list(first):
        return CommandLine("none", name, (), line.inspect)
    words = words[len(first) :]
    while words:
        word = words.pop(0)
        if word == "-m":
            return CommandLine("module", words[0] if words else "", words[1:], line.inspect)
        if word in ("run", "--"):
            continue
        if word in tables.HELP or word in tables.WITHOUT_A_PROGRAM:
            return CommandLine("none", word, (), line.inspect)
        if not word.startswith("-"):
            # The first word that is neither an option nor an option's value; its own arguments follow.
            return CommandLine("script", word, words, line.inspect)
        if word in with_value:
            words = words[1:]
    return CommandLine("none", name + " itself", (), line.inspect)


def _is_console_script(line: CommandLine, bin_directories: "Sequence[str]", is_bin: "IsBin | None") -> bool:
    directory, _, name = line.target.rpartition("/")
    return not name.endswith(".py") and (directory in bin_directories or (is_bin is not None and is_bin(directory)))


def _role_of_module(name: str) -> "tuple[str, str, bool] | None":
    """Look up a module and then its parents: the most specific row wins."""
    prefix = name
    while prefix:
        role = tables.MODULES.get(prefix)
        if prefix != name and prefix in _standard_library() and prefix not in tables.STANDARD_PACKAGES:
            return None
        if role is not None and (prefix == name or prefix not in tables.EXACT):
            return role, f"{name} is listed as {role}" + (f" (by {prefix})" if prefix != name else ""), role == LAUNCHER
        prefix = prefix.rpartition(".")[0]
    return None


def _role_of_script(
    line: CommandLine, bin_directories: "Sequence[str]", is_bin: "IsBin | None"
) -> "tuple[str, str, bool] | None":
    path = line.target
    directory, _, name = path.rpartition("/")
    if name in tables.TOOL_FILES:
        return TOOL, f"{name} is listed as a tool", False
    if any(editor in path for editor in tables.EDITORS):
        _, debugger, part = path.rpartition("/debugpy")
        return (
            _role_of_module("debugpy" + part.replace("/", ".")) if debugger else (TOOL, "a helper of an editor", False)
        )
    for packages in _PACKAGES:
        _, found, inside = path.rpartition(packages)
        if found:
            return _role_of_module(_module_of(inside))
    if path.startswith(tables.TOOL_DIRECTORIES):
        return TOOL, f"{path} belongs to the system", False
    if name in tables.LAUNCHER_SCRIPTS and directory.endswith("/bin"):
        return LAUNCHER, f"{name} is listed as launcher", True
    if not _is_console_script(line, bin_directories, is_bin):
        return None
    if name in tables.LAUNCHER_SCRIPTS:
        return LAUNCHER, f"{name} is listed as launcher", True
    if name in tables.TRAINING_SCRIPTS:
        return _role_of_training_script(name, line.arguments)
    if name in tables.WRAPPER_SCRIPTS:
        return TRAINING, f"{name} runs a program in its own process", False
    return TOOL, f"{name} is a console script in {directory}", name not in tables.KNOWN_TOOLS


def _module_of(path: str) -> str:
    """The module of a file in a directory of packages."""
    return path.removesuffix(".py").removesuffix("/__main__").replace("/", ".")


def _standard_library() -> "frozenset[str]":
    import sys

    return sys.stdlib_module_names


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    IsBin = Callable[[str], bool]
    Named = tuple[Sequence[str], Sequence[str]]
