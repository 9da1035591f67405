"""wandb's own ways to join a run of another process, and what is missing there to make it as good as one's own."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from .. import environment

# Seconds that wandb's service may take to answer, and so to have taken all that was sent before.
FLUSH_BOUND = 10.0

# Settings that are this process's own, or that made the companion's init what it was.
_OWN = frozenset({"run_id", "silent", "quiet", "init_timeout", "anonymous", "console", "api_key", "x_stats_pid"})

_TOKENS = (("wandb.sdk.lib.service.service_token", "from_env"), ("wandb.sdk.lib.service_token", "get_service_token"))


def attach(wandb: ModuleType, answer: dict[str, Any]) -> Any:
    """Join the run.

    Args:
        wandb: The package.
        answer: Of the companion: the run's id for joining, the service, the settings that it was opened with.

    Returns:
        The `wandb.Run`; as good as one that this process has opened.

    Raises:
        Exception: as wandb does, where it cannot be joined.
    """
    os.environ[environment.SERVICE] = answer["service"]
    run: Any = None
    try:
        run = wandb._attach(answer["run"])
        _make_own(run, answer)
    except BaseException:
        os.environ.pop(environment.SERVICE, None)
        if run is not None:
            _forget(wandb, run)
        raise
    _hide_notice_of_shared_service()
    return run


def _make_own(run: Any, answer: dict[str, Any]) -> None:
    """Make a run that was joined as good as one that this process has opened.

    Raises:
        AttributeError: in a release that has other names for what is needed.
    """
    settings, _, _ = run._settings, run._is_attached, run._is_finished
    for name, value in answer["settings"].items():
        if name not in _OWN and getattr(settings, name, None) != value:
            with contextlib.suppress(Exception):  # a value that is derived from others
                setattr(settings, name, value)
    if answer.get("start_time") is not None:
        run._start_time = answer["start_time"]
    run._is_attached = False
    if answer["config"]:  # a sweep's parameters win over those of the script, as where wandb has opened the run
        run.config.update_locked(json.loads(answer["config"]), user="sweep", _allow_val_change=True)
    with contextlib.suppress(AttributeError):  # of other releases
        run._wl.add_active_run(run)


def _forget(wandb: ModuleType, run: Any) -> None:
    """Undo the joining of a run: the next `wandb.init` is not to find it."""
    with contextlib.suppress(Exception):
        unbind(wandb)
    with contextlib.suppress(Exception):
        _singleton(wandb).remove_active_run(run)


def silence(run: Any) -> None:
    """Have a run end without a word, in a release that can."""
    with contextlib.suppress(AttributeError):
        run._settings.silent = True


def _hide_notice_of_shared_service() -> None:
    """From 0.30 on wandb says at an init that it uses a service of somebody else; the script has only done an init."""
    module = sys.modules.get("wandb.sdk.wandb_init")
    if hasattr(module, "_shared_service_notice_shown"):
        module._shared_service_notice_shown = True  # type: ignore[union-attr]


def greet(run: Any) -> None:
    """Print what `wandb.init` prints in the end, and tell W&B Weave, as the last line of it does."""
    with contextlib.suppress(Exception):  # no reason to fail
        run._header()
    with contextlib.suppress(Exception):  # of no release, or in no mood: it is an extra
        from wandb.integration import weave

        tell = getattr(weave, "init_weave_if_imported", None) or weave.setup
        tell(run.entity, run.project)


def unbind(wandb: ModuleType) -> None:
    """Take the run out of `wandb.run` and the module's functions, as reinit="create_new" has it."""
    wandb.sdk.lib.module.unset_globals()


def before_finish(run: Any, before: Callable[[], None], after: Callable[[], None]) -> None:
    """Call these around the end of the run, whichever way the script ends it."""
    pid = os.getpid()
    for name in ("finish", "_finish"):  # what `with` calls, from 0.31 the second
        if hasattr(run, name):
            setattr(run, name, _finishing(run, pid, getattr(run, name), before, after))


def _finishing(
    run: Any, pid: int, original: Callable[..., Any], before: Callable[[], None], after: Callable[[], None]
) -> Callable[..., Any]:
    @functools.wraps(original)
    def finish(*args: Any, **kwargs: Any) -> Any:
        if getattr(run, "_is_finished", False) or os.getpid() != pid:
            return original(*args, **kwargs)
        before()
        result = original(*args, **kwargs)
        after()
        return result

    return finish


def flush(run: Any) -> None:
    """Wait until the service has answered a question, and so has taken all that was sent before it."""
    with contextlib.suppress(Exception):
        _interface(run).deliver_get_summary().wait_or(timeout=FLUSH_BOUND)


def remove_from_config(run: Any, names: Iterable[str]) -> None:
    """Take keys out of a run's config, for which wandb has a record and no function.

    Raises:
        Exception: this release does it in another way.
    """
    from wandb.proto import wandb_internal_pb2

    record = wandb_internal_pb2.ConfigRecord()
    for name in names:
        record.remove.add().key = name
        run.config._items.pop(name, None)
    _interface(run)._publish_config(record)
    flush(run)


def _interface(run: Any) -> Any:
    """How a run speaks to wandb's service; up to 0.30 it stands in its backend."""
    return getattr(run, "_interface", None) or run._backend.interface


def flush_all() -> None:
    """The same for each run of this process that goes on."""
    wandb = sys.modules.get("wandb")
    runs = list(getattr(_singleton(wandb), "_active_runs", ())) or [getattr(wandb, "run", None)]
    for run in runs:
        if run is not None and not getattr(run, "_is_finished", False):
            flush(run)


def stop_finalizing(wandb: Any) -> None:
    """Say nothing more to the service for objects that end with the interpreter: by then it may be gone (0.28, …)."""
    finalizer = getattr(getattr(_singleton(wandb), "_connection", None), "_finalizer", None)
    if finalizer is not None:
        with contextlib.suppress(Exception):
            finalizer.close()


def share_service(service: Callable[[], str]) -> None:
    """Let what this process asks of wandb's service go to that of its companion: none is started here.

    Args:
        service: Tells its address, as wandb writes it into WANDB_SERVICE; "" where there is none.
    """
    for name, function in _TOKENS:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        original = getattr(module, function, None)
        if original is not None and not hasattr(original, "_is_of_wandb_shim"):
            setattr(module, function, _sharing(original, service))
        return


def _sharing(original: Callable[[], Any], service: Callable[[], str]) -> Callable[[], Any]:
    @functools.wraps(original)
    def token() -> Any:
        found = None if environment.SERVICE in os.environ else service()
        if not found:
            return original()
        os.environ[environment.SERVICE] = found
        _hide_notice_of_shared_service()
        try:
            return original()
        finally:
            del os.environ[environment.SERVICE]  # not before the script has asked for its run

    token._is_of_wandb_shim = True  # type: ignore[attr-defined]
    return token


def shares_service(wandb: ModuleType) -> bool:
    """Whether this process is connected to a service that it has not started itself."""
    connection = getattr(_singleton(wandb), "_connection", None)
    return connection is None or getattr(connection, "_proc", None) is None


def disconnect(wandb: ModuleType) -> None:
    """Forget the service of the companion: up to 0.2x wandb refuses to tear down what it has not started."""
    os.environ.pop(environment.SERVICE, None)
    stop_finalizing(wandb)
    singleton = _singleton(wandb)
    if singleton is not None:
        singleton._connection = None


def _singleton(wandb: Any) -> Any:
    setup = getattr(getattr(wandb, "sdk", None), "wandb_setup", None)
    return getattr(setup, "_singleton", None)
