"""What a run shows of a configuration: plain values, within bounds, without secrets."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import functools
import json
import math
import os
import pathlib
import sys
import types
from typing import Any

import pytest

from shim.companion.content import MASK, is_secret, masked
from shim.companion.throughput import Throughput
from shim.companion.words import config_files, key_values
from shim.patches.parsed import is_of_the_command_line
from shim.script.content import KEYS_MAX, TEXT_MAX, Budget


class TouchedError(BaseException):
    """Not one that `except Exception` hides."""


class Colour(enum.Enum):
    RED = 1
    BLUE = "azure"


@dataclasses.dataclass
class Optimizer:
    lr: float = 0.1
    colour: Colour = Colour.RED
    _private: int = 0

    @property
    def state(self) -> object:
        raise TouchedError("a property was asked")


@dataclasses.dataclass
class Slotted:
    __slots__ = ("size",)
    size: int


class Lazy:
    """What opens at the first look."""

    def __getattr__(self, name: str) -> object:
        raise TouchedError(f"{name} was asked for")

    def __str__(self) -> str:
        return "lazy"


class Broken:
    def __str__(self) -> str:
        raise ValueError


class Promises(dict[str, object]):
    def __getitem__(self, name: str) -> object:
        if name == "missing":
            raise LookupError(name)
        return super().__getitem__(name)


class Tensor:
    shape = (2, 3)
    dtype = "float32"

    def __str__(self) -> str:
        raise TouchedError("moved to the CPU")


PLAIN: dict[str, tuple[Any, object]] = {
    "nothing": (None, None),
    "a truth": (True, True),
    "a number": (0.5, 0.5),
    "a number that is none": (math.nan, "nan"),
    "infinity": (-math.inf, "-inf"),
    "more than JSON can say": (1 << 70, str(1 << 70)),
    "a large number": (1e300, 1e300),
    "text": ("a", "a"),
    "halves of characters": ("\udcff", "\\udcff"),
    "bytes": (b"a", "b'a'"),
    "a path": (pathlib.Path("/a/b"), "/a/b"),
    "an enumeration's number": (Colour.RED, "RED"),
    "an enumeration's word": (Colour.BLUE, "azure"),
    "a list": ([1, (2, "b")], [1, [2, "b"]]),
    "a set": ({3, 1, 2}, [1, 2, 3]),
    "a mapping": ({1: {"a": None}}, {"1": {"a": None}}),
    "a mapping that only promises": (Promises(missing=1, there=2), {"there": 2}),
    "a dataclass": (Optimizer(), {"lr": 0.1, "colour": "RED"}),
    "a dataclass of slots": (Slotted(3), {"size": 3}),
    "a dataclass itself": (Optimizer, f"{__name__}.Optimizer"),
    "a namespace": (argparse.Namespace(a=types.SimpleNamespace(b=1)), {"a": {"b": 1}}),
    "a function": (nothing := lambda: None, f"{__name__}.<lambda>"),
    "a method": (Broken().__str__, f"{__name__}.Broken.__str__"),
    "a builtin": (len, "builtins.len"),
    "a partial": (functools.partial(nothing), "partial"),
    "a file": (sys.__stdout__, "<stdout>"),
    "an object": (object(), "object"),
    "an object that looks lazily": (Lazy(), "lazy"),
    "an object that has no words": (Broken(), "Broken"),
    "a tensor": (Tensor(), "Tensor(2, 3)"),
}


@pytest.mark.parametrize(("value", "expected"), PLAIN.values(), ids=PLAIN)
def test_a_value_is_plain(value: Any, expected: object) -> None:
    budget = Budget()
    found = budget.plain(value)
    assert (found, type(found), budget.cut) == (expected, type(expected), False)


def endless() -> list[Any]:
    found: list[Any] = [1]
    found += [found, found, {"again": found}]
    return found


DEEPEST: list[Any] = []
BOUNDS: dict[str, Any] = {
    "keys": {str(number): number for number in range(2 * KEYS_MAX)},
    "elements": list(range(2 * KEYS_MAX)),
    "text": ["x" * 60_000] * 100,
    "one text": "x" * TEXT_MAX,
    "names": {"x" * 60_000 + str(number): 1 for number in range(100)},
    "itself": endless(),
    "depth": functools.reduce(lambda inner, _: [inner], range(5000), DEEPEST),
}


@pytest.mark.parametrize("value", BOUNDS.values(), ids=BOUNDS)
def test_what_is_too_large_is_cut_and_said(value: Any) -> None:
    budget = Budget()
    text = json.dumps(budget.plain(value))
    assert budget.cut
    assert len(text) < TEXT_MAX + 100 * KEYS_MAX
    assert text.count(",") <= KEYS_MAX


SECRET = """
hub_token HF_TOKEN apiKey APIKey api_key api-key wandb_api_key api_keys aws_secret_access_key secret client.secret
password db_password passwd pwd passphrase auth use_auth_token credentials key private_key ssh_key slack_webhook_url
authorization token access_tokens
"""
HARMLESS = """
lr pad_token eos_token max_tokens num_tokens tokens keys sort_key primary_key label_key api_key_file token_path
password_file tokenizer tokenizer_name keyboard monkey author secretary key_dim token_count prng_key image_keys
"""


@pytest.mark.parametrize("name", SECRET.split())
def test_a_name_of_a_secret_hides_its_value(name: str) -> None:
    assert is_secret(name)
    assert masked({name: "value", "inner": [{name: {"user": ["value"]}}]}, environ={}) == {
        name: MASK,
        "inner": [{name: {"user": [MASK]}}],
    }
    assert masked({name: 5, "": None}, environ={}) == {name: 5, "": None}


@pytest.mark.parametrize("name", HARMLESS.split())
def test_a_harmless_name_hides_nothing(name: str) -> None:
    assert masked({name: "value"}, environ={}) == {name: "value"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://me:pass@db/x", f"postgres://me:{MASK}@db/x"),
        ("redis://:pass@db", f"redis://:{MASK}@db"),
        ("https://me@host/x:y@z", "https://me@host/x:y@z"),
        ("https://host/x?sig=abc&v=1", f"https://host/x?sig={MASK}&v=1"),
        ("host=db user=me password=abc", f"host=db user=me password={MASK}"),
        ("run hf_" + "a" * 34, f"run {MASK}"),
        ("sk-" + "a" * 40, MASK),
        ("hf_model", "hf_model"),
        ("max_tokens=5", "max_tokens=5"),
        ("--key the-secret-of-the-job", f"--key {MASK}"),
        ("short", "short"),
    ],
)
def test_a_secret_is_known_by_its_look_and_from_the_environment(text: str, expected: str) -> None:
    environ = {"MY_TOKEN": "the-secret-of-the-job", "OTHER_TOKEN": "short", "HOME": "postgres"}
    assert masked({"a": [text]}, environ=environ) == {"a": [expected]}


@pytest.mark.parametrize(
    ("argv", "words", "is_of_it"),
    [
        (["--lr", "1"], None, True),
        (["--lr", "1"], ["--lr", "1"], True),
        (["fit", "--lr", "1"], ["--lr", "1"], True),
        (["--lr", "1"], ("1",), True),
        (["--lr", "1"], [], False),
        ([], [], True),
        ([], None, True),
        ([], ["--lr", "1"], False),
        (["--lr", "1"], ["--lr", "2"], False),
        (["--lr", "1"], ["--lr=1"], False),
    ],
)
def test_words_are_of_the_command_line_or_not(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], words: Any, is_of_it: bool
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *argv])
    assert is_of_the_command_line(words) is is_of_it


def test_no_secret_of_this_process_is_in_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "SOME_API_KEY", "0123456789")
    assert masked({"a": "x0123456789"}) == {"a": f"x{MASK}"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a.yaml"], {"a": 1}),
        (["--config=a.yml"], {"a": 1}),
        (["--config", "a.json", "--lr", "1"], {"a": 1}),
        (["a.yaml", "--more", "deep/a.toml"], {"a.yaml": {"a": 1}, "deep/a.toml": {"b": {"c": 1}}}),
        (["--api-key-file", "a.yaml"], {}),
        (["--credentials=a.json"], {}),
        (["service_account.json", "token.json"], {}),
        (["large.json", "fifo.yaml", "directory.yaml", "none.yaml", "list.json", "wrong.json", "bytes.yaml"], {}),
        (["objects.yaml", "deep.yaml", "deep.json"], {}),
    ],
)
def test_files_that_the_command_line_names_are_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: object
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "directory.yaml").mkdir()
    os.mkfifo("fifo.yaml")
    for name, text in {
        **dict.fromkeys(("a.yaml", "a.yml"), "a: 1\n"),
        **dict.fromkeys(("a.json", "service_account.json", "token.json"), '{"a": 1}'),
        "deep/a.toml": "[b]\nc = 1\n",
        "large.json": json.dumps({"a": "x" * 70_000}),
        "list.json": "[1]",
        "wrong.json": "{",
        "objects.yaml": "a: !!python/object/apply:os.mkdir [made]\n",
        "deep.yaml": "[" * 30_000,
        "deep.json": "[" * 30_000,
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\n")
    if sys.version_info >= (3, 11) or "toml" not in "".join(words):
        assert config_files(words) == expected
    assert not (tmp_path / "made").exists()


def test_a_pipe_that_the_command_line_names_is_not_opened(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo.yaml")

    def touched(*words: object) -> int:
        raise TouchedError(words)

    monkeypatch.setattr(os, "open", touched)
    assert config_files(["fifo.yaml"]) == {}


def test_an_anchor_that_stands_for_more_than_memory_holds_is_cut(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 18))]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    assert len(json.dumps(config_files(["a.yaml"]))) < 1 << 20


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("--lr=0.5", {"lr": 0.5}),
        ("lr=1e-3", {"lr": 0.001}),
        ("--batch-size=8", {"batch-size": 8}),
        ("model.sizes=[1, 2]", {"model.sizes": [1, 2]}),
        ("name=x=y", {"name": "x=y"}),
        ("flag=", {"flag": ""}),
        ("compile=False", {"compile": False}),
        ("--lr", {}),
        ("s3://bucket/?a=b", {}),
        ("deep=" + "(" * 5000, {"deep": "(" * 5000}),
    ],
)
def test_words_of_keys_and_values_are_read(word: str, expected: object) -> None:
    assert key_values([word, "other"]) == expected


@pytest.mark.parametrize(
    ("rows", "steps_per_second"),
    [
        ([], None),
        ([({"loss": 1}, 0.0)], None),
        ([({"global_step": 1}, 0.0)], None),
        ([({"train/global_step": 10}, 5.0), ({"loss": 1}, 6.0), ({"train/global_step": 30}, 15.0)], 2.0),
        (
            [
                ({"global_step": 0}, 0.0),
                ({"global_step": 8}, 4.0),
                ({"global_step": 8}, 9.0),
                ({"global_step": 2}, 9.0),
            ],
            2.0,
        ),
        ([({"global_step": 1}, 1.0), ({"global_step": 2}, 1.0)], None),
    ],
)
def test_throughput_is_that_of_the_whole_run(
    rows: list[tuple[dict[str, float], float]], steps_per_second: float | None
) -> None:
    throughput = Throughput()
    for row, seconds in rows:
        throughput.note(row, seconds)
    expected = (
        {"steps_per_second": steps_per_second, "seconds_per_step": 1 / steps_per_second} if steps_per_second else {}
    )
    assert throughput.figures() == expected
