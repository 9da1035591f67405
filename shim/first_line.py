"""The first line of a process that owns or joins the run: apart from the start, for which every process pays."""

from __future__ import annotations

from . import log


def ask_program(last: bool, joins: bool) -> None:
    """Open the run, or join it, once the program has shown which rank is to own it.

    Args:
        last: Whether this is the last rank; otherwise it is the first.
        joins: Whether this rank joins the run where the other one owns it.
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
    """Open the run, or join that of another node: what goes wrong here must not reach the script."""
    from .script_directory import HiddenScriptDirectory, offers_another_wandb

    try:
        if offers_another_wandb():
            log.warn("the job is not tracked: beside its script lies a wandb of its own")
            return
        with HiddenScriptDirectory():
            from . import run

            (run.join_at_start if join else run.open_at_start)()
    except Exception as error:
        log.warn(f"no run was opened: {type(error).__name__}: {error}")
