"""The scalars that a script writes for TensorBoard are in the run.

Every writer of torch (torch/utils/tensorboard/writer.py, 2.13, `FileWriter.add_event`) and of tensorboard ends in
`EventFileWriter.add_event` of tensorboard/summary/writer/event_file_writer.py (2.21), and every writer of tensorboardX
in that of tensorboardX/event_file_writer.py (2.6). `tf.summary.scalar` ends in `write_summary` of
tensorflow/python/ops/gen_summary_ops.py (2.21), and its writers are opened by `create_summary_file_writer` there. The
scalars of each event are told, and the companion makes rows of them, as wandb-core does for sync_tensorboard=True
(companion/tensorboard.py). No file is read, so that what a graph of TensorFlow writes, a `tf.function`, is not told:
its values are in C++ alone.

A framework whose own patch tells its metrics calls `content.tells`, and nothing is told here from then on. One that
writes those metrics to a directory of its own calls `content.tells_in`, and they are not told of that directory here.

Remove when: never.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from types import ModuleType
from typing import Any

from ..script import content
from . import wrapping
from .naming import absolute

MODULES = (
    "tensorboard.summary.writer.event_file_writer",
    "tensorboardX.event_file_writer",
    "tensorflow.python.ops.gen_summary_ops",
)
# By what a writer was given, and by the number of TensorFlow's handle of a writer: its directory at that time.
_directories: dict[Any, str] = {}
_single = struct.Struct("f").pack
_TITLE = "what is written for TensorBoard"
# By the number of a type in TensorFlow's types.proto: the field that holds values of it, and how `struct` reads them.
_TENSORS = {1: ("float_val", "f"), 2: ("double_val", "d"), 3: ("int_val", "i"), 9: ("int64_val", "q")}


def apply(module: ModuleType) -> None:
    """Watch the one class of this module that events pass, or TensorFlow's functions."""
    if module.__name__ == MODULES[2]:
        wrapping.required(module, "create_summary_file_writer", _on_writer, title=_TITLE)
        wrapping.required(module, "write_summary", _on_summary, title=_TITLE)
        return
    for name, then in (("__init__", _on_directory), ("add_event", _on_event)):
        wrapping.required(module.EventFileWriter, name, then, title=_TITLE)


def _on_directory(result: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    given = args[0].get_logdir()
    _know(given, given)


def _know(writer: Any, given: "str | os.PathLike[str]") -> None:
    directory = _directories[writer] = absolute(given)
    if not content.is_told(directory):
        content.event(directory, {})


def _on_event(result: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    event = args[1] if len(args) > 1 else kwargs["event"]
    if not event.HasField("summary") or not content.wanted(content.METRICS):
        return
    directory = _directories[args[0].get_logdir()]
    told = (value for value in event.summary.value if not content.is_told(directory, value.tag))
    values = {value.tag: number for value in told if (number := _scalar(value)) is not None}
    if values:
        content.event(directory, values, step=event.step, time=event.wall_time)


def _on_writer(result: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    handle, directory = wrapping.argument(args, kwargs, 0, "writer"), wrapping.argument(args, kwargs, 1, "logdir")
    if _is_known(directory):
        _know(id(handle), directory.numpy().decode())


def _on_summary(result: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    names = ("writer", "step", "tensor", "tag", "summary_metadata")
    handle, step, tensor, tag, metadata = (wrapping.argument(args, kwargs, *each) for each in enumerate(names))
    directory = _directories.get(id(handle))
    if directory is None or not content.wanted(content.METRICS) or not isinstance(metadata, bytes):
        return
    tag = tag.numpy().decode() if _is_known(tag) else str.__str__(tag)  # it may be a member of an enumeration
    if content.is_told(directory, tag) or not _is_known(tensor) or tensor.shape.rank:
        return
    kind = sys.modules["tensorflow.core.framework.summary_pb2"].SummaryMetadata.FromString(metadata)
    if kind.plugin_data.plugin_name == "scalars":
        step = int(step.numpy() if hasattr(step, "numpy") else step)
        content.event(directory, {tag: float(tensor.numpy())}, step=step, time=time.time())


def _is_known(tensor: Any) -> bool:
    """Whether a tensor of TensorFlow has a value: one that a `tf.function` works with has none yet."""
    return hasattr(tensor, "numpy")


def _scalar(value: Any) -> "int | float | None":
    """The number in a value of a summary; None where the value is an image, a text or a histogram."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return as_written(value.simple_value)
    if kind != "tensor" or value.metadata.plugin_data.plugin_name != "scalars":
        return None
    tensor = value.tensor
    field, code = _TENSORS.get(tensor.dtype, ("", ""))
    if not field:
        return None
    numbers = struct.unpack(f"={len(tensor.tensor_content) // struct.calcsize(code)}{code}", tensor.tensor_content)
    numbers = numbers or tuple(getattr(tensor, field))
    return numbers[0] if len(numbers) == 1 else None


def as_written(number: float) -> float:
    """A number of single precision by its shortest digits, as wandb has it: 0.1, not 0.10000000149011612."""
    if not abs(number) < float("inf"):  # infinite, or not a number
        return number
    single = _single(number)
    for digits in (6, 7, 8):
        short = float(f"{number:.{digits}g}")
        if _single(short) == single:
            return short
    return float(f"{number:.9g}")
