"""The script's own `wandb.init` gets the run that is open already, with its arguments merged in.

Why: a second `wandb.init` returns the first run, drops all that it is given, in all releases from 0.19 to 0.31, and
leaves an empty run directory behind (https://github.com/wandb/wandb/blob/main/wandb/sdk/wandb_init.py,
`_WandbInit.init`). So while our run is open, wandb's own function is not called for it. It is called, untouched,
where the script asks for another run: by id, by mode="disabled", once ours is handed over with reinit, or after
`wandb.finish()`.

Remove when: wandb merges the arguments of a second init into the active run.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import environment, log, run
from ..open_run import OpenRun, wait_for_what_is_under_way
from . import wandb_asked, wandb_attach, wandb_late

# Arguments that name another run than the one that is open.
_ANOTHER_RUN = ("id", "resume", "fork_from", "resume_from")
# Arguments that a run which is open can no longer follow and that carry nothing of the script's: not worth a word.
_WITHOUT_CONTENT = frozenset(
    {
        *("reinit", "anonymous", "force", "allow_val_change", "magic", "init_timeout"),
        *("start_method", "login_timeout", "x_service_wait", "api_key"),
    }
)


def apply(module: Any) -> None:
    """Wrap `wandb.init` and `wandb.teardown`; once. Plain functions, pickled by their names as the originals are."""
    for name, ours in (("init", _init), ("teardown", _teardown)):
        original = getattr(module, name)
        if not hasattr(original, "_is_of_wandb_shim"):
            setattr(module, name, _wrapped(module, original, ours))


def _wrapped(module: Any, original: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return ours(module, original, args, kwargs)

    wrapper.__module__ = module.__name__
    wrapper._is_of_wandb_shim = True  # type: ignore[attr-defined]
    return wrapper


def use_inputs(opened: Any) -> None:
    """Mark what WANDB_SHIM_INPUTS names as input of the run, in the background; what W&B does not know is a warning."""
    inputs = environment.Contract(os.environ).inputs
    if not inputs or getattr(opened, "disabled", False):
        return
    from .. import artifacts
    from . import wandb_finish

    try:
        wandb_finish.apply(type(opened))
        for name in inputs:
            artifacts.committer.use(name, opened)
    except Exception as error:  # the script is about to start
        log.warn(f"{environment.INPUTS} was not taken: {type(error).__name__}: {error}")


def _init(wandb: ModuleType, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    mine, opened = run.current, run.current or run.joined
    said = wandb_asked.by_call(wandb, original, args, kwargs)
    changed = opened.changed() if opened is not None and opened.pid == os.getpid() else {}
    asked = {**changed, **said}
    # For wandb's own init, since it has read its variables before the script set them.
    parameters = [*inspect.signature(original).parameters]
    taken = {*said, *parameters[: len(args)]}
    for name, value in changed.items():
        if name not in parameters:
            wandb_asked.set_globally(wandb, name, value)
        elif name not in taken:
            kwargs.setdefault(name, value)
    if asked.get("mode") == "disabled" or _is_artifact_save(asked, mine):
        return original(*args, **kwargs)
    if run.joined is not None and not run.joined.finished:
        run.joined.give_way()  # wandb would take it for the script's own
    if mine is None or mine.finished:
        if environment.ATTACH in os.environ and (joined := _join_as_child(wandb, asked)) is not None:
            return joined
        native = original(*args, **kwargs)
        if mine is None:
            use_inputs(native)
        return native
    _leave_out_what_a_sweep_decides(mine.run, asked)
    if mine.handed_over:
        if asked.get("reinit") in (True, "finish_previous", "create_new"):
            return original(*args, **kwargs)
        asked = {name: value for name, value in asked.items() if name in said}
    elif other := _names_another_run(asked, mine):
        _give_way(mine, other)
        if asked.get("resume") in (True, "auto") and asked.get("id") is None and "id" not in taken:
            kwargs["id"] = mine.resumable
        return original(*args, **kwargs)
    config = wandb_asked.config_of(asked)
    first = not mine.handed_over
    run_of_job = mine.hand_over(bind=asked.get("reinit") != "create_new")
    wandb_attach.claim_own(run_of_job)
    _merge(run_of_job, config, asked)
    if first:
        mine.greet()
        wandb_late.tell_weave(run_of_job)
    return run_of_job


def _teardown(wandb: ModuleType, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Let the script end its own runs, and not the one that it has never asked for.

    `wandb.agent(…, function)` does so before each trial, when it has set the trial's id.
    """
    opened = run.current or run.joined
    if opened is None or opened.finished:
        return original(*args, **kwargs)
    if not opened.handed_over:
        other = _names_another_run(opened.changed(), opened)
        if not other:
            opened.keep_on()
            return None
        _give_way(opened, other)
    wait_for_what_is_under_way()
    opened.tear_down()
    return original(*args, **kwargs)


def _give_way(opened: OpenRun, other: str) -> None:
    log.warn(f"the script asks for a run of its own ({other}): the one opened before it is finished")
    opened.give_way()


def _join_as_child(wandb: ModuleType, asked: dict[str, Any]) -> Any | None:
    """The run of the process that started this one, where this call is to get it."""
    if any(asked.get(name) for name in (*_ANOTHER_RUN, "reinit")):
        return None
    joined = wandb_attach.take(wandb)
    if joined is not None:
        _merge(joined, wandb_asked.config_of(asked), asked)
    return joined


def _leave_out_what_a_sweep_decides(opened: Any, asked: dict[str, Any]) -> None:
    """A trial's place and id are its agent's, as in wandb's own init (`clear_run_path_if_sweep_or_launch`)."""
    if opened._settings.sweep_id or opened._settings.launch:
        for name in ("project", "entity", "id"):
            if asked.pop(name, None) not in (None, getattr(opened, name)):
                log.warn(f"wandb.init({name}=…) has no effect in a sweep, as without the shim")


def _is_artifact_save(asked: dict[str, Any], mine: OpenRun | None) -> bool:
    """Whether this is `Artifact.save` outside any run, which opens one for as long as it takes, and waits."""
    return mine is not None and not mine.handed_over and asked.get("job_type") == "auto" and bool(asked.get("silent"))


def _names_another_run(asked: dict[str, Any], mine: OpenRun) -> str:
    """Which argument asks for another run than the one that is open; empty where none does."""
    opened = mine.run
    wanted, resume = asked.get("id"), asked.get("resume")
    if wanted not in (None, opened.id):
        return f"id={wanted!r}"
    for name in ("fork_from", "resume_from"):
        if asked.get(name) is not None:
            return f"{name}={asked[name]!r}"
    if resume in (True, "auto") and wanted is None and mine.resumable not in (None, opened.id):
        return f"resume={resume!r}"
    # Any other resume="allow" is content with the open run, and so is "must" where that one was resumed.
    if (resume == "must" and not opened.resumed) or (resume == "never" and opened.resumed):
        return f"resume={resume!r}"
    if asked.get("mode") not in ("offline", "dryrun") and mine.brought_a_key():
        return "with an API key that was not there before"
    return ""


def _merge(opened: Any, config: Any, asked: dict[str, Any]) -> None:
    """Bring into the open run what can be, and name the rest in one warning."""
    if config is not None:
        opened.config.update(config, allow_val_change=True)
    settings = opened._settings
    changed = False
    for name in ("name", "notes", "group", "job_type"):
        value = asked.pop(name, None)
        if value is not None and getattr(settings, f"run_{name}") != value:
            setattr(settings, f"run_{name}", value)
            changed = True
    tags = asked.pop("tags", ())
    tags = (tags,) if isinstance(tags, str) else tuple(tags)
    if changed or tags:
        # The setter publishes the run's record, and with it all that was set above.
        opened.tags = tuple(dict.fromkeys((*(opened.tags or ()), *tags)))
    wandb_late.follow(opened, asked)
    if asked.get("resume") in (True, "auto"):
        with contextlib.suppress(OSError), open(settings.resume_fname, "w", encoding="utf-8") as file:
            json.dump({"run_id": opened.id}, file)  # as wandb does; it takes the file away where the run ends well
    _name_the_rest(opened, asked)


def _name_the_rest(opened: Any, asked: dict[str, Any]) -> None:
    kept = []
    place = {"entity": opened.entity, "project": opened.project}
    for name, variable in (("project", environment.PROJECT), ("entity", environment.ENTITY)):
        value, has = asked.pop(name, None), place[name]
        if value not in (None, has):
            kept.append(f"{name} {has!r} ({variable}) instead of {value!r}")
            place[name] = value
    if kept:
        _look_for_artifacts_in(opened, "/".join(place.values()))
    mode = asked.pop("mode", None)
    if mode is not None and (mode in ("offline", "dryrun")) != opened.offline:
        kept.append(f"mode {'offline' if opened.offline else 'online'!r} ({environment.MODE}) instead of {mode!r}")
    if kept:
        log.warn(f"the run stays in {' and '.join(kept)}; {environment.INIT}=defer lets the script decide")
    rest = {name for name, value in asked.items() if value not in (False, None)} - _WITHOUT_CONTENT - {*_ANOTHER_RUN}
    if rest:
        say = log.warn if rest - {"dir"} else log.info
        say(f"wandb.init({', '.join(sorted(rest))}=…) came after the run was opened and has no effect on it")


def _look_for_artifacts_in(opened: Any, place: str) -> None:
    """Find an artifact that the script names without its project where the script believes the run to be."""
    for name in ("use_artifact", "use_model"):
        if original := getattr(opened, name, None):
            setattr(opened, name, _looking_in(place, original))


def _looking_in(place: str, original: Callable[..., Any]) -> Callable[..., Any]:
    parameter = next(iter(inspect.signature(original).parameters))

    @functools.wraps(original)
    def use(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except Exception:
            name = args[0] if args else kwargs.get(parameter)
            if not isinstance(name, str) or "/" in name:
                raise
            given = inspect.signature(original).bind(*args, **kwargs)
            given.arguments[parameter] = f"{place}/{name}"
            return original(*given.args, **given.kwargs)

    return use
