"""What `install` writes into doors, and where it puts the home: without an interpreter."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from shim import install, interpreters


def interpreter(prefix: str, base_prefix: str = "/usr") -> interpreters.Interpreter:
    stdlib = f"{prefix}/lib/python3.12"
    return interpreters.Interpreter(
        f"{prefix}/bin/python", "3.12.1", prefix, base_prefix, stdlib, f"{stdlib}/site-packages"
    )


def constants_of(source: str) -> dict[str, object]:
    """The module constants of a door that are plain strings."""
    assigned = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return {ast.unparse(node.targets[0]): getattr(node.value, "value", None) for node in assigned}


def test_a_virtual_environment_is_told_from_its_base() -> None:
    assert interpreter("/app/venv").is_virtual
    assert not interpreter("/usr").is_virtual


def test_the_home_is_in_opt_as_soon_as_one_base_interpreter_is_named() -> None:
    venv, base = interpreter("/app/venv"), interpreter("/usr")
    assert install.default_home([venv, interpreter("/app/other")]) == Path("/app/venv/share/wandb-shim")
    assert install.default_home([venv, base]) == install.default_home([base]) == Path("/opt/wandb-shim")


@pytest.mark.parametrize("home", ["/opt/wandb-shim", '/tmp/it\'s "here"', "/tmp/back\\slash", "/tmp/ünïcode"])
def test_a_door_names_its_home_however_that_is_spelled(home: str) -> None:
    found = constants_of(install._door_source(Path(home), displaced="/x/kept.py"))
    assert (found["HOME"], found["DISPLACED"]) == (home, "/x/kept.py")


def test_a_door_differs_from_the_source_in_two_lines_only() -> None:
    source = (install.SOURCE / "sitecustomize.py").read_text().splitlines()
    door = install._door_source(Path("/h"), displaced="/d").splitlines()
    changed = [new for old, new in zip(source, door, strict=True) if old != new]
    assert [line.partition(" = ")[0] for line in changed] == ["HOME", "DISPLACED"]


def test_the_pth_file_has_one_plain_import_line() -> None:
    """Any other line is taken for a path, and what more a line says every start pays for."""
    assert install.PTH_LINE == "import _wandb_shim_door\n"


def test_an_interpreter_describes_itself() -> None:
    found = interpreters.describe(sys.executable)
    assert (found.prefix, found.base_prefix) == (sys.prefix, sys.base_prefix)
    assert found.version == sys.version.split()[0]
    assert Path(found.stdlib, "os.py").exists()


def test_there_are_no_doors_where_nothing_is_installed(tmp_path: Path) -> None:
    assert install.doors_at(tmp_path) == []
    with pytest.raises(interpreters.InstallError, match=r"doors\.json is missing"):
        install.uninstall(tmp_path)


def test_each_base_interpreter_is_found_once_also_through_an_environment(tmp_path: Path) -> None:
    base = Path(interpreters.describe(sys.executable).base_prefix, "bin", f"python3.{sys.version_info[1]}").resolve()
    for name, target in (("one/bin/python3", base), ("two/bin/python3.9", tmp_path / "nowhere"), ("three/bin", base)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(target)
    (tmp_path / "one/bin/python3-config").write_text("#!/bin/sh\n")
    (tmp_path / "one/bin/python3.12").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "one/bin/python3.12").chmod(0o755)
    assert interpreters.find([*map(str, sorted(tmp_path.glob("*/bin/python3*"))), str(base)]) == [str(base)]


# (variables, the interpreters of an image, those that the shim is baked into and in which order). `name@base` is a
# virtual environment's, made of copies; `name=version` says that version; `name->target` is a link.
IMAGES: dict[str, tuple[dict[str, str], list[str], list[str]]] = {
    "Debian": (
        {"PATH": "/usr/local/bin:/usr/bin"},
        ["usr/bin/python3.11", "usr/bin/python3->python3.11", "usr/bin/python3-config", "usr/bin/python2.7=2.7.18"],
        ["usr/bin/python3.11"],
    ),
    "the official image, on top of Debian": (
        {"PATH": "/usr/local/bin:/usr/bin"},
        ["usr/bin/python3.11", "usr/local/bin/python3.13", "usr/local/bin/python3->python3.13"],
        ["usr/local/bin/python3.13", "usr/bin/python3.11"],
    ),
    "uv of root, of others and where it is told": (
        {"UV_PYTHON_INSTALL_DIR": "/data/pythons"},
        [
            *("root/.local/share/uv/python/cpython-3.12.9/bin/python3.12", "data/pythons/cpython-3.11/bin/python3.11"),
            *(
                "home/me/.local/share/uv/python/cpython-3.10/bin/python3.10",
                "opt/uv/python/cpython-3.13/bin/python3.13t",
            ),
        ],
        [
            *("data/pythons/cpython-3.11/bin/python3.11", "root/.local/share/uv/python/cpython-3.12.9/bin/python3.12"),
            *(
                "home/me/.local/share/uv/python/cpython-3.10/bin/python3.10",
                "opt/uv/python/cpython-3.13/bin/python3.13t",
            ),
        ],
    ),
    "a project's environment leads to a base elsewhere": (
        {},
        ["srv/python/bin/python3.12", "app/.venv/bin/python3->/srv/python/bin/python3.12"],
        ["srv/python/bin/python3.12"],
    ),
    "conda and its environments": (
        {"CONDA_PREFIX": "/data/conda/envs/a", "MAMBA_ROOT_PREFIX": "/mamba-root"},
        [
            *("opt/conda/bin/python3.11", "opt/conda/envs/train/bin/python3.10", "root/miniconda3/bin/python3.12"),
            *(
                "miniforge3/bin/python3.12",
                "home/me/micromamba/envs/x/bin/python3.12",
                "home/me/.conda/envs/y/bin/python3.11",
            ),
            *(
                "data/conda/envs/a/bin/python3.12",
                "data/conda/envs/b/bin/python3.11",
                "mamba-root/envs/c/bin/python3.11",
            ),
        ],
        [
            *("data/conda/envs/a/bin/python3.12", "data/conda/envs/b/bin/python3.11"),
            *("home/me/.conda/envs/y/bin/python3.11", "mamba-root/envs/c/bin/python3.11", "miniforge3/bin/python3.12"),
            *("opt/conda/bin/python3.11", "opt/conda/envs/train/bin/python3.10", "root/miniconda3/bin/python3.12"),
            "home/me/micromamba/envs/x/bin/python3.12",
        ],
    ),
    "version managers": (
        {"PYENV_ROOT": "/data/pyenv", "HOME": "/data/me"},
        [
            *("data/pyenv/versions/3.12.1/bin/python3.12", "data/me/.pyenv/versions/3.9.1/bin/python3.9=3.9.1"),
            *("data/me/.local/share/mise/installs/python/3.11.2/bin/python3.11", "data/pyenv/versions/pypy/bin/pypy3"),
            "data/me/.asdf/installs/python/3.10.4/bin/python3.10",
        ],
        [
            "data/pyenv/versions/3.12.1/bin/python3.12",
            "data/me/.local/share/mise/installs/python/3.11.2/bin/python3.11",
            "data/me/.asdf/installs/python/3.10.4/bin/python3.10",
        ],
    ),
    "Databricks, whose environment is made of copies": (
        {"PATH": "/databricks/python3/bin:/usr/bin"},
        ["srv/base/bin/python3.12", "databricks/python3/bin/python3@srv/base"],
        ["srv/base/bin/python3.12"],
    ),
    "vendors": (
        {},
        [
            "opt/nvidia/nsight/bin/python3.12",
            "usr/local/lib/sdk/bin/python3.11",
            "opt/cray/pe/python/3.11.5/bin/python3.11",
        ],
        [
            "opt/nvidia/nsight/bin/python3.12",
            "opt/cray/pe/python/3.11.5/bin/python3.11",
            "usr/local/lib/sdk/bin/python3.11",
        ],
    ),
}


@pytest.mark.parametrize("image", IMAGES)
def test_the_interpreters_of_an_image_are_found(image: str, tmp_path: Path) -> None:
    environ, files, expected = IMAGES[image]
    for file in files:
        name, _, target = file.partition("->")
        name, _, base = name.partition("@")
        name, _, version = name.partition("=")
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if target:
            path.symlink_to(tmp_path / target[1:] if target.startswith("/") else target)
            continue
        prefix = path.parent.parent
        base_prefix = tmp_path / base if base else prefix
        told = {"executable": path, "version": version or "3.12.1", "prefix": prefix, "base_prefix": base_prefix}
        told |= {"stdlib": base_prefix / "lib", "purelib": prefix / "site-packages"}
        path.write_text(f"#!/bin/sh\necho '{json.dumps(told, default=str)}'\n")
        path.chmod(0o755)
    found = interpreters.find(interpreters.candidates({"HOME": "/root", **environ}, str(tmp_path)))
    assert [str(Path(one).relative_to(tmp_path)) for one in found] == expected


def test_no_pattern_begins_at_a_working_directory() -> None:
    for pattern in (pattern for patterns in interpreters.PLACES.values() for pattern in patterns):
        assert pattern.startswith(("/", "~/", "$"))
