"""The script's own `wandb.init` gets the run that is open already, with its arguments merged in.

Why: a second `wandb.init` returns the first run, drops all that it is given, in all releases from 0.19 to 0.31, and
leaves an empty run directory behind (https://github.com/wandb/wandb/blob/main/wandb/sdk/wandb_init.py,
`_WandbInit.init`). So while our run is open, wandb's own function is not called for it. It is called, untouched,
where the script asks for another run: by id, by mode="disabled", once ours is handed over with reinit, or after
`wandb.finish()`.

Remove when: wandb merges the arguments of a second init into the active run.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .. import environment, log, run
from ..wrapt_source import load_wrapt
from . import wandb_attach, wandb_late

# Arguments that name another run than the one that is open.
_ANOTHER_RUN = ("id", "resume", "fork_from", "resume_from")
# Arguments that a run which is open can no longer follow and that carry nothing of the script's: not worth a word.
_WITHOUT_CONTENT = frozenset(
    {
        "reinit",
        "anonymous",
        "force",
        "allow_val_change",
        "magic",
        "config_exclude_keys",
        "config_include_keys",
    }
)
# Fields of wandb.Settings that are arguments of init under another name.
_SETTINGS = {
    "run_name": "name",
    "run_notes": "notes",
    "run_tags": "tags",
    "run_group": "group",
    "run_job_type": "job_type",
    "run_id": "id",
    "root_dir": "dir",
}
# A variable that the script changed after the run was opened counts as the argument.
_VARIABLES = {
    environment.PROJECT: "project",
    environment.ENTITY: "entity",
    environment.NAME: "name",
    environment.NOTES: "notes",
    environment.GROUP: "group",
    environment.JOB_TYPE: "job_type",
    environment.TAGS: "tags",
    environment.MODE: "mode",
    environment.RUN_ID: "id",
    environment.RESUME: "resume",
}


def apply(module: Any) -> None:
    """Wrap `wandb.init`; once."""
    wrapt = load_wrapt()
    if not isinstance(module.init, wrapt.FunctionWrapper):
        module.init = wrapt.FunctionWrapper(module.init, _init)


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


def _init(original: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if run.joined is not None and not run.joined.finished:
        run.joined.run.finish()  # wandb would take it for the script's own
    mine = run.current
    if mine is None or mine.finished:
        if environment.ATTACH in os.environ:
            return _init_in_child(original, args, kwargs)
        opened = original(*args, **kwargs)
        if mine is None:
            use_inputs(opened)
        return opened
    asked = _what_is_asked(original, args, kwargs, mine.environ)
    if asked.get("mode") == "disabled":
        return original(*args, **kwargs)
    if mine.handed_over and asked.get("reinit") in (True, "finish_previous", "create_new"):
        return original(*args, **kwargs)
    if not mine.handed_over and (other := _names_another_run(asked, mine)):
        log.warn(f"the script asks for a run of its own ({other}): the one opened before it is finished")
        mine.hand_over()
        mine.run.finish()
        return original(*args, **kwargs)
    opened = mine.hand_over(bind=asked.get("reinit") != "create_new")
    wandb_attach.claim_own(opened)
    _merge(opened, asked)
    return opened


def _init_in_child(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Where no run of this process is open, and perhaps one of the process that started it."""
    asked = _what_is_asked(original, args, kwargs, run.wandb_variables())
    if asked.get("mode") == "disabled" or any(asked.get(name) for name in (*_ANOTHER_RUN, "reinit")):
        return original(*args, **kwargs)
    joined = wandb_attach.take(sys.modules["wandb"])
    if joined is None:
        return original(*args, **kwargs)
    _merge(joined, asked)
    return joined


def _what_is_asked(
    original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], before: Mapping[str, str]
) -> dict[str, Any]:
    """The arguments, and what Settings, and variables that are not as before, say where an argument does not."""
    given = inspect.signature(original).bind(*args, **kwargs).arguments
    asked = {name: value for name, value in given.items() if value is not None}
    settings = asked.pop("settings", None)
    if settings is not None and not isinstance(settings, Mapping):
        settings = {name: getattr(settings, name) for name in getattr(settings, "model_fields_set", ())}
    for name, value in (settings or {}).items():
        if value is not None:
            asked.setdefault(_SETTINGS.get(name, name), value)
    for variable, name in _VARIABLES.items():
        value = os.environ.get(variable)
        if value and value != before.get(variable):
            asked.setdefault(name, environment.comma_separated(value) if name == "tags" else value)
    return asked


def _names_another_run(asked: dict[str, Any], mine: run.OpenRun) -> str:
    for name in _ANOTHER_RUN:
        value = asked.get(name)
        if value in (None, False) or (name == "id" and value == mine.run.id):
            continue
        if name == "resume" and asked.get("id") in (None, mine.run.id) and value != "must":
            continue  # resume="allow" without another id: the open run is what it may resume
        return f"{name}={value!r}"
    return ""


def _merge(opened: Any, asked: dict[str, Any]) -> None:
    """Bring into the open run what can be, and name the rest in one warning."""
    _merge_config(opened, asked)
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
    _name_the_rest(opened, asked)


def _merge_config(opened: Any, asked: dict[str, Any]) -> None:
    config = asked.pop("config", None)
    if config is None:
        return
    if isinstance(config, str):  # a file, as wandb.init takes it
        from wandb.sdk.lib import config_util

        config = config_util.dict_from_config_file(config, must_exist=True)
    else:
        from wandb.sdk.wandb_helper import parse_config

        config = parse_config(
            config, include=asked.get("config_include_keys"), exclude=asked.get("config_exclude_keys")
        )
    opened.config.update(config, allow_val_change=True)


def _name_the_rest(opened: Any, asked: dict[str, Any]) -> None:
    kept = []
    names = (("project", environment.PROJECT), ("entity", environment.ENTITY), ("mode", environment.MODE))
    for name, variable in names:
        value, has = asked.pop(name, None), getattr(opened._settings, name)
        if value not in (None, has):
            kept.append(f"{name} {has!r} ({variable}) instead of {value!r}")
    if kept:
        log.warn(f"the run stays in {' and '.join(kept)}; {environment.INIT}=defer lets the script decide")
    rest = sorted(name for name in asked if name not in _WITHOUT_CONTENT and name not in _ANOTHER_RUN)
    if rest:
        log.info(f"wandb.init({', '.join(rest)}=…) came after the run was opened and has no effect on it")
