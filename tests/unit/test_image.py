"""What `make image` and docker/image say and pass on, with a stand-in for the client of Docker."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import REPOSITORY

# Knows the image `base`, pulls none, and notes what it is to build, which fails.
CLIENT = """\
#!/bin/sh
case "$1 $2" in
    "image inspect") [ "$3 $5" != "base " ] && [ "$3 $5" != "--format base" ] && exit 1; echo me;;
    "build "*) printf '%s\\n' "$@" >"$0.build"; exit 1;;
    *) echo "$2 $3: no such image" >&2; exit 1;;
esac
"""


@pytest.fixture
def client(tmp_path: Path) -> Path:
    path = tmp_path / "docker"
    path.write_text(CLIENT)
    path.chmod(0o755)
    return path


def image(client: str | Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """docker/image with a client."""
    named = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "DOCKER": str(client), **environ}
    return subprocess.run(
        [REPOSITORY / "docker" / "image", *words], env=named, capture_output=True, text=True, check=False
    )


REFUSED: list[tuple[tuple[str, ...], dict[str, str], str]] = [
    ((), {}, "the image to start from is missing: docker/image BASE_IMAGE NAME"),
    (("", "name"), {}, "the image to start from is missing"),
    (
        ("base", ""),
        {},
        "a name for the new image is missing: docker/image BASE_IMAGE NAME, or make image BASE_IMAGE=… IMAGE=…",
    ),
    (("base", "name"), {"DOCKER": "/nowhere/docker"}, "there is no /nowhere/docker here"),
    (
        ("base", "name"),
        {"WHEELS": "/nowhere"},
        "WHEELS=/nowhere has no wheel of wandb: pip download --dest /nowhere wandb pip",
    ),
    (("other:1", "name"), {}, "BASE_IMAGE=other:1 is not here, and cannot be pulled"),
]


@pytest.mark.parametrize(("words", "environ", "said"), REFUSED)
def test_what_is_wrong_is_named_as_it_was_given(
    client: Path, words: tuple[str, ...], environ: dict[str, str], said: str
) -> None:
    done = image(client, *words, **environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(f"docker/image: {said}")


def test_wheels_without_pip_are_refused(client: Path, tmp_path: Path) -> None:
    (tmp_path / "wandb-0.31.0-py3-none-any.whl").touch()
    assert f"WHEELS={tmp_path} has no wheel of pip" in image(client, "base", "name", WHEELS=str(tmp_path)).stderr


def test_a_build_that_fails_names_both_images(client: Path) -> None:
    done = image(client, "base", "name", "--build-arg", "PYTHON=python")
    assert done.stderr.splitlines()[-1].startswith("docker/image: name is not built (see above); where BASE_IMAGE=base")
    built = client.with_name("docker.build").read_text().splitlines()
    given = [word for option, word in itertools.pairwise(built) if option == "--build-arg"]
    assert given == ["BASE_IMAGE=base", "RUN_AS=me", "PYTHON=python"]


@pytest.mark.parametrize(
    ("words", "environ", "passed"),
    [
        ([], {}, []),
        (["PYTHON=/opt/venv/bin/python"], {}, ["PYTHON=/opt/venv/bin/python"]),
        (["DOCTOR=", "RUN_AS=1000:1000"], {}, ["RUN_AS=1000:1000", "DOCTOR="]),
        ([], {"PYTHON": "python"}, ["PYTHON=python"]),
    ],
)
def test_make_passes_on_what_the_dockerfile_takes(words: list[str], environ: dict[str, str], passed: list[str]) -> None:
    command = ["make", "-n", "-o", ".venv/.ready", "image", "BASE_IMAGE=base", "IMAGE=name", *words]
    named = {"PATH": os.environ["PATH"], **environ}
    done = subprocess.run(command, cwd=REPOSITORY, env=named, capture_output=True, text=True, check=True)
    line = shlex.split(done.stdout.splitlines()[-1])
    assert line[:4] == ["PYTHON=.venv/bin/python", "docker/image", "base", "name"]
    assert [word for word in line[4:] if word != "--build-arg"] == passed


def test_the_script_has_no_fault_that_shellcheck_knows() -> None:
    tool = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([tool, REPOSITORY / "docker" / "image"], capture_output=True, text=True, check=False)
    assert done.stdout == ""
