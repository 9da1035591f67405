"""How wide a line is, and how an age is said."""

from __future__ import annotations

import pytest

from shim import columns


def test_a_path_stays_whole_and_what_follows_is_indented(monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/a" * 50
    text = f"ok  home  {path} is whole, or so it seems to those who have looked at it from where they stand"
    monkeypatch.setenv("COLUMNS", "80")
    lines = columns.wrapped(text).splitlines()
    assert any(path in line for line in lines)
    assert all(len(line) <= 80 or path in line for line in lines)
    assert {line[:4] for line in lines[1:]} == {"    "}
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    monkeypatch.setenv("COLUMNS", "5")
    assert columns.width() == 40


def test_what_a_pipe_gets_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.__stdout__", None)
    assert columns.wrapped("word " * 100) == ("word " * 100).strip()
    assert columns.cut("word" * 100) == "word" * 100


def test_a_line_is_cut_at_the_width() -> None:
    assert (columns.cut("x" * 80, 80), columns.cut("x" * 81, 80)) == ("x" * 80, "x" * 78 + " …")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7380, "2 h 3 min"), (273600, "3 d 4 h")],
)
def test_an_age_is_said_in_two_figures_or_so(seconds: float, said: str) -> None:
    assert columns.age(seconds) == said
