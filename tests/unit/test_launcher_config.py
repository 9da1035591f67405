from __future__ import annotations

from pathlib import Path

import pytest

from launcher.config import find_env_file, line_of, load_env_file, load_wandb_config
from launcher.errors import LauncherError
from shim.config import WandbConfig

FULL = """
[wandb]
project = "nemotron"
entity = "acme"
run_name = "first"
tags = ["a", "b c"]
notes = "two\\nlines"
group = "g"
job_type = "train"
inputs = ["data:v1"]
base_url = "https://wandb.example.com/"
sync_tensorboard = true

[base]
account = "research"
env_vars = { A = "1", B = "2" }
mounts = ["/a:/a"]

[cluster]
extends = "base"
executor = "slurm"
nodes = 1

[big]
extends = "cluster"
nodes = 8
env_vars = { B = "3", C = "4" }
mounts = ["/b:/b"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "env.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_of_the_wandb_section_is_read(tmp_path: Path) -> None:
    file = load_env_file(write(tmp_path, FULL))
    assert file is not None
    assert file.wandb is not None
    assert file.wandb.config == WandbConfig("nemotron", "acme", "first", ("a", "b c"), "two\nlines", "g", "train")
    assert file.wandb.inputs == ("data:v1",)
    assert file.wandb.base_url == "https://wandb.example.com"
    assert file.wandb.sync_tensorboard is True


def test_a_profile_inherits_and_its_own_keys_win(tmp_path: Path) -> None:
    file = load_env_file(write(tmp_path, FULL))
    assert file is not None
    big = file.profile("big")
    assert big.fields == {
        "account": "research",
        "executor": "slurm",
        "nodes": 8,
        "env_vars": {"A": "1", "B": "3", "C": "4"},
        "mounts": ["/b:/b"],
    }
    assert big.source == "env.toml [big]"
    assert file.profile("cluster").fields["env_vars"] == {"A": "1", "B": "2"}, "the base is left as it was"


def test_no_file_and_no_section_give_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_SHIM_ENV_FILE", raising=False)
    assert load_wandb_config(start=tmp_path) is None
    write(tmp_path, "[local]\nexecutor = 'local'\n")
    assert load_wandb_config(start=tmp_path) is None
    write(tmp_path, "[wandb]\n")
    config = load_wandb_config(start=tmp_path)
    assert config == WandbConfig()
    assert not config.enabled


@pytest.mark.parametrize("mark", ["pyproject.toml", ".git"])
def test_the_search_goes_up_to_the_project_root_and_no_further(tmp_path: Path, mark: str) -> None:
    root = tmp_path / "project"
    deep = root / "a" / "b"
    deep.mkdir(parents=True)
    outside = write(tmp_path, "[wandb]\n")
    assert find_env_file(deep) is None, "outside any project only the directory itself counts"
    assert find_env_file(tmp_path) == outside
    (root / mark).touch()
    assert find_env_file(deep) is None, "the file above the root is not ours"
    inside = write(root, "[wandb]\n")
    assert find_env_file(deep) == inside
    nearer = write(root / "a", "[wandb]\n")
    assert find_env_file(deep) == nearer


def test_the_variable_names_the_file_and_an_argument_wins(tmp_path: Path) -> None:
    named = tmp_path / "named.toml"
    named.write_text("[wandb]\nproject = 'named'\n")
    other = write(tmp_path, "[wandb]\nproject = 'other'\n")
    environ = {"WANDB_SHIM_ENV_FILE": str(named)}
    assert load_env_file(environ=environ).wandb.config.project == "named"  # type: ignore[union-attr]
    assert load_env_file(other, environ=environ).wandb.config.project == "other"  # type: ignore[union-attr]


# what is in the file: (text, profile asked for or None for [wandb], words that the message must have)
MISTAKES = {
    "unknown key": ("[wandb]\n\nprojct = 'x'\n", None, ["line 3", '"projct"', 'did you mean "project"?']),
    "unlike any key": ("[wandb]\nzzz = 1\n", None, ["line 2", '"zzz"', "known here: base_url, entity"]),
    "wrong type": ("[wandb]\nproject = 3\n", None, ["line 2", '"project"', "must be text, found a number"]),
    "text for a list": ("[wandb]\ntags = 'a'\n", None, ["line 2", "a list of texts, found text"]),
    "number in a list": ("[wandb]\ntags = ['a', 1]\n", None, ["line 2", "a list of texts"]),
    "comma in a tag": ("[wandb]\ntags = ['a,b']\n", None, ["line 2", '"a,b" has a comma']),
    "no expression": (
        "[wandb]\n[wandb.metrics]\nx = '('\n",
        None,
        ["line 3", '"x" in [wandb.metrics] is no regular'],
    ),
    "no group": ("[wandb.metrics]\nx = '(1)'\nloss = 'loss'\n", None, ["line 3", '"loss"', "has 0 groups"]),
    "no text": ("[wandb.metrics]\nloss = 1\n", None, ["line 2", '"loss"', "must be text"]),
    "sub-table": ("[wandb]\n[wandb.config]\nlr = 1\n", None, ["line 2", '"config"']),
    "dotted key": ("[wandb]\nproject.name = 'x'\n", None, ["line 2", "must be text, found a table"]),
    "not a table": ("wandb = 'x'\n", None, ["line 1", "[wandb]"]),
    "bad TOML": ("[wandb]\nproject = \n", None, ["not valid TOML", "line 2"]),
    "unknown profile": ("[cluster]\nexecutor = 'slurm'\n", "clutser", ['"clutser"', 'did you mean "cluster"?']),
    "reserved": ("[cli]\nx = 1\n", "cli", ["[cli] is a reserved section"]),
    "profile is text": ("x = 'y'\n", "x", ['"x" must be a table']),
    "unknown base": (
        "[cluster]\n[big]\nextends = 'clster'\n",
        "big",
        ["line 3", '"clster"', 'did you mean "cluster"?'],
    ),
    "extends a list": ("[a]\nextends = ['b']\n", "a", ["line 2", "must be text, found a list"]),
    "circle": (
        "[a]\nextends = 'b'\n[b]\nextends = 'c'\n[c]\nextends = 'a'\n",
        "a",
        ["line 6", "circle: a → b → c → a"],
    ),
    "circle of one": ("[a]\nextends = 'a'\n", "a", ["line 2", "circle: a → a"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named_with_file_line_and_cure(tmp_path: Path, case: str) -> None:
    text, profile, words = MISTAKES[case]
    path = write(tmp_path, text)

    def read() -> None:
        file = load_env_file(path)
        assert file is not None
        assert file.profile(profile) if profile else file.wandb

    with pytest.raises(LauncherError) as caught:
        read()
    message = str(caught.value)
    assert str(path) in message
    assert [word for word in words if word not in message] == [], message


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match=r"gone\.toml: no such file"):
        load_env_file(tmp_path / "gone.toml")
    with pytest.raises(LauncherError, match="named by WANDB_SHIM_ENV_FILE"):
        load_env_file(environ={"WANDB_SHIM_ENV_FILE": str(tmp_path / "gone.toml")})
    (tmp_path / "latin.toml").write_bytes(b"[wandb]\nnotes = '\xe9'\n")
    with pytest.raises(LauncherError, match="not valid UTF-8"):
        load_env_file(tmp_path / "latin.toml")


def test_lines_are_found_in_the_right_table() -> None:
    text = '[a]\nx = 1\n["b"]\n# x = 0\n"x" = 2\n[b.sub]\ny = 1\n'
    assert line_of(text, "a", "x") == 2
    assert line_of(text, "b", "x") == 5
    assert line_of(text, "b", "sub") == 6
    assert line_of(text, "b", None) == 3
    assert line_of(text, "c", "x") is None
