"""Open the job's run, online where the server takes it, else offline: nothing is lost, and nothing waits for long."""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import socket
import sys
import threading
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .. import environment, log, preflight, ranks
from ..command_line import parse_command_line
from ..config import WandbConfig
from . import claims, nodes, services, surroundings
from .identity import derived_run_id

# Seconds that opening a run may wait for the server once the preflight has found it well; wandb itself adds about
# ten. WANDB_INIT_TIMEOUT overrides it.
INIT_TIMEOUT = 15
# Seconds beside these after which wandb's service is ended that an init still waits for: wandb's own bounds are no
# longer than that, and do not hold where the service is stopped (sdk/mailbox/wait_with_progress.py, 0.31.0).
_INIT_GRACE = 40.0

INIT_FAILED = "wandb.init failed"

# Fields of wandb.Settings that `wandb.setup`, `wandb.login` and variables may change before a script's own init.
GLOBAL = (
    *("run_name", "run_notes", "run_tags", "run_group", "run_job_type", "run_id"),
    *("project", "entity", "mode", "resume", "reinit", "base_url"),
)


# The module that runs here goes on living under no name.
_kept: list[ModuleType] = []


class NoRunError(Exception):
    """There is no run to be had; the message says why, for people."""


@dataclass(frozen=True)
class Opened:
    """The run, and how it was opened.

    Attributes:
        wandb: The package.
        run: The `wandb.Run`.
        outlook: Whether it is online, and why not.
        before: The global settings that it was opened with, see GLOBAL.
        resumable: The run that the script's resume="auto" would go on with, if any.
        key: The API key that was found.
        claim: The socket that says that the run's id is taken.
    """

    wandb: ModuleType
    run: Any
    outlook: preflight.Outlook
    before: dict[str, Any]
    resumable: str | None = None
    key: str | None = None
    claim: socket.socket | None = None


def impersonate(hello: dict[str, Any]) -> None:
    """Be the script, as far as wandb looks: its arguments, its program, its modules.

    Args:
        hello: What script/start.py says.
    """
    sys.argv = [surroundings.text(word) for word in hello["argv"]]
    main = types.ModuleType("__main__", hello["doc"])
    if hello["file"] is not None:
        main.__file__ = surroundings.text(hello["file"])
    main.__spec__ = None if hello["spec"] is None else importlib.machinery.ModuleSpec(hello["spec"], None)
    _kept.append(sys.modules["__main__"])
    sys.modules["__main__"] = main
    if hello["switch"] is None:
        os.environ.pop(environment.SWITCH, None)
    else:
        os.environ[environment.SWITCH] = hello["switch"]


def import_wandb(hello: dict[str, Any]) -> ModuleType:
    """Import wandb as the script would, and nothing from the script's own directory.

    Raises:
        NoRunError: there is none.
    """
    path = hello["path"]
    directory = path[0] if hello["hides"] and path else None
    if directory is not None and _offers_another_wandb(directory, hello["file"] or ""):
        raise NoRunError("the job is not tracked: beside its script lies a wandb of its own")
    surroundings.prepare()
    impersonate(hello)
    _run_path_files()
    sys.path[:] = path[1:] if directory is not None else path
    sys.path_importer_cache.clear()
    wandb = _import()
    if "x_stats_pid" not in getattr(wandb.Settings, "model_fields", {}):
        raise NoRunError(f"wandb {wandb.__version__} is too old (0.19 is needed): the job is not tracked")
    if directory is not None:
        sys.path.append(directory)  # what is installed there belongs to the requirements
    return wandb


def _run_path_files() -> None:
    """Do what .pth files do: some packages come only by them (setuptools' distutils, editable installations).

    That is `site.main` without sitecustomize and usercustomize, which are programs of somebody else.
    """
    import site

    known: Any = site.venv(site.removeduppaths())
    if site.ENABLE_USER_SITE is None:
        site.ENABLE_USER_SITE = site.check_enableusersite()
    known = site.addusersitepackages(known)
    site.addsitepackages(known)


def _import() -> ModuleType:
    sys.modules["numpy"] = None  # type: ignore[assignment]  # wandb does without, and a companion is to be small
    try:
        import wandb
    except ImportError as error:
        if error.name != "wandb":
            raise
        raise NoRunError("the wandb package is not installed for this interpreter: the job is not tracked") from None
    finally:
        del sys.modules["numpy"]
    if not getattr(wandb, "__file__", None):  # a bare `wandb/` of run files is a namespace package
        raise NoRunError("the wandb package is not installed for this interpreter: the job is not tracked")
    module: ModuleType = wandb
    return module


def _offers_another_wandb(directory: str, script: str) -> bool:
    if os.path.basename(script) == "wandb.py":  # that one is the program itself
        return False
    place = os.path.join(directory, "wandb")
    return os.path.isfile(place + ".py") or os.path.isfile(os.path.join(place, "__init__.py"))


def open_run(wandb: ModuleType, hello: dict[str, Any]) -> Opened:
    """Open the run that the environment describes; offline, and without what wandb has refused, where that fails.

    Raises:
        NoRunError: there is none to be had.
        Exception: whatever wandb raises, even then.
    """
    try:
        return _open_run(wandb, hello)
    except NoRunError:
        raise
    except Exception as error:
        _forget_the_failed(wandb)
        surroundings.reduce_to_the_harmless()
        settings = {"x_stats_pid": hello["pid"], "mode": "offline"}
        run = _init(wandb, settings, hello["started"])
        reason = f"wandb refuses to open a run ({type(error).__name__}: {error})"
        return Opened(wandb, run, preflight.Outlook(online=False, reason=reason), {})


def _forget_the_failed(wandb: ModuleType) -> None:
    """End wandb's service: it remembers the id of a run that failed, and takes it for one in use."""
    services.end()
    with contextlib.suppress(Exception, SystemExit):
        wandb.teardown()


def _open_run(wandb: ModuleType, hello: dict[str, Any]) -> Opened:
    resumable = _id_to_resume(wandb)
    before = global_settings(wandb)
    # Before the look: the script may be about to log in, and whether it has brought a key is asked later.
    known = _any_key(wandb, preflight.key_from_file(os.environ)[0])
    key, outlook = _outlook(wandb)
    identity, claim = _identity(wandb, hello)
    common = {"x_stats_pid": hello["pid"], **identity}
    if environment.Contract(os.environ).code:
        common["save_code"] = True
    if outlook.online:
        try:
            settings = {**common, **({"api_key": key} if key else {}), **_shared(wandb, hello)}
            run = _init(wandb, settings, hello["started"])
            return Opened(wandb, run, outlook, before, resumable, known, claim)
        except Exception as error:  # whatever it is, offline is the answer
            outlook = preflight.Outlook(online=False, reason=f"{INIT_FAILED}: {str(error) or type(error).__name__}")
            _forget_the_failed(wandb)
    run = _init(wandb, {**common, "mode": "offline"}, hello["started"])
    return Opened(wandb, run, outlook, before, resumable, known, claim)


def join_run(wandb: ModuleType, hello: dict[str, Any]) -> Opened:
    """Join the run of another node, for this one's machine.

    Raises:
        NoRunError: it cannot be joined.
    """
    before = global_settings(wandb)
    key, outlook = _outlook(wandb)
    reason = nodes.obstacle(wandb, os.environ, hello["orig_argv"][1:]) or outlook.reason
    if reason:
        raise NoRunError(f"this node's machine is not in the run: {reason}")
    settings = nodes.settings(os.environ, hello["orig_argv"][1:], primary=False)
    settings |= {"x_stats_pid": hello["pid"], **({"api_key": key} if key else {})}
    run = _init(wandb, settings, hello["started"])
    return Opened(wandb, run, outlook, before)


def attach_to_own_run(wandb: Any, hello: dict[str, Any]) -> Opened:
    """Join the run that the script has opened itself, to log its checkpoints there.

    Raises:
        Exception: as wandb does.
    """
    token, run_id = hello["service"].split("\0")
    os.environ[environment.SERVICE] = token
    run = wandb._attach(run_id)
    return Opened(wandb, run, preflight.Outlook(online=not run.offline), {})


def global_settings(wandb: ModuleType) -> dict[str, Any]:
    """What wandb's settings of this process say of a run, in plain values."""
    singleton = getattr(wandb.sdk.wandb_setup, "singleton", lambda: None)()
    settings = (singleton or wandb.setup()).settings
    return {name: plain(getattr(settings, name, None)) for name in GLOBAL}


def plain(value: Any) -> Any:
    """A value as it can go over the channel; None where it cannot."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return tuple(value)
    return None


def _outlook(wandb: ModuleType) -> tuple[str | None, preflight.Outlook]:
    key, problem = preflight.key_from_file(os.environ)
    settings = _settings(wandb)
    if key:
        # In memory, since a key in os.environ travels into logs: up to wandb 0.22 this is where the login looks,
        # later releases take it from the settings of the run.
        settings.api_key = key
    return key, preflight.look(os.environ, settings.base_url, key, problem)


def _settings(wandb: ModuleType) -> Any:
    singleton = getattr(wandb.sdk.wandb_setup, "singleton", lambda: None)()
    return (singleton or wandb.setup()).settings


def _any_key(wandb: ModuleType, key: str | None) -> str | None:
    return preflight.any_key(os.environ, _settings(wandb).base_url, key)


def _id_to_resume(wandb: ModuleType) -> str | None:
    """The run that resume="auto" goes on with: one that failed, kept in a file that any other init removes."""
    import json

    try:
        with open(_settings(wandb).resume_fname, encoding="utf-8") as file:
            return str(json.load(file)["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _shared(wandb: ModuleType, hello: dict[str, Any]) -> dict[str, Any]:
    """What makes the owner's run one that other nodes can join, where the job wants that."""
    if not environment.Contract(os.environ).nodes or ranks.find_rank(os.environ)[1] == 1:
        return {}
    command = hello["orig_argv"][1:]
    reason = nodes.obstacle(wandb, os.environ, command)
    if reason:
        log.warn(f"other nodes' machines are not in the run: {reason}")
        return {}
    return nodes.settings(os.environ, command, primary=True)


def _init(wandb: ModuleType, settings: dict[str, Any], started: float) -> Any:
    if environment.INIT_TIMEOUT not in os.environ:
        settings["init_timeout"] = INIT_TIMEOUT
    group = WandbConfig.from_env(os.environ).group
    if group:
        settings["run_group"] = group
    if os.environ.get("WANDB_CONSOLE", "").startswith("redirect"):
        settings["console"] = "wrap"  # the descriptors of this process carry nothing of the script's
    with _no_words_of(wandb), _begun_at(wandb, started), _bounded():
        return wandb.init(settings=wandb.Settings(**settings))


def _identity(wandb: ModuleType, hello: dict[str, Any]) -> tuple[dict[str, Any], socket.socket | None]:
    """The run's id where the job gives one, as settings; other nodes know that of a shared run."""
    run_id = None if os.environ.get(environment.RUN_ID) else derived_run_id(os.environ, hello["orig_argv"][1:])
    if run_id is None:
        return {}, None
    claim = None
    if not environment.Contract(os.environ).nodes or ranks.find_rank(os.environ)[1] == 1:
        claim, problem = claims.take(run_id, os.environ, _settings(wandb).wandb_dir)
        if problem:
            log.warn(f"{problem}: a run of its own, which no restart continues; {environment.RUN_ID} gives it an id")
            return {}, None
    return {"run_id": run_id, "resume": os.environ.get(environment.RESUME, "allow")}, claim


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """End wandb's service where an init takes too long; then it fails."""
    try:
        seconds = float(os.environ[environment.INIT_TIMEOUT])
    except (KeyError, ValueError):
        seconds = INIT_TIMEOUT
    timer = threading.Timer(seconds + _INIT_GRACE, services.end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _no_words_of(wandb: ModuleType) -> Iterator[None]:
    """Let wandb open a run without its usual lines, which the run's console would begin with.

    Not by Settings(silent=True): then it does not ask who is logged in, and the user's address and code-saving
    preference are missing from the run (wandb/sdk/wandb_setup.py, 0.31.0, `_load_user_settings`).
    """
    term = wandb.errors.term
    shown = getattr(term, "_show_info", True)
    term._show_info = False
    try:
        yield
    finally:
        term._show_info = shown


@contextlib.contextmanager
def _begun_at(wandb: ModuleType, started: float) -> Iterator[None]:
    """Let the run begin when its script did: wandb takes the time at its init, and no argument for it.

    By that time it measures the run, and knows which of TensorBoard's events are the run's.
    """
    module = wandb.sdk.wandb_init
    before = getattr(module, "time", None)
    module.time = types.SimpleNamespace(**{**vars(time), "time": lambda: started})
    try:
        yield
    finally:
        module.time = before


def announce(opened: Opened, hello: dict[str, Any]) -> None:
    """Say where the run is, and whose, on the script's stderr."""
    run, outlook = opened.run, opened.outlook
    if outlook.online:
        continued = ", continued: what is logged again for its earlier steps, W&B drops" if run.resumed else ""
        place = f"{run.entity}/{run.project}/{run.id} {run.url or ''}"
        log.notice(f"run {place} of {_whose(hello['orig_argv'])}{continued}")
        return
    directory = os.path.dirname(run.dir)  # run.dir is its `files` directory
    say = log.notice if outlook.reason.startswith(environment.MODE) else log.warn
    say(f"{outlook.reason}; the run is kept offline, upload it with: wandb sync {directory}")


def _whose(orig_argv: list[str]) -> str:
    """The program, without its arguments, and its rank where there are several."""
    line = parse_command_line(orig_argv)
    program = f"-m {line.target}" if line.kind == "module" else os.path.basename(line.target)
    rank, world_size, _, _ = ranks.find_rank(os.environ)
    return f"{program or line.kind}, rank {rank} of {world_size}" if world_size > 1 else program or line.kind
