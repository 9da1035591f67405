"""Join a run of another process in wandb's own way, and add what such a run lacks to be as good as one opened here."""

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

# Seconds that wandb's service may take to answer a question, by when it has taken all that was sent before.
FLUSH_BOUND = 10.0

# Settings that are not taken over from the companion: those of each process itself, and those for the companion's init.
_OWN = frozenset({"run_id", "silent", "quiet", "init_timeout", "anonymous", "console", "api_key", "x_stats_pid"})

_TOKENS = (("wandb.sdk.lib.service.service_token", "from_env"), ("wandb.sdk.lib.service_token", "get_service_token"))


def attach(wandb: ModuleType, answer: dict[str, Any]) -> Any:
    """Join the run.

    Args:
        wandb: The package.
        answer: The companion's answer: the run's id for joining, the service, the settings of the run.

    Returns:
        The `wandb.Run`, as good as one that this process has opened.

    Raises:
        Exception: The run cannot be joined; what wandb raises then.
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
        AttributeError: This release of wandb has other names for what is needed.
    """
    settings, _, _ = run._settings, run._is_attached, run._is_finished
    for name, value in answer["settings"].items():
        if name not in _OWN and getattr(settings, name, None) != value:
            with contextlib.suppress(Exception):  # a setting that wandb derives from others
                setattr(settings, name, value)
    if answer.get("start_time") is not None:
        run._start_time = answer["start_time"]
    run._is_attached = False
    if answer["config"]:  # a sweep's parameters win over the script's, as in a run that wandb has opened
        run.config.update_locked(json.loads(answer["config"]), user="sweep", _allow_val_change=True)
    with contextlib.suppress(AttributeError):  # not every release has it
        run._wl.add_active_run(run)


def _forget(wandb: ModuleType, run: Any) -> None:
    """Undo the joining of a run, so that the next `wandb.init` does not find it."""
    with contextlib.suppress(Exception):
        unbind(wandb)
    with contextlib.suppress(Exception):
        _singleton(wandb).remove_active_run(run)


def silence(run: Any) -> None:
    """Let a run end without a word, where the release of wandb can."""
    with contextlib.suppress(AttributeError):
        run._settings.silent = True


def _hide_notice_of_shared_service() -> None:
    """Hide the notice of wandb 0.30 and later that it uses a service of another process; the script expects none."""
    module = sys.modules.get("wandb.sdk.wandb_init")
    if hasattr(module, "_shared_service_notice_shown"):
        module._shared_service_notice_shown = True  # type: ignore[union-attr]


def greet(run: Any) -> None:
    """Print what `wandb.init` prints at its end, and tell W&B Weave of the run, as its last line does."""
    with contextlib.suppress(Exception):  # no reason for the script's init to fail
        run._header()
    with contextlib.suppress(Exception):  # Weave is an extra, and not every release has it
        from wandb.integration import weave

        tell = getattr(weave, "init_weave_if_imported", None) or weave.setup
        tell(run.entity, run.project)


def unbind(wandb: ModuleType) -> None:
    """Take the run out of `wandb.run` and of the module's functions, as reinit="create_new" asks."""
    wandb.sdk.lib.module.unset_globals()


def before_finish(run: Any, before: Callable[[], None], after: Callable[[], None]) -> None:
    """Call `before` and `after` around the end of the run, in whatever way the script ends it."""
    pid = os.getpid()
    for name in ("finish", "_finish"):  # a `with` statement calls the first, from 0.31 on the second
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
    """Take keys out of a run's config; wandb has a record for that, but no function.

    Raises:
        Exception: This release of wandb does it in another way.
    """
    from wandb.proto import wandb_internal_pb2

    record = wandb_internal_pb2.ConfigRecord()
    for name in names:
        record.remove.add().key = name
        run.config._items.pop(name, None)
    _interface(run)._publish_config(record)
    flush(run)


def _interface(run: Any) -> Any:
    """The object by which a run speaks to wandb's service; up to 0.30 it is an attribute of the run's backend."""
    return getattr(run, "_interface", None) or run._backend.interface


def flush_all() -> None:
    """Do what `flush` does for each run of this process that is not finished."""
    wandb = sys.modules.get("wandb")
    runs = list(getattr(_singleton(wandb), "_active_runs", ())) or [getattr(wandb, "run", None)]
    for run in runs:
        if run is not None and not getattr(run, "_is_finished", False):
            flush(run)


def stop_finalizing(wandb: Any) -> None:
    """Let no object that ends with the interpreter speak to the service, which may be gone by then (0.28, …)."""
    finalizer = getattr(getattr(_singleton(wandb), "_connection", None), "_finalizer", None)
    if finalizer is not None:
        with contextlib.suppress(Exception):
            finalizer.close()


def share_service(service: Callable[[], str]) -> None:
    """Let this process use the service of its companion, so that wandb starts none here.

    Args:
        service: Gives the service's address, as wandb writes it into WANDB_SERVICE; "" where there is no service.
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
            del os.environ[environment.SERVICE]  # the variable is not to be there before the script asks for its run

    token._is_of_wandb_shim = True  # type: ignore[attr-defined]
    return token


def shares_service(wandb: ModuleType) -> bool:
    """Whether this process is connected to a service that it has not started itself."""
    connection = getattr(_singleton(wandb), "_connection", None)
    return connection is None or getattr(connection, "_proc", None) is None


def disconnect(wandb: ModuleType) -> None:
    """Forget the companion's service: up to 0.2x wandb refuses to tear down a service that it has not started."""
    os.environ.pop(environment.SERVICE, None)
    stop_finalizing(wandb)
    singleton = _singleton(wandb)
    if singleton is not None:
        singleton._connection = None


def _singleton(wandb: Any) -> Any:
    setup = getattr(getattr(wandb, "sdk", None), "wandb_setup", None)
    return getattr(setup, "_singleton", None)
