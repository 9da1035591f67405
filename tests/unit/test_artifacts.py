"""The journal beside the checkpoints, and what becomes of a checkpoint that cannot be logged."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from shim import install, log
from shim.checkpoint import JOURNAL, JOURNALS, Checkpoint, as_wandb_keeps, clean
from shim.companion import committer, journal
from shim.companion.committer import Committer
from shim.companion.contents import contents_of
from shim.companion.journal import note, uncommitted


def checkpoint(directory: Path, step: int) -> Checkpoint:
    """A checkpoint that is on disk."""
    path = directory / f"iter_{step:07d}"
    path.mkdir(exist_ok=True)
    (path / "weights").write_text("weights")
    return Checkpoint(str(path), "ckpts", step, "iteration", (path.name,), {"loss": 0.5})


def test_numbers_that_json_does_not_know_are_text() -> None:
    numbers = {"a": float("inf"), "b": [float("-inf"), 1.5], "c": {"d": float("nan"), "e": 1, "f": "x", "g": None}}
    kept = {"a": "Infinity", "b": ["-Infinity", 1.5], "c": {"d": "NaN", "e": 1, "f": "x", "g": None}}
    assert as_wandb_keeps(numbers) == kept


def test_what_was_saved_and_not_committed_comes_back_as_it_was(tmp_path: Path) -> None:
    first, second, third = (checkpoint(tmp_path, step) for step in (1, 2, 3))
    for each in (first, second, third):
        note(each, "saved")
    note(second, "committed")
    assert uncommitted(str(tmp_path)) == [first, third]


def test_a_checkpoint_saved_again_after_its_commit_is_not_committed(tmp_path: Path) -> None:
    first = checkpoint(tmp_path, 1)
    for state in ("saved", "committed", "saved"):
        note(first, state)
    assert uncommitted(str(tmp_path)) == [first]


def test_a_checkpoint_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    first, second = checkpoint(tmp_path, 1), checkpoint(tmp_path, 2)
    for each in (first, second):
        note(each, "saved")
    shutil.rmtree(first.path)
    assert uncommitted(str(tmp_path)) == [second]


@pytest.mark.parametrize(
    "line",
    [
        '{"state": "sav',
        "null",
        "[]",
        '{"state": "saved"}',
        '{"state": "saved", "checkpoint": {"path": "/", "aliases": []}}',
        '{"state": "saved", "checkpoint": {"path": "/", "aliases": [], "of a later release": 1}}',
        '{"state": "saved", "checkpoint": {"path": "/x/..", "collection": "c", "step": 1, "aliases": []}}',
        '{"state": "saved", "checkpoint": {"path": "/", "collection": "c", "step": 1, "aliases": []}}',
        '{"state": "saved", "checkpoint": {"path": "iter_0000001", "collection": 1, "step": 1, "aliases": []}}',
        '{"state": "saved", "checkpoint": {"path": "iter_0000001", "collection": "c", "step": 1e999, "aliases": []}}',
        '{"state": "saved", "checkpoint": {"path": "iter_0000001", "collection": "c", "step": 1, "aliases": [[1]]}}',
        pytest.param("[" * 100_000, id="nested"),
        pytest.param(
            '{"state": "saved", "checkpoint": {"path": "iter_0000001", "collection": "c", "step": 7, "aliases": [], '
            '"metrics": {"text": "' + "m" * 10_000_000 + '"}}}',
            id="10 MB",
        ),
        "\ud800 \x00 \x1b",
    ],
)
def test_a_line_that_is_not_understood_does_not_hide_the_others(tmp_path: Path, line: str) -> None:
    first, second = checkpoint(tmp_path, 1), checkpoint(tmp_path, 2)
    note(first, "saved")
    with (tmp_path / JOURNAL).open("a", errors="surrogatepass") as file:
        file.write(line + "\n")
    note(second, "saved")
    assert uncommitted(str(tmp_path)) == [first, second]


def test_a_line_cut_short_by_a_kill_does_not_swallow_the_next(tmp_path: Path) -> None:
    first, second = checkpoint(tmp_path, 1), checkpoint(tmp_path, 2)
    note(first, "saved")
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"state": "comm')
    note(second, "saved")
    assert uncommitted(str(tmp_path)) == [first, second]


def test_there_is_nothing_to_recover_without_a_journal(tmp_path: Path) -> None:
    assert uncommitted(str(tmp_path)) == []
    assert uncommitted(str(tmp_path / "missing")) == []


def test_two_processes_may_write_one_journal(tmp_path: Path) -> None:
    # What O_APPEND promises holds for one write: a line, however long, must be one.
    script = (
        "import sys; from shim.checkpoint import Checkpoint; from shim.companion.journal import note\n"
        "for step in range(200): note(Checkpoint(sys.argv[1] + '/x', 'c', step, metrics={'text': 'm' * 9000}), 'saved')"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=install.SOURCE.parent) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    steps = [json.loads(line)["checkpoint"]["step"] for line in lines if line]
    assert sorted(steps) == sorted([*range(200), *range(200)])


def test_a_journal_that_was_moved_speaks_of_the_checkpoints_beside_it(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    note(checkpoint(before, 1), "saved")
    before.rename(after)
    assert [found.path for found in uncommitted(str(after))] == [str(after / "iter_0000001")]


@pytest.mark.parametrize("place", [".", "model", "checkpoints/step_1"])
def test_a_journal_may_lie_above_its_checkpoints_or_in_one(tmp_path: Path, place: str) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for name in JOURNALS:
        (before / place).mkdir(parents=True, exist_ok=True)
        note(Checkpoint(str((before / place).resolve()), "c", 1, journal=str(before / name)), "saved")
        before.rename(after)
        (found,) = uncommitted(str(after))
        assert (found.path, found.journal) == (str((after / place).resolve()), str(after / name))
        note(found, "committed")
        assert uncommitted(str(after)) == []
        shutil.rmtree(after)


def test_a_journal_speaks_of_nothing_beside_its_directory(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for path in (tmp_path, tmp_path / "other"):
        path.mkdir(exist_ok=True)
        note(Checkpoint(str(path), "c", 1, journal=str(inner / JOURNAL)), "saved")
    assert uncommitted(str(inner)) == []


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "FIFO", "directory", "socket"])
def test_a_journal_that_is_no_file_is_none(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    elsewhere, place = tmp_path / "elsewhere", tmp_path / JOURNAL
    if kind == "link":
        elsewhere.write_text("")
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "FIFO":
            os.mkfifo(place)
        elif kind == "directory":
            place.mkdir()
        elif kind == "socket":
            listener.bind(str(place))
        else:
            place.symlink_to(elsewhere)
        reader = os.open(place, os.O_RDONLY | os.O_NONBLOCK) if kind == "FIFO" else -1  # somebody listens
        note(checkpoint(tmp_path, 1), "saved")
        assert uncommitted(str(tmp_path)) == []
        if reader >= 0:
            assert os.read(reader, 1) == b""
            os.close(reader)
    assert not elsewhere.exists() or elsewhere.read_text() == ""
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("line", ["x" * 5000 + "\n", "x" * 10_000_000])
def test_a_journal_of_any_size_takes_little_memory(tmp_path: Path, line: str) -> None:
    (tmp_path / JOURNAL).write_text(line * (70_000_000 // len(line)))
    note(checkpoint(tmp_path, 1), "saved")
    tracemalloc.start()
    found = uncommitted(str(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one.step for one in found] == [1]
    assert peak < 10_000_000


def test_of_many_checkpoints_the_newest_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_CHECKPOINTS_MAX", 2)
    for step in (1, 2, 3):
        note(checkpoint(tmp_path, step), "saved")
    assert [one.step for one in uncommitted(str(tmp_path))] == [2, 3]
    assert [row["step"] for row in journal.rows(str(tmp_path))] == [2, 3]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_a_directory_of_root_has_no_journal_of_others(tmp_path: Path) -> None:
    program = (
        "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "note(Checkpoint(sys.argv[1] + '/iter_0000001', 'c', 1), 'saved'); print(uncommitted(sys.argv[1]))"
    )
    imports = "from shim.checkpoint import Checkpoint; from shim.companion.journal import note, uncommitted\n"
    directory = tmp_path / "of root"
    directory.mkdir(mode=0o755)
    command = [sys.executable, "-c", imports + program, str(directory)]
    done = subprocess.run(command, cwd=install.SOURCE.parent, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert list(directory.iterdir()) == []


def test_a_directory_that_cannot_be_written_has_no_journal() -> None:
    # Not even root may write there.
    note(Checkpoint("/proc/self/iter_0000001", "ckpts", 1), "saved")
    assert uncommitted("/proc/self") == []


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [("ckpts", "ckpts"), ("my run/é:1", "my-run-1"), ("...", "..."), ("///", "checkpoint"), ("a_b-c.d", "a_b-c.d")],
)
def test_names_are_what_wandb_accepts(name: str, cleaned: str) -> None:
    assert clean(name) == cleaned


def test_the_state_of_a_directory_is_that_of_all_below_it(tmp_path: Path) -> None:
    first = checkpoint(tmp_path, 1)
    before = contents_of(first.path).state
    assert before["files"] == 1
    deep = Path(first.path, "policy", "weights")
    deep.mkdir(parents=True)
    (deep / "shard").write_text("x")
    after = contents_of(first.path).state
    assert after["files"] == 2
    assert after["modified_ns"] >= before["modified_ns"]
    os.utime(deep / "shard", ns=(2**62, 2**62))
    assert contents_of(first.path).state["modified_ns"] == 2**62


def test_a_single_file_is_a_checkpoint_too(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_text("12345")
    state = contents_of(str(tmp_path / "last.ckpt")).state
    assert (state["files"], state["bytes"]) == (1, 5)


def test_a_checkpoint_that_cannot_be_made_an_artifact_is_one_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # not installed, whatever this interpreter has
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    warn = log.warn

    def warn_slowly(message: str) -> None:  # whoever waits for the end must find the line there nevertheless
        time.sleep(0.2)
        warn(message)

    monkeypatch.setattr(log, "warn", warn_slowly)
    committer, first = Committer(), checkpoint(tmp_path, 1)
    committer.begin(None)
    for _ in range(2):
        committer.commit(first)
    committer.drain()
    assert capfd.readouterr().err.count(first.path) == 1
    assert uncommitted(str(tmp_path)) == [first]


def test_the_wait_at_the_end_is_bounded_and_names_what_is_left(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.companion.committer.make_artifact", lambda checkpoint, state: time.sleep(60))
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "0.2")
    committer, first = Committer(), checkpoint(tmp_path, 1)
    start = time.monotonic()
    committer.commit(first)
    committer.drain()
    assert time.monotonic() - start < 5
    assert capfd.readouterr().err.count(first.path) == 1


@pytest.mark.parametrize(
    ("value", "bound"), [("", 120), ("0", 120), ("inf", 120), ("nonsense", 120), ("7", 7), ("900", 120)]
)
def test_the_wait_at_the_end_is_no_longer_than_wandbs_own(
    value: str, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", value)
    assert committer._drain_bound(committer.DRAIN_BOUND) == bound
