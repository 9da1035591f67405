"""The configuration and the metrics that the script's libraries tell (script/content.py), logged to the run.

Both stop where the script asks for the run: from then on the script decides what it logs, and the configuration that
was taken from its parser gives way to the script's own.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from .. import log
from ..script import attached
from ..script.content import CONFIG, METRICS
from . import tensorboard, throughput


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Last words of names whose values are secret, unless the word before is harmless …
_SECRET = _set_of(
    """key keys apikey token tokens auth authorization bearer cookie
    pwd password passwd passphrase secret secrets"""
)
_SECRET_ANYWHERE = _set_of("password passwd passphrase secret secrets credential credentials webhook")
_HARMLESS_BEFORE = _set_of(
    """bos eos pad unk sep cls mask special additional image video audio stop prompt end start new max min num total
    metric sort group partition primary foreign text label column dict state json cache batch data input output
    feature target query rng prng seed"""
)
# … or the word stands alone …
_HARMLESS_ALONE = _set_of("keys tokens")
# … or a word follows that says that the value names a file.
_FILES = _set_of("file path dir directory name")
_WORDS = re.compile(r"[_\-. ]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Passwords in a server's address, in a query or in a database's connection; and keys whose form shows whose they are.
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]+@")
_PARAMETER = re.compile(r"(?i)\b((?:\w*[_-])?(?:password|passwd|pwd|secret|token|api_?key|sig|signature)=)[^&;\s]+")
_KEY = re.compile(
    r"\b(?:hf_\w{20,}|sk-[\w-]{20,}|gh[oprsu]_\w{30,}|github_pat_\w{30,}|AKIA[0-9A-Z]{16}"
    r"|xox[a-z]-[\w-]{10,}|glpat-[\w-]{20,}|wandb_v\d_\w{20,})"
)
MASK = "********"
# The fewest characters of a secret of the environment: a shorter one may well be part of another word.
_SECRET_MIN = 8
# Seconds that the end of the run waits until everything told is logged.
_END_BOUND = 30.0
# Seconds between two looks at rows that wait for more values.
_LOOK = 1.0
# The most rows that wait for the end of a script which may still ask for the run: with more it hardly will.
_WAITING_MAX = 10_000


class Content:
    """Logs what is told to the run, in a thread of its own, in the order of the telling."""

    def __init__(self) -> None:
        self._run: Any = None
        self._told: deque[dict[str, Any]] = deque()
        # What waits for the end of the script, which may still ask for the run.
        self._waiting: list[dict[str, Any]] = []
        self._config: dict[str, Any] = {}
        # Keys of the configuration that were read from the words of the command line: what a parser tells replaces
        # them.
        self._guessed: set[str] = set()
        self._changed = threading.Condition()
        self._busy = self._over = False
        self._throughput = throughput.Throughput()
        self._events = tensorboard.Events()
        self.has_rows = False

    def begin(self, run: Any) -> None:
        """Log to this run, which is open, from now on."""
        self._run = run
        threading.Thread(target=self._work, name="content", daemon=True).start()

    def take(self, message: dict[str, Any]) -> None:
        """Take what a patch in the script's process tells, and return at once."""
        with self._changed:
            if self._over:
                return
            if message.get("waits") and len(self._waiting) < _WAITING_MAX:
                self._waiting.append(message)
                return
            if message["what"] == METRICS:
                self._told += self._waiting
                self._waiting.clear()
            self._told.append(message)
            self._changed.notify_all()

    def take_first(self, message: dict[str, Any]) -> None:
        """Take, before `begin`, what is to be logged before all that was told so far."""
        with self._changed:
            if not self._over:
                self._told.appendleft(message)

    def stop(self) -> None:
        """Log nothing more, since the script asks for the run, and remove what was logged of its configuration."""
        with self._changed:
            first, self._over = not self._over, True
            self._waiting.clear()
            self._told.clear()
            self._changed.wait_for(lambda: not self._busy, _END_BOUND)
        if first and self._config and self._run is not None:
            with contextlib.suppress(Exception):  # this release has no way to do it: the configuration stays
                attached.remove_from_config(self._run, list(self._config))

    def finish(self) -> None:
        """Log what has waited for the end of the script, and wait within a bound until everything is logged."""
        with self._changed:
            if not self._over:
                self._told += [*self._waiting, {"what": METRICS, "ends": True}]
                self._waiting.clear()
                self._changed.notify_all()
                if self._run is not None:
                    self._changed.wait_for(lambda: not self._told and not self._busy, _END_BOUND)
                    self._log_throughput()
                self._over = True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._told, _LOOK if self._events.waits() else None)
                message = self._told.popleft() if self._told else {"what": METRICS}
                self._busy = True
            try:
                self._log(message)
            except Exception as error:
                log.debug(f"{message['what']} was not logged: {type(error).__name__}: {error}")

    def _log(self, message: dict[str, Any]) -> None:
        if message["what"] == CONFIG:
            self._log_config(message)
        elif "define" in message:
            self._run.define_metric(**message["define"])
        elif "summary" in message:
            self._run.summary.update(message["summary"])
        elif "values" in message:
            self._log_row({**message["values"], "_timestamp": message["time"]}, message["step"])
        else:
            self._log_events(message)

    def _log_events(self, message: dict[str, Any]) -> None:
        """Log the rows of TensorBoard that an event, the time, or the end of the script has completed."""
        now = time.monotonic()
        if "event" in message:
            rows = self._events.take(message["event"], now)
        else:
            rows = self._events.rest() if "ends" in message else self._events.due(now)
        for row in rows:
            self._log_row(row)

    def _log_row(self, row: dict[str, Any], step: int | None = None) -> None:
        self.has_rows = True
        self._throughput.note(row, row["_timestamp"])
        self._run.log(row, step=step)

    def _log_throughput(self) -> None:
        figures = self._throughput.figures()
        with contextlib.suppress(Exception):  # the figures are an extra
            if figures and self._run.summary.get(throughput.KEY) is None:
                self._run.summary[throughput.KEY] = figures

    def _log_config(self, message: dict[str, Any]) -> None:
        under = message["under"]
        known = {} if under in self._guessed else self._config.get(under, {})
        (self._guessed.add if message.get("guessed") else self._guessed.discard)(under)
        kept = {name: value for name, value in known.items() if name not in message.get("without", ())}
        values = masked({**kept, **message["values"]})
        if message["cut"]:
            log.warn(f"the configuration of the script is too large: not all of it is in the run's config.{under}")
        if self._config.get(under, values) != values:  # without this, wandb-core would join old and new values
            with contextlib.suppress(Exception):  # this release has no way to do it
                attached.remove_from_config(self._run, [under])
        self._config[under] = values
        self._run.config.update({under: values}, allow_val_change=True)


def masked(value: Any, name: str = "", *, environ: Mapping[str, str] = os.environ) -> Any:
    """A configuration with its secrets masked: known by their names, by the form of the value, or from the environment.

    Args:
        value: A value of mappings, lists, text and numbers.
        name: The value's own name, which may show that it is secret.
        environ: The environment.
    """
    known = {held for key, held in environ.items() if len(held) >= _SECRET_MIN and is_secret(key)}
    return _masked(value, is_secret(name), known)


def _masked(value: Any, hides: bool, known: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _masked(held, hides or is_secret(key), known) for key, held in value.items()}
    if isinstance(value, list):
        return [_masked(held, hides, known) for held in value]
    if not isinstance(value, str) or not value:
        return value
    if hides:
        return MASK
    for secret in known:
        value = value.replace(secret, MASK)
    value = _PASSWORD.sub(rf"\1:{MASK}@", value)
    return _KEY.sub(MASK, _PARAMETER.sub(rf"\1{MASK}", value))


def is_secret(name: str) -> bool:
    """Whether a value of this name is to be masked: that of `hub_token`, not of `pad_token` and `api_key_file`."""
    words = [word.lower() for word in _WORDS.split(name) if word]
    if not words or words[-1] in _FILES or (len(words) == 1 and words[0] in _HARMLESS_ALONE):
        return False
    if _SECRET_ANYWHERE.intersection(words):
        return True
    return words[-1] in _SECRET and not _HARMLESS_BEFORE.intersection(words[-2:-1])
