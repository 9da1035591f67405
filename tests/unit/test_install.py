"""What `install` writes into doors, and where it puts the home: without an interpreter."""

from __future__ import annotations

import ast
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
    assert interpreters.find([str(tmp_path / "*/bin/python3*"), str(base)]) == [str(base)]
