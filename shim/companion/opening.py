"""Open the job's run, online where the server takes it, else offline: no data is lost, and no wait is long."""

from __future__ import annotations

import contextlib
import os
import socket
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
from .importing import NoRunError

# Seconds that the opening of a run may wait for a server that the preflight has found well; wandb itself adds about
# ten. WANDB_INIT_TIMEOUT overrides this.
INIT_TIMEOUT = 15
# Seconds after that in which an init may still wait, until wandb's service is ended: wandb's own bounds are no longer,
# but do not hold where the service is stopped (sdk/mailbox/wait_with_progress.py, 0.31.0).
_INIT_GRACE = 40.0

INIT_FAILED = "wandb.init failed"

# Fields of wandb.Settings that a script may change before its own init, by `wandb.setup`, `wandb.login` or variables.
GLOBAL = (
    *("run_name", "run_notes", "run_tags", "run_group", "run_job_type", "run_id"),
    *("project", "entity", "mode", "resume", "reinit", "base_url"),
)


@dataclass(frozen=True)
class Opened:
    """The run, and how it was opened.

    Attributes:
        wandb: The package.
        run: The `wandb.Run`.
        outlook: Whether the run is online, and why not.
        before: The global settings with which the run was opened; see GLOBAL.
        resumable: The id of the run that the script's resume="auto" would continue, if any.
        key: The API key that was found.
        claim: The socket by which the run's id is claimed; see claims.py.
    """

    wandb: ModuleType
    run: Any
    outlook: preflight.Outlook
    before: dict[str, Any]
    resumable: str | None = None
    key: str | None = None
    claim: socket.socket | None = None


def open_run(wandb: ModuleType, hello: dict[str, Any]) -> Opened:
    """Open the run that the environment describes; where wandb refuses, open it offline without what may be refused.

    Raises:
        NoRunError: No run can be had.
        Exception: wandb refuses that, too; what it raises then.
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
    """End wandb's service, which remembers the id of a run that failed, and would take the id for one in use."""
    services.end()
    with contextlib.suppress(Exception, SystemExit):
        wandb.teardown()


def _open_run(wandb: ModuleType, hello: dict[str, Any]) -> Opened:
    resumable = _id_to_resume(wandb)
    before = global_settings(wandb)
    # Before the preflight: the script may log in meanwhile, and later it is asked whether it has brought another key.
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
        except Exception as error:  # whatever it is, the run is opened offline then
            outlook = preflight.Outlook(online=False, reason=f"{INIT_FAILED}: {str(error) or type(error).__name__}")
            _forget_the_failed(wandb)
    run = _init(wandb, {**common, "mode": "offline"}, hello["started"])
    return Opened(wandb, run, outlook, before, resumable, known, claim)


def join_run(wandb: ModuleType, hello: dict[str, Any]) -> Opened:
    """Join the run of another node, to add this node's machine to it.

    Raises:
        NoRunError: The run cannot be joined.
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
        Exception: What wandb raises.
    """
    token, run_id = hello["service"].split("\0")
    os.environ[environment.SERVICE] = token
    run = wandb._attach(run_id)
    return Opened(wandb, run, preflight.Outlook(online=not run.offline), {})


def global_settings(wandb: ModuleType) -> dict[str, Any]:
    """The values of GLOBAL in wandb's settings of this process, as plain ones."""
    singleton = getattr(wandb.sdk.wandb_setup, "singleton", lambda: None)()
    settings = (singleton or wandb.setup()).settings
    return {name: plain(getattr(settings, name, None)) for name in GLOBAL}


def plain(value: Any) -> Any:
    """The value in a form that the channel takes; None where it has no such form."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return tuple(value)
    return None


def _outlook(wandb: ModuleType) -> tuple[str | None, preflight.Outlook]:
    key, problem = preflight.key_from_file(os.environ)
    settings = _settings(wandb)
    if key:
        # In memory, since a key in os.environ gets into logs. Up to wandb 0.22 the login looks for it here; later
        # releases take it from the settings of the run.
        settings.api_key = key
    return key, preflight.look(os.environ, settings.base_url, key, problem)


def _settings(wandb: ModuleType) -> Any:
    singleton = getattr(wandb.sdk.wandb_setup, "singleton", lambda: None)()
    return (singleton or wandb.setup()).settings


def _any_key(wandb: ModuleType, key: str | None) -> str | None:
    return preflight.any_key(os.environ, _settings(wandb).base_url, key)


def _id_to_resume(wandb: ModuleType) -> str | None:
    """The id of the failed run that resume="auto" would continue; it is in a file that any other init removes."""
    import json

    try:
        with open(_settings(wandb).resume_fname, encoding="utf-8") as file:
            return str(json.load(file)["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _shared(wandb: ModuleType, hello: dict[str, Any]) -> dict[str, Any]:
    """The settings with which other nodes can join the owner's run, where the job wants that; else none."""
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
        settings["console"] = "wrap"  # nothing that the script prints comes to the descriptors of this process
    with _no_words_of(wandb), _begun_at(wandb, started), _bounded():
        return wandb.init(settings=wandb.Settings(**settings))


def _identity(wandb: ModuleType, hello: dict[str, Any]) -> tuple[dict[str, Any], socket.socket | None]:
    """The run's id as settings, where the job gives one, and the claim on it; a shared run's id is not claimed."""
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
    """End wandb's service where an init takes too long, so that the init fails."""
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
    """Let wandb open a run without its usual lines, with which the run's console would begin.

    With Settings(silent=True) wandb would not ask who is logged in, and the run would lack the user's address and wish
    to save code (wandb/sdk/wandb_setup.py, 0.31.0, `_load_user_settings`).
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
    """Let the run begin when its script did: wandb takes the time of its init, and no argument for another time.

    wandb measures the run from that time on, and tells by it which of TensorBoard's events belong to the run.
    """
    module = wandb.sdk.wandb_init
    before = getattr(module, "time", None)
    module.time = types.SimpleNamespace(**{**vars(time), "time": lambda: started})
    try:
        yield
    finally:
        module.time = before


def announce(opened: Opened, hello: dict[str, Any]) -> None:
    """Say on the script's stderr where the run is, and of which program."""
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
    """The program without its arguments, and its rank where there are several ranks."""
    line = parse_command_line(orig_argv)
    program = f"-m {line.target}" if line.kind == "module" else os.path.basename(line.target)
    rank, world_size, _, _ = ranks.find_rank(os.environ)
    return f"{program or line.kind}, rank {rank} of {world_size}" if world_size > 1 else program or line.kind
