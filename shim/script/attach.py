"""The script's own `wandb.init` gets the run that its companion holds, with its arguments merged in.

The script's wandb joins the run through wandb's own service, which takes several processes into one run
(wandb/sdk/wandb_init.py, `_attach`). From there on everything that wandb does with a run works in the script's
process as if its init had opened it. wandb's own function is called, untouched, where the script asks for another
run: by id, by mode="disabled", a second time, or after `wandb.finish()`.

Remove when: wandb merges the arguments of a second init into the active run, and attaches by public API.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import environment, log
from . import asked, attached, channel, children, end, merge, start

# Seconds to wait for the companion while it opens or ends the run; the companion has bounds of its own.
_BOUND = 900.0

# Arguments that name another run than the one that is open.
ANOTHER_RUN = ("id", "resume", "fork_from", "resume_from")

# The job's run in this process, once the script has asked for it, and its name before that.
_run: Any = None
_first_name: str | None = None
# Runs of the script's own whose end waits for their checkpoints.
_waiting: set[str] = set()
# Whether the job's run is over for this process: finished, given way, or never had.
_left = False


def has_left() -> bool:
    """Whether the job's run is over for this process."""
    return _left


def has_asked() -> bool:
    """Whether the script has asked for a run, the job's or another: from then on the script decides what it logs."""
    return _left or _run is not None


def job_run() -> Any | None:
    """The job's run, where the script has asked for it and it has not ended; None otherwise."""
    return _run if _run is not None and not _left and channel.current() is not None else None


def way_of_this_process() -> channel.Channel | None:
    """The companion to tell checkpoints to, where this process has left the job's run or never had it."""
    run = _open_run()
    if run is None:
        return None
    found = children.way()
    if found is None:
        found = channel.current() or start.companion_of_own_run()
        if run is not _run and run._attach_id not in _waiting:
            _waiting.add(run._attach_id)
            attached.before_finish(run, _drain, _leave)
    return found


def id_of_own_run() -> str | None:
    """The id by which a companion joins the run that the script has opened itself; None where it has no such run."""
    run = _open_run()
    if run is None or run is _run or children.way() is not None:
        return None
    attach_id: str = run._attach_id
    return attach_id


def _open_run() -> Any | None:
    run = getattr(sys.modules.get("wandb"), "run", None)
    return None if run is None or getattr(run, "disabled", False) else run


def _drain() -> None:
    """Wait until the checkpoints of a run of the script's own are in it; called before that run ends."""
    way = channel.current()
    if way is not None:
        _wait_for_what_is_under_way()
        way.ask({"ask": "drain", "frames": way.sent}, _BOUND)


def apply(module: Any) -> None:
    """Wrap `wandb.init` and `wandb.teardown`, once, by functions that pickle by name, as the originals do."""
    if channel.current() is None and environment.ATTACH not in os.environ:
        return
    for name, ours in (("init", _init), ("teardown", _teardown)):
        original = getattr(module, name)
        if not hasattr(original, "_is_of_wandb_shim"):
            setattr(module, name, _wrapped(module, original, ours))
    attached.share_service(_service)


def _wrapped(module: Any, original: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return ours(module, original, args, kwargs)

    wrapper.__module__ = module.__name__
    wrapper._is_of_wandb_shim = True  # type: ignore[attr-defined]
    return wrapper


def _service() -> str:
    """The address of wandb's service that the companion shares; "" where this process is to start a service itself."""
    way = channel.current()
    answer = way.ask({"ask": "service"}, _BOUND) if way is not None else None
    _flush_at_the_end()
    return answer["service"] if answer else ""


def _init(wandb: ModuleType, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    way = channel.current()
    if way is None or _left or _run is not None:
        # A second init, or an init where the job has no run: wandb decides what it means.
        return _init_of_child(wandb, original, args, kwargs) if way is None else original(*args, **kwargs)
    said = asked.by_call(wandb, original, args, kwargs)
    if said.get("mode") == "disabled" or _is_artifact_save(said):
        return original(*args, **kwargs)
    facts = way.ask({"ask": "facts"}, _BOUND) or {}
    if not facts.get("run"):
        _leave()
        return original(*args, **kwargs)
    wanted = {**asked.changed(wandb, facts["before"]), **said}
    if wanted.get("mode") == "disabled":
        return original(*args, **kwargs)
    _leave_out_what_a_sweep_decides(wanted, facts)
    other = _names_another_run(wandb, wanted, facts)
    if other:
        _give_way(way, facts, other)
        if wanted.get("resume") in (True, "auto") and wanted.get("id") is None:
            kwargs = {**kwargs, "id": facts["resumable"]}
        return original(*args, **kwargs)
    config = asked.config_of(wanted)  # raises as wandb.init does, and then nothing has happened
    run = _attach(wandb, way, wanted)
    if run is None:
        _give_way(way, facts, "")
        return original(*args, **kwargs)
    merge.merge(run, config, wanted)
    attached.greet(run)
    return run


def _attach(wandb: ModuleType, way: channel.Channel, wanted: dict[str, Any]) -> Any | None:
    global _run, _first_name
    answer = way.ask({"ask": "attach"}, _BOUND)
    if not answer or not answer.get("run") or answer["version"] != wandb.__version__:
        return None
    try:
        run = attached.attach(wandb, answer)
    except Exception as error:
        log.warn(f"the script's wandb could not join the job's run: {type(error).__name__}: {error}")
        return None
    _run, _first_name = run, run.name
    if wanted.get("reinit") == "create_new":
        attached.unbind(wandb)
    attached.before_finish(run, _before_finish, _after_finish)
    if start.console is not None:
        start.console.follow_replaced(sys.stdout, 0)
        start.console.follow_replaced(sys.stderr, 1)
    _flush_at_the_end()
    return run


def _flush_at_the_end() -> None:
    if _flush not in end.before:
        end.before.append(_flush)


def _flush() -> None:
    """Wait until wandb's service has taken all that this process has sent: its companion ends the service next."""
    attached.flush_all()
    attached.stop_finalizing(sys.modules.get("wandb"))


def last_words(words: str) -> str:
    """The part of the last words of wandb's service that the script prints; "" where the run is to be silent."""
    settings = getattr(_run, "_settings", None)
    if getattr(settings, "silent", False):
        return ""
    name = getattr(settings, "run_name", None)
    if not name or not _first_name or name == _first_name:
        return words
    # Up to 0.25 the service knows the run by the name that it was opened with.
    lines = words.splitlines(keepends=True)
    return "".join(line.replace(_first_name, name) if "View run" in line else line for line in lines)


# Functions to call before the script finishes the job's run: each waits, within a bound, for what is on its way into
# it.
before_finish: list[Callable[[], object]] = []


def _before_finish() -> None:
    way = channel.current()
    if way is not None and not _left:
        _wait_for_what_is_under_way()
        if start.console is not None:
            start.console.flush()
        way.ask({"ask": "finishing", "frames": way.flush(10.0)}, _BOUND)


def _wait_for_what_is_under_way() -> None:
    for call in before_finish:
        try:
            call()
        except Exception as error:
            log.warn(f"what was under way may have missed the run's end: {type(error).__name__}: {error}")


def _after_finish() -> None:
    way = channel.current()
    if way is not None and not _left:
        way.ask({"ask": "finished"}, _BOUND)
        _leave()


def _leave() -> None:
    """Note that the job's run is over for this process; what the script prints is not copied any more."""
    global _left
    _left = True
    if start.console is not None:
        start.console.leave()


def _give_way(way: channel.Channel, facts: dict[str, Any], other: str) -> None:
    if other:
        log.warn(f"the script asks for a run of its own ({other}): the one opened before it is finished")
    _leave()
    way.ask({"ask": "give way"}, _BOUND)


def _teardown(wandb: ModuleType, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """End the runs that the script has asked for; the job's run goes on where the script has never asked for it.

    `wandb.agent(…, function)` calls `wandb.teardown` before each trial, once it has set the trial's id.
    """
    way = channel.current()
    if way is None or not attached.shares_service(wandb):
        return original(*args, **kwargs)
    if _left or _run is not None:
        code = inspect.signature(original).bind(*args, **kwargs).arguments.get("exit_code") or 0
        _flush()
        if start.console is not None:
            start.console.flush()
        answer = way.ask({"ask": "teardown", "code": code, "frames": way.flush(10.0)}, _BOUND)
        if answer and answer.get("stdout") and sys.stdout is not None:
            sys.stdout.write(last_words(answer["stdout"]))
        _leave()
    attached.disconnect(wandb)
    return original(*args, **kwargs)


def _init_of_child(
    wandb: ModuleType, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The run of the process that started this one, where this call is to get it; else the run that wandb gives."""
    if environment.ATTACH in os.environ:
        said = asked.by_call(wandb, original, args, kwargs)
        if said.get("mode") != "disabled" and not any(said.get(name) for name in (*ANOTHER_RUN, "reinit")):
            run = children.take(wandb)
            if run is not None:
                merge.merge(run, asked.config_of(said), said)
                return run
    return original(*args, **kwargs)


def _leave_out_what_a_sweep_decides(wanted: dict[str, Any], facts: dict[str, Any]) -> None:
    """Leave place and id of a trial to its agent, as wandb's own init does (`clear_run_path_if_sweep_or_launch`)."""
    if facts["sweep"]:
        for name in ("project", "entity", "id"):
            if wanted.pop(name, None) not in (None, facts[name]):
                log.warn(f"wandb.init({name}=…) has no effect in a sweep, as without the shim")


def _is_artifact_save(said: dict[str, Any]) -> bool:
    """Whether the call comes from `Artifact.save` outside any run, which opens a run for the time of the upload."""
    return said.get("job_type") == "auto" and bool(said.get("silent"))


def _names_another_run(wandb: ModuleType, wanted: dict[str, Any], facts: dict[str, Any]) -> str:
    """Which argument asks for another run than the one that is open; empty where none does."""
    wanted_id, resume = wanted.get("id"), wanted.get("resume")
    if wanted_id not in (None, facts["id"]):
        return f"id={wanted_id!r}"
    for name in ("fork_from", "resume_from"):
        if wanted.get(name) is not None:
            return f"{name}={wanted[name]!r}"
    if resume in (True, "auto") and wanted_id is None and facts["resumable"] not in (None, facts["id"]):
        return f"resume={resume!r}"
    # resume="allow" is otherwise content with the open run, and so is "must" where the open run was resumed.
    if (resume == "must" and not facts["resumed"]) or (resume == "never" and facts["resumed"]):
        return f"resume={resume!r}"
    if facts["joins"]:
        return "beside this node's machine in the job's"
    if facts["offline"] and wanted.get("mode") not in ("offline", "dryrun"):
        if asked.has_another_server(wandb, facts["before"]):
            return "on another server"
        if asked.has_another_key(wandb, facts["key"]):
            return "with an API key that was not there before"
    return ""
