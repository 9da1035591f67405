"""The tables of the test environments are well formed, and the copies of interpreters are what they promise."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests import environments, interpreters


def output_of(python: Path, *arguments: str) -> str:
    done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_row_has_a_name_fit_for_a_directory() -> None:
    for name in environments.environments():
        assert re.fullmatch(r"[a-z0-9.-]+", name)


def test_no_name_stands_in_both_tables() -> None:
    every = {f"{name}-{minor}" for name in environments.ON_EVERY_PYTHON for minor in interpreters.MINORS}
    assert every.isdisjoint(environments.ON_ONE_PYTHON)


def test_no_two_environments_share_a_directory() -> None:
    directories = {environment.name: environment.directory for environment in environments.environments().values()}
    assert len(set(directories.values())) == len(directories)


def test_another_definition_is_another_directory() -> None:
    ray = environments.environments()["ray"]
    others = {
        environments.Environment(ray.name, ray.base, (*ray.requirements, "more"), ray.installer).directory,
        environments.Environment(ray.name, ray.base, ray.requirements, "pip").directory,
    }
    assert ray.directory not in others
    assert len(others) == 2


def test_everything_lies_inside_the_clone() -> None:
    for environment in environments.environments().values():
        assert environment.directory.is_relative_to(environments.REPOSITORY / ".cache")


def test_torch_is_installed_by_pip_on_the_one_python_that_has_a_cpu_build() -> None:
    row = environments.ON_ONE_PYTHON["torch"]
    assert (row.installer, row.minor) == ("pip", "3.11")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(environments.EnvironmentUnavailableError, match=r"there are: .*ray"):
        environments.python_of("rya")


def test_interpreters_are_in_order_and_none_is_of_a_virtual_environment() -> None:
    found = interpreters.interpreters()
    assert list(found) == [minor for minor in interpreters.MINORS if minor in found]
    for interpreter in found.values():
        assert interpreter.executable.is_relative_to(interpreter.prefix)
        assert interpreter.stdlib.is_relative_to(interpreter.prefix)


def test_the_system_interpreter_is_not_counted_twice() -> None:
    every = list(interpreters.every_python().values())
    assert len(set(every)) == len(every)


def test_a_command_that_is_no_interpreter_is_none() -> None:
    assert interpreters.describe(Path("/bin/false")) is None
    assert interpreters.describe(Path("/nowhere/python3")) is None


@pytest.fixture(scope="module", params=interpreters.every_python())
def copy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = interpreters.every_python()[request.param]
    return interpreters.copied_prefix(python, tmp_path_factory.mktemp("prefix") / "copy")


def test_a_copy_runs_from_its_own_prefix_and_standard_library(copy: Path) -> None:
    prefix, stdlib, path = output_of(
        copy, "-c", "import os, sys; print(sys.base_prefix, os.path.dirname(os.__file__), sys.path[1:], sep='\\n')"
    ).splitlines()
    root = copy.parent.parent
    assert Path(prefix) == root
    assert Path(stdlib).is_relative_to(root)
    assert path.count(f"'{root}/") == path.count("'/")


def test_a_copy_has_no_packages(copy: Path) -> None:
    probe = "import importlib.util as u; print(u.find_spec('pip'), u.find_spec('setuptools'))"
    assert output_of(copy, "-c", probe) == "None None"


def test_a_virtual_environment_can_be_made_from_a_copy(copy: Path, tmp_path: Path) -> None:
    python = environments.borrowing_environment(copy, tmp_path / "venv")
    assert output_of(python, "-c", "import sys; print(sys.base_prefix)") == str(copy.parent.parent)


def test_no_file_of_a_copy_is_shared_with_the_original(copy: Path) -> None:
    root = copy.parent.parent
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            assert path.resolve().is_relative_to(root), f"{path} leads out"
            assert path.stat().st_nlink == 1, f"{path} is a hard link"


def test_a_copy_keeps_the_sitecustomize_of_its_original(copy: Path) -> None:
    copied = interpreters.describe(copy)
    assert copied is not None
    version = copied.version
    original = next(
        described
        for python in interpreters.every_python().values()
        if (described := interpreters.describe(python)) is not None and described.version == version
    )
    theirs, ours = original.stdlib / "sitecustomize.py", copied.stdlib / "sitecustomize.py"
    assert (ours.exists(), ours.is_symlink()) == (theirs.exists(), theirs.is_symlink())
    if theirs.exists():
        assert output_of(copy, "-c", "import sys; print(sys.modules['sitecustomize'].__file__)") == str(ours)


def test_a_borrowing_environment_sees_the_packages_but_not_their_pip(tmp_path: Path) -> None:
    minor, python = next(iter(interpreters.pythons().items()))
    borrower = environments.borrowing_environment(python, tmp_path / "venv", packages_of=f"wandb-{minor}")
    lender = environments.environment_of(f"wandb-{minor}")
    assert Path(output_of(borrower, "-c", "import wrapt; print(wrapt.__file__)")).is_relative_to(lender.site_packages)
