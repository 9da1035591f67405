"""Open the job's run, hide it until the script asks for one, hand it over.

A run that exists before the script's first line would change the script: code that tests `wandb.run` (Lightning,
transformers) takes another branch, and a second `wandb.init` loses all that it is given. So the open run is hidden:
`wandb.run` stays None and wandb's module functions stay unbound until the script calls `wandb.init` itself, which
then gets this run with its own arguments merged in (patches/wandb_init.py).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from . import claims, environment, home_directory, log, nodes, preflight, process, state
from .config import WandbConfig
from .guard import Guard, end_services
from .hooks import after_import
from .identity import derived_run_id
from .open_run import OpenRun
from .patches import wandb_asked
from .wandb_hooks import WandbHooks

# Seconds that opening a run may wait for the server once the preflight has found it well; wandb itself adds about
# ten. WANDB_INIT_TIMEOUT overrides it.
INIT_TIMEOUT = 15

_INIT_FAILED = "wandb.init failed"

# The one run of this process; None before it is opened and where there is none.
current: OpenRun | None = None

# The run of another node that this process has joined with its machine; nothing else of this process goes there.
joined: OpenRun | None = None


def open_at_start() -> None:
    """Called once, at the first frame of `__main__` of the process that owns the run. Never raises but on Ctrl-C."""
    contract = environment.Contract(os.environ)
    for problem in contract.problems:
        log.warn(problem)
    if contract.init == "defer":
        if contract.inputs:  # the script's own wandb.init opens the run that they belong to
            after_import("wandb", _wrap_init)
        return
    if not os.environ.get(environment.RUN_ID, "unset"):
        del os.environ[environment.RUN_ID]  # an empty one, as templates leave it, is an error to wandb
    # Of whatever has started this job; what serves a run of its own ends with it.
    os.environ.pop(environment.SERVICE, None)
    try:
        home_directory.replace_missing(os.environ)
        wandb = _import_wandb()
        if wandb is None:
            log.warn("the wandb package is not installed for this interpreter: the job is not tracked")
            return
        _open(wandb)
        if os.environ.pop(environment.CONTINUES, ""):  # the id is this run's, and not that of programs it starts
            for name in (environment.RUN_ID, environment.RESUME):
                os.environ.pop(name, None)
        if contract.tensorboard:
            from .patches import tensorboard

            tensorboard.follow()
    except Exception as error:  # no script is ever broken by us
        log.warn(f"no run was opened, the script goes on without: {type(error).__name__}: {error}")


def join_at_start() -> None:
    """Called once, at the first frame of `__main__` of the process that joins the job's run for its node."""
    global joined
    home_directory.replace_missing(os.environ)
    wandb = _import_wandb()
    if wandb is None:
        return  # the owner says so
    before = dict(vars(wandb))
    hooks = WandbHooks()
    try:
        key, outlook = _outlook(wandb)
        reason = nodes.obstacle(wandb, os.environ) or outlook.reason
        if reason:
            log.warn(f"this node's machine is not in the run: {reason}")
            return
        run = _init(wandb, ({"api_key": key} if key else {}) | nodes.settings(os.environ, primary=False))
    finally:
        hooks.take_out()
    joined = OpenRun(wandb, run, before, hooks)
    _wrap_init(wandb)
    Guard(wandb, run, _main_frame(), hooks).arm()
    log.info(f"this node's machine joins {run.entity}/{run.project}/{run.id}")


def init_wandb_from_env() -> Any | None:
    """Open the run that the environment describes, or hand over the one that is open.

    For scripts that want the run without naming a project. In a job of several ranks only the owner's call opens
    one.

    Returns:
        The `wandb.Run`; None where WANDB_PROJECT is not set, or this process does not own the job's run.
    """
    return init_wandb_if_configured(WandbConfig.from_env(os.environ))


def init_wandb_if_configured(
    config: WandbConfig | None, *, job_type: str | None = None, tags: Sequence[str] = ()
) -> Any | None:
    """Open a run as `config` says, or hand over the open one with these settings merged in.

    Args:
        config: What to call the run and where it belongs; None or one without a project means no run.
        job_type: Instead of the config's.
        tags: In addition to the config's.

    Returns:
        The `wandb.Run`; None where there is none to open, or this process does not own the job's run.

    Raises:
        ImportError: wandb is not installed.
        wandb.Error: as `wandb.init` does.
    """
    if config is None or not config.enabled or not _may_open():
        return None
    import wandb

    arguments = {
        "project": config.project,
        "entity": config.entity,
        "name": config.run_name,
        "notes": config.notes,
        "group": config.group,
        "job_type": job_type or config.job_type,
        "tags": tuple(dict.fromkeys((*config.tags, *tags))) or None,
    }
    from .patches import wandb_init

    wandb_init.apply(wandb)
    return wandb.init(**{name: value for name, value in arguments.items() if value is not None})


def _may_open() -> bool:
    """Whether an explicit call in this process may open the run: the rank's say, whatever the role."""
    if current is not None:
        return True
    contract = environment.Contract(os.environ)
    rank, world_size, _, _ = process.find_rank(os.environ)
    return rank == process.owner_rank(contract.owner, world_size)


def _wrap_init(wandb: ModuleType) -> None:
    from .patches import wandb_init

    wandb_init.apply(wandb)


def _import_wandb() -> ModuleType | None:
    """Import wandb; None where it is not installed (a bare `wandb/` of run files is a namespace package)."""
    from .patches import wandb_numpy

    try:
        with wandb_numpy.without_numpy():
            import wandb
    except ImportError as error:
        if error.name != "wandb":
            raise
        return None
    return wandb if getattr(wandb, "__file__", None) else None


def _open(wandb: ModuleType) -> None:
    global current
    from .patches import wandb_attach, wandb_init

    before = dict(vars(wandb))
    hooks = WandbHooks()  # before anything else of wandb: the service that it starts brings them, too
    try:
        resumable = wandb_asked.id_to_resume(wandb)
        run, outlook = _online_or_offline(wandb)
    except BaseException:
        hooks.forget()  # its last words would be the script's output
        end_services()
        raise
    finally:
        hooks.take_out()
    current = OpenRun(wandb, run, before, hooks, resumable=resumable)
    wandb_init.apply(wandb)
    wandb_attach.offer(run, current.service)
    wandb_init.use_inputs(run)
    state.publish(run)
    Guard(wandb, run, _main_frame(), hooks, after_failure=outlook.reason.startswith(_INIT_FAILED)).arm()
    _announce(run, outlook)


def _outlook(wandb: ModuleType) -> tuple[str | None, preflight.Outlook]:
    key, problem = preflight.key_from_file(os.environ)
    settings = wandb_asked.global_settings(wandb)
    if key:
        # In memory, since a key in os.environ travels into logs: up to wandb 0.22 this is where the login looks,
        # later releases take it from the settings of the run.
        settings.api_key = key
    return key, preflight.look(os.environ, settings.base_url, key, problem)


def _online_or_offline(wandb: ModuleType) -> tuple[Any, preflight.Outlook]:
    key, outlook = _outlook(wandb)
    if outlook.online:
        try:
            return _init(wandb, ({"api_key": key} if key else {}) | _shared(wandb)), outlook
        except Exception as error:  # whatever it is, offline is the answer
            outlook = preflight.Outlook(online=False, reason=f"{_INIT_FAILED}: {error}")
            # wandb's service remembers the id of the run that failed, and takes it for one in use.
            end_services()
            with contextlib.suppress(Exception, SystemExit):
                wandb.teardown()
    return _init(wandb, {"mode": "offline"}), outlook


def _shared(wandb: ModuleType) -> dict[str, Any]:
    """What makes the owner's run one that other nodes can join, where the job wants that."""
    if not environment.Contract(os.environ).nodes or process.find_rank(os.environ)[1] == 1:
        return {}
    reason = nodes.obstacle(wandb, os.environ)
    if reason:
        log.warn(f"other nodes' machines are not in the run: {reason}")
        return {}
    return nodes.settings(os.environ, primary=True)


def _init(wandb: ModuleType, settings: dict[str, Any]) -> Any:
    if environment.INIT_TIMEOUT not in os.environ:
        settings["init_timeout"] = INIT_TIMEOUT
    group = WandbConfig.from_env(os.environ).group
    if group:
        settings["run_group"] = group
    if settings.get("x_primary", True):
        settings |= _identity(wandb, shared="run_id" in settings)
    with _no_words_of(wandb):
        run = wandb.init(settings=wandb.Settings(**settings))
    run._settings.silent = True  # its footer would be the script's output
    return run


def _identity(wandb: ModuleType, *, shared: bool) -> dict[str, Any]:
    """The run's id where the job gives one, as settings; other nodes know that of a shared run."""
    run_id = None if os.environ.get(environment.RUN_ID) else derived_run_id(os.environ, sys.orig_argv[1:])
    if run_id is None:
        return {}
    problem = "" if shared else claims.take(run_id, os.environ, wandb_asked.global_settings(wandb).wandb_dir)
    if problem:
        log.warn(f"{problem}: a run of its own, which no restart continues; {environment.RUN_ID} gives it an id")
        return {}
    return {"run_id": run_id, "resume": os.environ.get(environment.RESUME, "allow")}


@contextlib.contextmanager
def _no_words_of(wandb: ModuleType) -> Iterator[None]:
    """Let wandb open a run without its usual lines.

    Not by Settings(silent=True): then it does not ask who is logged in, and the user's address and code-saving
    preference are missing from the run (wandb/sdk/wandb_setup.py, 0.31.0, `_load_user_settings`).
    """
    term = wandb.errors.term
    names = ["_show_info"]
    if sys.stderr is None:  # wandb would warn of that on stdout
        names.append("_show_warnings")
    shown = {name: getattr(term, name, True) for name in names}
    vars(term).update(dict.fromkeys(names, False))
    try:
        yield
    finally:
        vars(term).update(shown)


def _announce(run: Any, outlook: preflight.Outlook) -> None:
    if outlook.online:
        continued = ", continued: what is logged again for its earlier steps, W&B drops" if run.resumed else ""
        log.notice(f"run {run.entity}/{run.project}/{run.id} {run.url or ''}{continued}")
        return
    directory = os.path.dirname(run.dir)  # run.dir is its `files` directory
    say = log.notice if outlook.reason.startswith(environment.MODE) else log.warn
    say(f"{outlook.reason}; the run is kept offline, upload it with: wandb sync {directory}")


def _main_frame() -> Any:
    frame = sys._getframe()
    main = vars(sys.modules["__main__"])
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals is main:
            return frame
        frame = frame.f_back  # type: ignore[assignment]
    return None
