"""What happens at the first line of a process that owns or joins the run: no other process loads this module."""

import os
import sys

from .environment import Contract


def ask_program(last: bool, joins: bool) -> None:
    """Open the run, or join it, once the program has shown which rank is to own it.

    Args:
        last: Whether this is the last rank; otherwise it is the first.
        joins: Whether this rank joins the run where the other rank owns it.
    """
    from . import owner

    def otherwise() -> None:
        if joins:
            open_run(join=True)

    if owner.has_megatron():
        owner.when_known(last, open_run, otherwise)
    elif last:
        otherwise()
    else:
        open_run()


def open_run(join: bool = False) -> None:
    """Start the companion, which opens the run or joins that of another node; no failure reaches the script."""
    try:
        environ = os.environ
        if environ.get("WANDB_SHIM_INIT", "").strip().lower() == "defer":
            return _defer(environ)
        from .script import start

        start.start(_main_frame(), joins=join)
        if not join:
            _arm_content(environ)
    except Exception as error:
        from . import log

        log.warn(f"no run was opened, the script goes on without: {type(error).__name__}: {error}")


def _arm_content(environ: "Mapping[str, str]") -> None:
    """Wait until the script imports a parser or framework that tells configuration or metrics; import none of them."""
    from .patches import PATCHES

    contract = Contract(environ)
    off = {"tensorboard": not contract.tensorboard, "torch_save": contract.checkpoints != "torch"}
    waiting = sys.modules[__package__].waiting
    for patch in PATCHES:
        if patch.everywhere or patch.name in contract.skip or off.get(patch.name):
            continue
        for module in patch.modules:
            if module in sys.modules:
                from . import hooks  # slow to load, and needed by few

                hooks.apply(f"patches.{patch.name}", sys.modules[module])
            else:
                waiting[module] = f"patches.{patch.name}"


def _defer(environ: "Mapping[str, str]") -> None:
    """Leave the run to the script's own wandb.init; what the job names as its inputs belongs to that run."""
    if environ.get("WANDB_SHIM_INPUTS"):
        from . import hooks
        from .script import deferred

        hooks.after_import("wandb", deferred.apply)


def _main_frame() -> "FrameType | None":
    frame: "FrameType | None" = sys._getframe()
    main = sys.modules["__main__"].__dict__
    while frame is not None and not (frame.f_code.co_name == "<module>" and frame.f_globals is main):
        frame = frame.f_back
    return frame


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
