"""What a script writes for TensorBoard goes into the open run, too, where WANDB_SHIM_TENSORBOARD=on.

wandb's own way (`wandb.tensorboard.patch`) imports TensorFlow, torch and tensorboardX at once and looks at `wandb.run`,
which is the script's to set. So this waits for the one class that both writers end in, and tells the companion of
each directory that events go to; wandb-core reads the files itself, as for sync_tensorboard=True
(wandb/integration/tensorboard/monkeypatch.py, `_notify_tensorboard_logdir`). TensorFlow's own writer is C++: there
only wandb's way helps.

Remove when: wandb patches TensorBoard without importing it, and for a run that is not `wandb.run`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import hooks
from ..script import attach, channel
from ..wrapt_source import load_wrapt

# torch.utils.tensorboard takes its class from the first.
WRITERS = ("tensorboard.summary.writer.event_file_writer", "tensorboardX.event_file_writer")


def follow() -> None:
    """Wait for the modules that write events; none is imported for it."""
    for name in WRITERS:
        hooks.after_import(name, apply)


def apply(module: ModuleType) -> None:
    """Have each new EventFileWriter of this module name its directory to the run."""
    load_wrapt().wrap_function_wrapper(module, "EventFileWriter.__init__", _init)


def _init(original: Callable[..., None], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    original(*args, **kwargs)
    way = channel.current()
    patched = getattr(sys.modules.get("wandb"), "patched", {})
    if way is None or attach.has_left() or patched.get("tensorboard"):  # by sync_tensorboard=True: wandb does it
        return
    way.tell({"tell": "tensorboard", "directory": os.path.abspath(str(args[0] if args else kwargs["logdir"]))})
