"""What the run shows of a script that never mentions W&B: its configuration and its metrics.

In the script's process a patch of a parser or of a framework says here what it has seen. Each piece is one message, and
the companion logs it (companion/content.py). As soon as the script asks for the run itself, it decides what is logged,
and nothing is said here any more.
"""

import os
import sys

from .. import environment
from . import channel

# The most keys and characters that a configuration has.
KEYS_MAX = 10_000
TEXT_MAX = 1 << 20
# The kinds of content, by the names that WANDB_SHIM_SKIP knows.
CONFIG, METRICS = "config", "metrics"
# How deep a value may be nested, and how long one text may be.
_DEPTH_MAX = 20
_VALUE_MAX = 1 << 16
# Integers from here on become text, and so do infinity and nan: JSON or its readers have no number for them.
_INTEGER_MAX = 1 << 63
_FUNCTIONS = ("function", "method", "builtin_function_or_method", "cython_function_or_method")

# Loaded as soon as the script imports wandb.
_ATTACH = f"{__package__}.attach"
_SKIPPED = frozenset(environment.comma_separated(os.environ.get(environment.SKIP, "")))

# Kinds that a hook has failed with, and that are not tried again.
_failed: "set[str]" = set()
# Frameworks whose own patches tell their metrics; and directories for TensorBoard, each with how the names begin that
# such a patch tells.
_tellers: "set[str]" = set()
_written_by_tellers: "dict[str, str]" = {}


def config(values: "Any", *, under: str = "args", without: "Sequence[str]" = ()) -> None:
    """Tell the program's configuration, or what has become known of it since.

    Args:
        values: A mapping, or an object of fields. They replace those of the same names that were told before.
        under: The key of the run's config below which they stand.
        without: Names that were told before and no longer belong to the configuration.
    """
    way = _way(CONFIG)
    if way is not None:
        budget = Budget()
        found = budget.plain(values)
        values = found if isinstance(found, dict) else {"value": found}
        said = {"values": values, "without": list(without), "under": under, "cut": budget.cut}
        way.tell({"tell": "content", "what": CONFIG, **said})


def metrics(row: "Mapping[str, Any]", *, step: "int | None" = None, at: float = 0.0) -> None:
    """Tell a row of metrics, as a framework gives it to its loggers.

    Args:
        row: Numbers by name, also numpy's, and tensors of one element on the CPU. Whatever is no number is left out.
        step: The run's own step; None where the row names its step among its metrics, as most frameworks do.
        at: The time of the row, in seconds since the epoch; 0 for now.
    """
    way = _way(METRICS)
    if way is not None:
        import time

        values = numbers(row)
        if values:
            _tell_metrics(way, {"values": values, "step": step, "time": at or time.time()})


def event(directory: str, values: "Mapping[str, float]", *, step: int = 0, time: float = 0.0) -> None:
    """Tell what one call has written for TensorBoard; the companion makes rows of it.

    Args:
        directory: The absolute directory into which it was written.
        values: Plain numbers by their names in TensorBoard; empty where only the directory is told.
        step: TensorBoard's own step.
        time: Seconds since the epoch.
    """
    way = _way(METRICS)
    if way is not None:
        _tell_metrics(way, {"event": {"directory": directory, "values": values, "step": step, "time": time}})


def tells(framework: str) -> None:
    """A framework's own patch tells its metrics, and says so before the first: TensorBoard's are not told then."""
    _tellers.add(framework)


def tells_in(directory: str, prefix: str = "") -> None:
    """Leave out what is written for TensorBoard to this absolute directory, as a framework's own patch tells it.

    Args:
        directory: What the framework writes to.
        prefix: How the names of what the patch tells begin; other names in the directory are the script's.
    """
    _written_by_tellers[directory] = prefix


def is_told(directory: str, name: str = "") -> bool:
    """Whether a framework's own patch tells what is written for TensorBoard in a directory, under a name or at all."""
    prefix = _written_by_tellers.get(directory)
    return bool(_tellers) or (prefix is not None and (not name or name.startswith(prefix)))


def summary(values: "Mapping[str, Any]") -> None:
    """Tell figures of the whole run; the last figure of a name counts."""
    way = _way(METRICS)
    if way is not None:
        _tell_metrics(way, {"summary": Budget().plain(values)})


def define(name: str, **how: "Any") -> None:
    """Tell before the first row over which metric others are drawn, as `wandb.Run.define_metric` takes it."""
    way = _way(METRICS)
    if way is not None:
        _tell_metrics(way, {"define": {"name": name, **how}})


def define_best(name: str, metric: str, *, lowest: "frozenset[str]", highest: "frozenset[str]") -> None:
    """Tell whether a metric's lowest or highest value is its summary, as W&B's callbacks for boosting do.

    Args:
        name: The metric's name in the rows.
        metric: The library's name for it.
        lowest: Names of metrics whose lowest value is the best; that of every loss is.
        highest: Names of metrics whose highest value is the best.
    """
    if "loss" in metric.lower() or metric.lower() in lowest:
        define(name, summary="min")
    elif metric.lower() in highest:
        define(name, summary="max")


def wanted(kind: str) -> bool:
    """Whether this process has a run to which content of this kind, CONFIG or METRICS, belongs."""
    return _way(kind) is not None


def numbers(row: "Mapping[str, Any]") -> "dict[str, int | float]":
    """The numbers of a row, as plain ones; the rest is left out."""
    return {str(name): number for name, value in row.items() if (number := as_number(value)) is not None}


def as_number(value: "Any") -> "int | float | None":
    """A metric's value as a plain number; None for what is none, or has several elements."""
    if type(value) in (int, float):
        return value  # type: ignore[no-any-return]
    if isinstance(value, int):  # a bool, too
        return int(value)
    if isinstance(value, float):
        return float(value)
    try:
        if hasattr(type(value), "shape") and value.shape in ((), (1,)):  # numpy, torch, TensorFlow, JAX
            item = value.item() if hasattr(value, "item") else float(value)
            return item if isinstance(item, int | float) else None
    except Exception:  # a tensor on a device that is gone, a lazy one
        return None
    return None


class Budget:
    """How much of a configuration is taken.

    Attributes:
        cut: Whether something was left out.
    """

    def __init__(self, keys: int = KEYS_MAX, text: int = TEXT_MAX) -> None:
        self.cut = False
        self._keys = keys
        self._text = text

    def plain(self, value: "Any", depth: int = 0) -> "Any":
        """The value as dicts, lists, text and numbers alone; whatever is none of these becomes text."""
        self._keys -= 1
        if hasattr(type(value), "__members__"):  # a member of an enumeration: the word that people type for it
            value = value.value if isinstance(value.value, str) else value.name
        elif type(value).__module__.startswith("omegaconf."):
            value = _as_written(value)
        elif type(value).__module__ == "numpy" and getattr(value, "size", 0) > 1:
            value = value.tolist() if value.size <= self._keys else as_text(value)
        if value is None or type(value) is bool:
            return value
        if isinstance(value, str):
            return self._cut_off(str(value))
        number = as_number(value)
        if number is not None:
            has_word = number - number == 0 if isinstance(number, float) else abs(number) < _INTEGER_MAX
            return number if has_word else self._cut_off(str(number))
        fields = _fields(value)
        listed = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        if fields is None and not isinstance(listed, list | tuple):
            return self._cut_off(as_text(value))
        if depth >= _DEPTH_MAX:
            self.cut = True
            return self._cut_off(type(value).__qualname__)
        return self._list(listed, depth) if fields is None else self._mapping(fields, depth)

    def _mapping(self, value: "Mapping[str, Any]", depth: int) -> "dict[str, Any]":
        found: dict[str, Any] = {}
        for name in value.keys():  # noqa: SIM118 - some have no more than what `dict(value)` needs
            if not self._has_left():
                break
            try:
                held = value[name]
            except Exception:  # a mapping that promises values which it cannot give
                continue
            found[self._cut_off(str(name))] = self.plain(held, depth + 1)
        return found

    def _list(self, value: "Iterable[Any]", depth: int) -> "list[Any]":
        found = []
        for held in value:
            if not self._has_left():
                break
            found.append(self.plain(held, depth + 1))
        return found

    def _has_left(self) -> bool:
        self.cut = self.cut or self._keys <= 0 or self._text <= 0
        return self._keys > 0 and self._text > 0

    def _cut_off(self, text: str) -> str:
        left = max(min(self._text, _VALUE_MAX), 0)
        self._text -= len(text)
        self.cut = self.cut or len(text) > left
        # An argument of bytes that are no UTF-8 has halves of characters in it, which go into no record.
        return text[:left].encode("utf-8", "backslashreplace").decode()


def _fields(value: "Any") -> "Mapping[Any, Any] | None":
    """The content of a mapping, or of an object that is no more than its fields; None for anything else."""
    kind = type(value)
    if isinstance(value, dict) or (hasattr(kind, "keys") and hasattr(kind, "__getitem__")):
        return value  # type: ignore[no-any-return]
    known = kind.__name__ in ("Namespace", "SimpleNamespace")
    if known or any(hasattr(kind, name) for name in ("__attrs_attrs__", "__pydantic_core_schema__")):
        return {name: held for name, held in vars(value).items() if not name.startswith("_")}
    declared = getattr(kind, "__dataclass_fields__", ())
    if not declared:
        return None
    # Where there is a `__dict__`, not by getattr: a field may be a property.
    held = getattr(value, "__dict__", None) or {name: getattr(value, name, None) for name in declared}
    return {name: held[name] for name in held if not name.startswith("_")}


def _as_written(value: "Any") -> "Any":
    """A container of OmegaConf as plain values, with `???` and `${…}` as they are written: nothing is resolved."""
    containers = sys.modules["omegaconf"].OmegaConf
    return containers.to_container(value, resolve=False) if containers.is_config(value) else value


def as_text(value: "Any") -> str:
    """A text for a value that JSON has no form for, without an address in memory, which differs from run to run.

    Attributes are looked up in the value's type first: some objects open a file, or load a model, when they are asked.
    """
    kind = type(value)
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(value, type) or kind.__name__ in _FUNCTIONS:
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(kind, "fileno") or kind.__name__.endswith("LazyFile"):  # argparse.FileType, click.File
        return str(getattr(value, "name", kind.__qualname__))
    if hasattr(kind, "shape") and hasattr(kind, "dtype"):  # neither moved from its device nor printed
        return f"{kind.__qualname__}{tuple(value.shape)}"
    try:
        text = str(value)
    except Exception:
        return kind.__qualname__
    return kind.__qualname__ if " at 0x" in text else text


def failed(what: str, error: BaseException) -> None:
    """Say in one line that a hook could not tell what it has seen; the hook is not tried again."""
    if what not in _failed:
        _failed.add(what)
        from .. import log

        log.warn(f"{what} is not in the run: {type(error).__name__}: {error}")


def has_failed(what: str) -> bool:
    """Whether a hook of that name has failed before."""
    return what in _failed


def _tell_metrics(way: "channel.Channel", said: "dict[str, Any]") -> None:
    # A script that has imported wandb may still ask for the run, and count its steps from 0: the row waits till the
    # end.
    way.tell({"tell": "content", "what": METRICS, "waits": "wandb" in sys.modules, **said})


def _way(kind: str) -> "channel.Channel | None":
    way = channel.current()
    if way is None or kind in _SKIPPED:
        return None
    attach = sys.modules.get(_ATTACH)
    return None if attach is not None and attach.has_asked() else way


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any
