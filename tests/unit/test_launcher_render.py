from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from launcher.environment import Environment
from launcher.errors import LauncherError
from launcher.render import FORMATS, table
from launcher.variables import HIDDEN, Variable

KEY = "0123456789abcdef0123456789abcdef01234567"

VALUES = {
    "PLAIN": "abc",
    "EMPTY": "",
    "SPACES": "  two  spaces ",
    "QUOTES": """it's "quoted" `date`""",
    "DOLLARS": "$HOME ${HOME} $$ $(date) \\$x",
    "BACKSLASHES": "a\\b\\\\c\\n\\",
    "LINES": "one\ntwo\n\nfour\n",
    "RETURNS": "one\r\ntwo\ttab",
    "UNICODE": "Köln 東京 🚀 \u0301",
    "HASH": "# not a comment = x",
    "EQUALS": "a=b=c",
    "GLOB": "* ? [a] ~ ! & ; | < >",
}


def environment(values: dict[str, str], **more: str) -> Environment:
    variables = [Variable(name, value, "test") for name, value in values.items()]
    variables += [Variable(name, value, "wandb login\n(x)", secret=True) for name, value in more.items()]
    return Environment(tuple(variables), notes=("a note",))


@pytest.mark.parametrize("shell", ["bash", "dash", "sh"])
def test_shell_output_gives_any_value_back(shell: str, tmp_path: object) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    text = FORMATS["shell"](environment(VALUES, WANDB_API_KEY=KEY), False)
    script = text + "env -0\n"
    done = subprocess.run(
        [program, "-eu"], input=script.encode(), capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    seen = dict(item.partition("=")[::2] for item in done.stdout.decode().split("\0") if item)
    assert {name: seen.get(name) for name in VALUES} == VALUES
    assert "WANDB_API_KEY" not in seen
    assert done.stderr == b""


def test_dotenv_output_gives_any_value_back_in_python_dotenv() -> None:
    dotenv = pytest.importorskip("dotenv")
    import io

    values = {**VALUES, "DOLLARS": VALUES["DOLLARS"].replace("${HOME}", "$ {HOME}")}
    text = FORMATS["dotenv"](environment(values), False)
    seen = dotenv.dotenv_values(stream=io.StringIO(text, newline=""))
    assert dict(seen) == values
    with pytest.raises(LauncherError, match=r"^DOLLARS .* expand even inside quotes"):
        FORMATS["dotenv"](environment(VALUES), False)


def docker_env_file(text: str, environ: dict[str, str]) -> dict[str, str]:
    """What docker makes of a file (docker/cli: opts/file.go): lines, comments, bare names from its environment."""
    seen = {}
    for line in text.split("\n"):
        line = line.lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if equals:
            seen[name] = value
        elif name in environ:
            seen[name] = environ[name]
    return seen


def test_docker_output_gives_any_value_without_line_ends_back() -> None:
    values = {name: value for name, value in VALUES.items() if "\n" not in value}
    text = FORMATS["docker"](environment(values, WANDB_API_KEY=KEY), False)
    assert docker_env_file(text, {}) == values
    assert KEY not in text
    assert docker_env_file(text, {"WANDB_API_KEY": KEY}) == {**values, "WANDB_API_KEY": KEY}
    revealed = FORMATS["docker"](environment(values, WANDB_API_KEY=KEY), True)
    assert docker_env_file(revealed, {}) == {**values, "WANDB_API_KEY": KEY}


@pytest.mark.parametrize("value", ["a\nb", "a\r", "\n"])
def test_docker_output_refuses_line_ends_by_name(value: str) -> None:
    with pytest.raises(LauncherError, match=r"^NOTES \(from test\) has a line end"):
        FORMATS["docker"](environment({"NOTES": value}), False)


def test_json_output_says_all_but_the_secret() -> None:
    answer = json.loads(FORMATS["json"](environment(VALUES, WANDB_API_KEY=KEY), False))
    values = {item["name"]: item["value"] for item in answer["variables"]}
    assert values == {**VALUES, "WANDB_API_KEY": None}
    assert answer["notes"] == ["a note"]
    revealed = json.loads(FORMATS["json"](environment({}, WANDB_API_KEY=KEY), True))
    assert revealed["variables"][0]["value"] == KEY


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_writes_a_secret_unless_asked(name: str) -> None:
    given = environment({"A": "1"}, WANDB_API_KEY=KEY)
    assert KEY not in FORMATS[name](given, False)
    assert KEY in FORMATS[name](given, True)
    assert "WANDB_API_KEY" in FORMATS[name](given, False)


def test_the_table_is_aligned_and_keeps_control_characters_off_the_terminal() -> None:
    given = environment({"A": "東京", "LONGER": "two\nlines\x1b[31m"}, WANDB_API_KEY=KEY)
    assert FORMATS["table"](given, False).splitlines() == [
        "VARIABLE       VALUE               FROM",
        "A              東京                test",
        "LONGER         two\\nlines\\x1b[31m  test",
        f"WANDB_API_KEY  {HIDDEN}            wandb login\\n(x)",
    ]
    assert FORMATS["table"](Environment(()), False) == "(no variables)\n"


def test_a_long_value_is_folded_in_a_terminal_and_keeps_its_line_in_a_pipe() -> None:
    given = environment({"A": "/lustre/of/a/group/and/more", "B": "one two three four five six seven", "C": "東" * 15})
    assert table(given, width=39).splitlines() == [
        "VARIABLE  VALUE                     FROM",
        "A         /lustre/of/a/group/and/   test",
        "          more",
        "B         one two three four five   test",
        "          six seven",
        "C         東東東東東東東東東東東東  test",
        "          東東東",
    ]
    for width in (0, 200):
        assert "B         one two three four five six seven  test" in table(given, width=width).splitlines()
