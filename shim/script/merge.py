"""Bring what the script's `wandb.init` says into the run that is open already."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
from collections.abc import Callable
from typing import Any

from .. import environment, log
from . import late

# Arguments that an open run can no longer follow, but that carry no content of the script's: not worth a line.
_WITHOUT_CONTENT = frozenset(
    {
        *("reinit", "anonymous", "force", "allow_val_change", "magic", "init_timeout", "base_url"),
        *("start_method", "login_timeout", "x_service_wait", "api_key"),
        *("id", "resume", "fork_from", "resume_from"),
    }
)


def merge(opened: Any, config: Any, asked: dict[str, Any]) -> None:
    """Bring what is possible into the open run, and name the rest in one warning."""
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
    late.follow(opened, asked)
    if asked.get("resume") in (True, "auto"):
        with contextlib.suppress(OSError), open(settings.resume_fname, "w", encoding="utf-8") as file:
            json.dump({"run_id": opened.id}, file)  # as wandb does, which removes the file where the run ends well
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
    rest = {name for name, value in asked.items() if value not in (False, None)} - _WITHOUT_CONTENT
    if rest:
        say = log.warn if rest - {"dir"} else log.info
        say(f"wandb.init({', '.join(sorted(rest))}=…) came after the run was opened and has no effect on it")


def _look_for_artifacts_in(opened: Any, place: str) -> None:
    """Let artifacts that the script names without a project be found in the project that the script has named."""
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
