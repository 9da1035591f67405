"""Which rank owns the run where only the program can tell: Megatron logs on the last rank, others on the first.

The first and the last rank of a job that can import Megatron ask this module, at the first frame of `__main__`. It
decides at the earliest moment at which the answer is certain. A program that imports `megatron.bridge` or
`megatron.training` gives the run to the last rank. One that calls `wandb.init` or
`torch.distributed.init_process_group` and has imported neither gives it to the first.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import environment, log

# Imports that make the job a Megatron one (its loggers live on the last rank: megatron/bridge/training/state.py,
# `wandb_logger`; megatron/training/global_vars.py, `_set_wandb_writer`).
MEGATRON = ("megatron.bridge", "megatron.training")

# Modules, each with the function whose call means that rank 0 owns the run where none of the above is imported.
STARTERS = {"wandb": "init", "torch.distributed.distributed_c10d": "init_process_group"}


def has_megatron() -> bool:
    """Whether a Megatron that trains can be imported here; none of its code is run to find out."""
    from importlib.util import find_spec

    spec = find_spec("megatron")
    places = spec.submodule_search_locations if spec is not None else None
    parts = [name.rpartition(".")[2] for name in MEGATRON]
    return any(os.path.isdir(os.path.join(place, part)) for place in places or () for part in parts)


def when_known(is_last: bool, open_run: Callable[[], None], otherwise: Callable[[], None]) -> None:
    """Open the run in this process once it is known that this rank owns it.

    Args:
        is_last: Whether this is the last rank; otherwise it is the first.
        open_run: Called at most once.
        otherwise: Called at most once, where the other rank owns it.
    """
    _Telltale(is_last, open_run, otherwise).arm()


class _Telltale:
    def __init__(self, is_last: bool, open_run: Callable[[], None], otherwise: Callable[[], None]) -> None:
        self._is_last = is_last
        self._open_run = open_run
        self._otherwise = otherwise
        self._decided = False

    def arm(self) -> None:
        from . import hooks

        if not self._is_last:
            atexit.register(self._say_if_never_decided)
        # After the import, not while the module is looked for: there the interpreter holds the module's import lock,
        # which the threads that open a run need.
        for name in MEGATRON:
            hooks.after_import(name, self._megatron)
        for name, function in STARTERS.items():
            hooks.after_import(name, functools.partial(self._wrap, function=function))

    def _megatron(self, module: ModuleType) -> None:
        self._decide(last=True)

    def _wrap(self, module: ModuleType, function: str) -> None:
        original = getattr(module, function)

        @functools.wraps(original)
        def starter(*args: Any, **kwargs: Any) -> Any:
            if getattr(module, function) is starter:
                setattr(module, function, original)
            self._decide(last=any(name in sys.modules for name in MEGATRON))
            # Opening the run may have replaced the function in this place: the script's call goes to the replacement.
            return getattr(module, function)(*args, **kwargs)

        setattr(module, function, starter)

    def _say_if_never_decided(self) -> None:
        if not self._decided and os.environ.get(environment.OWNED_BY, "").startswith(f"{os.getpid()}@"):
            log.warn(
                "no run: Megatron is installed, but the program neither trained with it nor called wandb.init or "
                f"init_process_group; {environment.OWNER}=first gives the run to rank 0 from the start"
            )

    def _decide(self, *, last: bool) -> None:
        if self._decided:
            return
        self._decided = True
        log.info(f"the run belongs to the {'last' if last else 'first'} rank")
        if last == self._is_last:
            self._open_run()
        else:
            self._otherwise()
