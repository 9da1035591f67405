"""Decide whether this process owns the job's run, where sitecustomize.py cannot tell without the tables.

Only a process that may own a run, or whose job skips a patch, loads this module.
"""

import os
import sys


def skip(waiting: "dict[str, Patch]", skipped: str) -> None:
    """Take away the patches that the job skips.

    Args:
        waiting: Names of the modules that are waited for, each with its patch.
        skipped: WANDB_SHIM_SKIP, names of patches separated by commas.
    """
    names = {"patches." + name.strip() for name in skipped.split(",")}
    for module in [module for module, patch in waiting.items() if patch in names]:
        del waiting[module]


def consider_run() -> None:
    """Decide whether this process owns the job's run, and if so, open it at the first line of its program."""
    if _is_subinterpreter() or not _is_considered():
        # The tables are not needed any more: a process that is not the owner keeps one module of ours.
        for used in ("process", "command_line", "tables", "ranks", "environment", "bootstrap"):
            sys.modules.pop(f"{__package__}.{used}", None)
            sys.modules[__package__].__dict__.pop(used, None)


def _is_subinterpreter() -> bool:
    """Whether this is a subinterpreter: of a process only the main interpreter may own a run.

    Python handles signals in the main interpreter alone, so signal.set_wakeup_fd raises ValueError in any other. The
    call changes nothing here: no descriptor is set as yet.
    """
    import _signal  # type: ignore[import-not-found,unused-ignore]  # the module around it is slow to import

    try:
        _signal.set_wakeup_fd(-1)
    except ValueError:
        return True
    return False


def _is_considered() -> bool:
    """Whether there is something to do at the first line of the program; if so, arrange for it."""
    from . import process, ranks

    decision = process.decide(
        sys.orig_argv,
        os.environ,
        pid=os.getpid(),
        bin_directories=bin_directories(sys.executable, sys.prefix),
        is_bin=is_bin,
    )
    if decision.owner and "WANDB_SHIM_OWNED_BY" not in os.environ:
        from .script import above

        if above.owner_above(os.getpid()):  # its script has given this process an environment without the mark
            decision.owner = decision.depends = decision.joins = False
            decision.rule = "below a process that owns the run, by its ancestors"
    if decision.owner or decision.depends or decision.joins:
        # Whatever this process starts from now on is a child, even what a package starts while it is imported.
        os.environ["WANDB_SHIM_OWNED_BY"] = f"{os.getpid()}@{process.job_of(os.environ)}"
    if decision.depends and _can_find("megatron", decision.directory):
        last = decision.rank > 0
        # Of rank 0 and the last rank, the one that does not own the run joins the run of the other.
        joins = decision.joins if last else ranks.joins(os.environ, decision.world_size - 1)
        _at_main("ask_program", last, joins)
    elif decision.owner or decision.joins:
        _at_main("open_run", not decision.owner)
    else:
        if os.environ.get("WANDB_SHIM_LOG"):
            from . import log

            log.info(f"process {os.getpid()} opens no run: {decision.role}: {decision.rule}")
        return False
    return True


def is_bin(directory: str) -> bool:
    """Whether a directory holds an interpreter, and so console scripts, whatever spelling or link leads to it."""
    return os.path.exists((directory or ".") + "/python3")


def _can_find(name: str, directory: str) -> bool:
    """Whether the program will be able to import a package; the program's directory is not on sys.path as yet."""
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
    from .hooks import Patch
