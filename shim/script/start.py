"""The first line of a process that owns or joins the run: start the companion, follow the console, watch the end.

The companion is nobody's child: two forks make it, in a session of its own. So no `os.wait()` of the script sees it,
and no signal to the script's terminal or process group reaches it. The script goes on at once.
"""

import os
import sys

from . import channel, frames
from .console import Console
from .end import End

# The variables of the interpreter that the companion keeps: they say where Python lies. The others are for the user's
# programs, and would make the companion print, wait, or be slow.
_KEPT_OF_PYTHON = ("PYTHONHOME", "PYTHONPLATLIBDIR")
# Set to "off" for the companion, so that no door starts a shim in it; the companion puts the job's own value back.
_SWITCH = "WANDB_SHIM"
# By the first variable children find the companion (children.py); by the second Ray finds the runtime environment of a
# submitted job (ray/_private/ray_constants.py).
_ATTACH = "WANDB_SHIM_ATTACH"
_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"

# The C library reserves 64 MiB of addresses for each thread, more than a job with a limit on them (`ulimit -v`) can
# spare. A thread that gets none ends before it begins, and CPython 3.12 waits for it (mallopt(3), M_ARENA_MAX).
_FEW_ARENAS = ("MALLOC_ARENA_MAX", "2")

console: "Console | None" = None
end: "End | None" = None


def start(main_frame: "FrameType | None", *, joins: bool = False) -> None:
    """Start the companion of this process.

    Args:
        main_frame: The frame of `__main__`; None where it is not known.
        joins: Whether the companion joins the run of another node.

    Raises:
        OSError: No process could be made, or no pipe.
    """
    made = _companion_from_before_an_exec() or _new_companion(main_frame, joins=joins, opens=True)
    channel.use(made)
    _offer(made)
    if "wandb" in sys.modules:  # imported before the program has shown which rank is to own the run
        from . import attach

        attach.apply(sys.modules["wandb"])
    if os.environ.get("WANDB_CONSOLE") != "off":
        follow(made)
    global end
    end = End(made, main_frame)
    end.arm()


def _offer(made: "channel.Channel") -> None:
    """Tell the future children of this process where its companion is."""
    os.environ[_ATTACH] = text = f"{os.uname().nodename}:{made.companion}:{made.address[1:]}"
    # Ray's workers get their variables from here; those of a cluster that the driver itself starts inherit them.
    if _RAY_JOB in os.environ:
        import json

        try:
            config = json.loads(os.environ[_RAY_JOB])
            config["runtime_env"]["env_vars"][_ATTACH] = text
        except (KeyError, TypeError, ValueError):
            return
        os.environ[_RAY_JOB] = json.dumps(config)


def companion_of_own_run() -> "channel.Channel | None":
    """Start a companion beside a run that the script has opened itself, to log the script's checkpoints."""
    if os.environ.get("WANDB_SERVICE") and os.environ.get(_SWITCH, "").strip().lower() != "off":
        try:
            made = _new_companion(None, joins=False, opens=False)
        except OSError:
            return None
        channel.use(made)
        global end
        end = End(made, None)
        end.arm()
    return channel.current()


def _own_run() -> str:
    """The service and the id by which the companion joins the run that the script has opened itself."""
    run = sys.modules["wandb"].run
    return f"{os.environ['WANDB_SERVICE']}\0{run._attach_id}"


def follow(made: "channel.Channel") -> None:
    """Copy the console of this process to its companion."""
    global console
    console = Console(made)
    console.follow(sys.stdout, frames.STDOUT)
    console.follow(sys.stderr, frames.STDERR)


def _new_companion(main_frame: "FrameType | None", *, joins: bool, opens: bool) -> "channel.Channel":
    address = f"\0{frames.NAMESPACE}{os.getuid()}/{os.getpid()}/{frames.process_namespace()}-{os.urandom(8).hex()}"
    reading, writing = channel.make_pipe()
    try:
        companion = _spawn(reading)
        made = channel.Channel(address, companion, writing)
        _say_hello(made, main_frame, joins=joins, opens=opens)
    finally:
        os.close(reading)
    return made


def _companion_from_before_an_exec() -> "channel.Channel | None":
    """The way to the companion of the program that this one has replaced by an exec; None where there is none.

    The process is the same, and so is its run.
    """
    from . import above

    found = above.named_for(os.getpid(), os.environ.get(_ATTACH, "")) or above.companion_of(os.getpid())
    if found is None:
        return None
    address, companion = found
    made = channel.Channel(address, companion, channel.open_pipe(f"/proc/{companion}/fd/3"))
    answer = made.ask({"ask": "goes on"}, 30.0)  # the companion may not listen yet
    if answer and answer["ok"]:
        return made
    made.close()  # that run is over: this program gets a run of its own
    return None


def _say_hello(made: "channel.Channel", main_frame: "FrameType | None", *, joins: bool, opens: bool) -> None:
    """Tell the companion what it has to know to stand for this program at W&B."""
    import marshal
    import time

    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    constants = main_frame.f_code.co_consts if main_frame is not None else ()
    file = getattr(main, "__file__", None)
    hello = {
        "address": made.address,
        "pid": made.pid,
        "started": time.time(),
        "argv": [word for word in sys.argv if isinstance(word, str)],
        "orig_argv": list(sys.orig_argv),
        "file": file if isinstance(file, str) else None,
        "spec": getattr(spec, "name", None),
        "doc": constants[0] if constants and isinstance(constants[0], str) else None,
        "path": [entry for entry in sys.path if isinstance(entry, str)],
        "hides": not (sys.flags.isolated or getattr(sys.flags, "safe_path", False) or not sys.path),
        "switch": os.environ.get(_SWITCH),
        "joins": joins,
        "opens": opens,
        "service": "" if opens else _own_run(),
    }
    made.write(frames.HELLO, marshal.dumps(hello))
    made.write(frames.HELLO_END, b"")


def _spawn(reading: int) -> int:
    """Make the companion's process; its process id."""
    words = _command()  # before the fork: the child is to do as little as possible
    environ = _environ()
    telling, told = os.pipe2(os.O_CLOEXEC)
    try:
        child = _fork()
        if not child:
            _become_companion(reading, told, words, environ)
        os.close(told)
        told = -1
        try:
            os.waitpid(child, 0)
        except ChildProcessError:
            pass  # SIGCHLD is ignored here: the kernel has reaped it
        answer = os.read(telling, 16)
    finally:
        os.close(telling)
        if told >= 0:
            os.close(told)
    if not answer:
        raise OSError("the system lets no process be made")
    return int(answer)


def _fork() -> int:
    """`os.fork` without Python 3.12's warning where another thread runs: the child does no more than fork and exec."""
    if "warnings" not in sys.modules:
        return os.fork()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return os.fork()


def _become_companion(reading: int, told: int, words: "list[str]", environ: "dict[str, str]") -> "NoReturn":
    """In the child: fork again, so that the companion is nobody's child, and run the companion's program there."""
    try:
        os.setsid()
        grandchild = os.fork()
        if grandchild:
            os.write(told, str(grandchild).encode())
            os._exit(0)
        # Not `signal`, whose enumerations take longer to load than all else here.
        import _signal as signal  # type: ignore[import-not-found,unused-ignore]
        import fcntl

        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGPIPE):
            signal.signal(ignored, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.setitimer(signal.ITIMER_REAL, 0)
        null = os.open("/dev/null", os.O_RDWR)
        try:
            notices = os.dup(2)
        except OSError:
            notices = null
        # First to high numbers, where none is in the way of another.
        high = [fcntl.fcntl(one, fcntl.F_DUPFD, 5) for one in (null, null, null, reading, notices)]
        for number, one in enumerate(high):
            os.dup2(one, number)
        os.closerange(len(high), 1 << 16)
        os.execve(words[0], words, environ)
    finally:
        os._exit(127)


def _command() -> "list[str]":
    """The companion's command line.

    It runs without `site`, so that nobody's .pth file or sitecustomize runs in it. It is told the script's sys.path.
    """
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    words = [sys.executable, "-S", "-s"]
    words += ["-E"] if sys.flags.ignore_environment else []
    words += ["-B"] if sys.flags.dont_write_bytecode else []
    words += ["-X", f"utf8={sys.flags.utf8_mode}"]
    if not sys.executable:
        raise OSError("this program has no interpreter of its own (sys.executable is empty)")
    return [*words, f"{here}/companion/__main__.py", str(os.getpid())]


def _environ() -> "dict[str, str]":
    found = {name: os.environ[name] for name in os.environ if not name.startswith("PYTHON") or name in _KEPT_OF_PYTHON}
    found.setdefault(*_FEW_ARENAS)
    return {**found, _SWITCH: "off"}


TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn
