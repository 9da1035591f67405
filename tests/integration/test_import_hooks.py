"""Post-import hooks in real interpreters: a patch runs right after a module's code, and no import notices otherwise."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

# The patch `bad` fails; `seen` says what it is given and whether the module's code ran before it.
HOOKS = {"plain": "seen", "pack.sub": "seen", "space": "seen", "zipped": "seen", "flaky": "seen", "ill": "bad"}
SEEN = "def apply(module):\n    print('patched', module.__name__, module.value)\n    module.patched = True\n"
BAD = "def apply(module):\n    raise LookupError('no such attribute')\n"


@dataclass(frozen=True)
class Place:
    """A directory of modules to import, and a door to a shim whose table names them."""

    python: Path
    door: Path
    directory: Path

    def run(self, script: str, *options: str) -> str:
        """What a script printed to both streams."""
        path = self.directory / "script.py"
        path.write_text(script)
        done = subprocess.run(
            [self.python, *options, path],
            cwd=self.directory,
            env={"PYTHONPATH": str(self.door)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout


def source_of_door(home: Path) -> str:
    """What `install` writes: sitecustomize.py with the home filled in."""
    lines = (home / "sitecustomize.py").read_text().splitlines(keepends=True)
    (at,) = (number for number, line in enumerate(lines) if line.startswith("HOME = "))
    lines[at] = f"HOME = {str(home)!r}\n"
    return "".join(lines)


@pytest.fixture(scope="session")
def hooked_door(shim_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shim with a table of its own, which is all in it that is not the product, and a door outside its home.

    With the home itself on PYTHONPATH, `import shim` would find it there, without a finder of ours.
    """
    home = tmp_path_factory.mktemp("hooked") / "wandb-shim"
    shutil.copytree(shim_home, home)
    table = "".join(f"    {name!r}: 'patches.{patch}',\n" for name, patch in HOOKS.items())
    file = home / "sitecustomize.py"
    source = file.read_text()
    assert source.count("HOOKS = {\n") == 1
    file.write_text(source.replace("HOOKS = {\n", "HOOKS = {\n" + table))
    (home / "shim" / "patches" / "seen.py").write_text(SEEN)
    (home / "shim" / "patches" / "bad.py").write_text(BAD)
    door = home.with_name("door")
    door.mkdir()
    (door / "sitecustomize.py").write_text(source_of_door(home))
    return door


@pytest.fixture
def place(interpreter: Path, hooked_door: Path, tmp_path: Path) -> Place:
    directory = tmp_path / "work"
    (directory / "pack").mkdir(parents=True)
    (directory / "space").mkdir()
    (directory / "plain.py").write_text("'''Plain.'''\nvalue = 1\n\ndef function():\n    return value\n")
    (directory / "pack" / "__init__.py").write_text("from . import sub\n")
    (directory / "pack" / "sub.py").write_text("value = 2\n")
    (directory / "pack" / "data.txt").write_text("data")
    (directory / "flaky.py").write_text("import os\nvalue = int(os.environ['FLAKY'])\n")
    (directory / "ill.py").write_text("value = 5\n")
    with zipfile.ZipFile(directory / "modules.zip", "w") as archive:
        archive.writestr("zipped.py", "import neighbour\nvalue = 3\n")
        archive.writestr("neighbour.py", "")
    return Place(interpreter, hooked_door, directory)


def test_a_patch_runs_once_right_after_the_modules_own_code(place: Place) -> None:
    assert place.run("import plain, plain; print('imported', plain.patched)") == "patched plain 1\nimported True\n"


def test_a_submodule_is_patched_while_its_package_is_still_imported(place: Place) -> None:
    assert place.run("import pack; print(pack.sub.patched)") == "patched pack.sub 2\nTrue\n"


def test_a_module_that_is_only_looked_for_is_patched_when_it_is_imported_later(place: Place) -> None:
    for look in ("importlib.util.find_spec('plain')", "pkgutil.get_loader('plain')"):
        script = f"import importlib.util, pkgutil, warnings; warnings.simplefilter('ignore'); {look}; import plain"
        assert place.run(script) == "patched plain 1\n"


def test_an_import_that_fails_at_first_is_patched_when_it_succeeds(place: Place) -> None:
    script = """
import os
try:
    import flaky
except KeyError as error:
    print("failed", error)
os.environ["FLAKY"] = "4"
import flaky
"""
    assert place.run(script) == "failed 'FLAKY'\npatched flaky 4\n"


def test_a_module_that_is_not_there_yet_is_patched_once_it_is(place: Place) -> None:
    script = """
import importlib, os
os.rename("plain.py", "hidden")
try:
    import plain
except ModuleNotFoundError as error:
    print(error)
os.rename("hidden", "plain.py")
importlib.invalidate_caches()
import plain
"""
    assert place.run(script) == "No module named 'plain'\npatched plain 1\n"


def test_a_namespace_package_is_not_patched_and_leaves_the_hook_for_the_real_one(place: Place) -> None:
    script = """
import importlib, sys
import space
print(space.__file__)
open("space/__init__.py", "w").write("value = 6")
importlib.invalidate_caches()
del sys.modules["space"]
import space
"""
    assert place.run(script) == "None\npatched space 6\n"


def test_a_lazily_loaded_module_is_patched_when_it_is_used(place: Place) -> None:
    script = """
import importlib.util, sys
spec = importlib.util.find_spec("plain")
spec.loader = importlib.util.LazyLoader(spec.loader)
module = sys.modules["plain"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print("armed")
print(module.value, module.patched)
"""
    assert place.run(script) == "armed\npatched plain 1\n1 True\n"


def test_a_reload_works_and_does_not_patch_again(place: Place) -> None:
    script = "import importlib, plain; plain.value = 9; importlib.reload(plain); print(plain.value)"
    assert place.run(script) == "patched plain 1\n1\n"


def test_a_module_in_a_zip_file_is_patched_and_its_neighbours_are_not(place: Place) -> None:
    script = "import sys; sys.path.insert(0, 'modules.zip'); import zipped, neighbour; print(neighbour.__name__)"
    assert place.run(script) == "patched zipped 3\nneighbour\n"


def test_threads_that_import_at_once_all_see_the_patched_module(place: Place) -> None:
    (place.directory / "plain.py").write_text("import time\ntime.sleep(0.2)\nvalue = 1\n")
    script = """
import threading
seen = []
def work():
    import plain
    seen.append(plain.patched)
threads = [threading.Thread(target=work) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(seen == [True] * 16)
"""
    assert place.run(script) == "patched plain 1\nTrue\n"


def test_a_patch_that_fails_is_one_warning_and_no_broken_import(place: Place) -> None:
    said = "wandb-shim: bad not applied to ill: LookupError: no such attribute\n"
    assert place.run("import ill; print(ill.value)") == f"{said}5\n"


def test_a_legacy_finder_does_not_break_an_import(place: Place) -> None:
    script = """
import sys
class Legacy:
    def find_module(self, name, path=None):
        return None
sys.meta_path.insert(0, Legacy())
sys.meta_path.append(Legacy())
import plain
"""
    assert place.run(script, "-W", "ignore") == "patched plain 1\n"


def test_a_finder_that_asks_all_others_again_finds_no_endless_loop(place: Place) -> None:
    script = """
import importlib.util, sys
class Wrapping:
    busy = False
    def find_spec(self, name, path=None, target=None):
        if self.busy or name not in ("plain", "shim"):
            return None
        self.busy = True
        try:
            return importlib.util.find_spec(name)
        finally:
            self.busy = False
sys.meta_path.insert(0, Wrapping())
import plain, shim
print(shim.__name__)
"""
    assert place.run(script) == "patched plain 1\nshim\n"


def test_tools_that_look_at_the_module_and_its_loader_see_nothing_of_ours(place: Place) -> None:
    script = """
import copy, importlib.machinery, importlib.resources, inspect, pack.sub, pickle, pkgutil, plain
print(inspect.getsource(plain.function).splitlines()[0], inspect.getdoc(plain), inspect.getfile(plain)[-8:])
print(pkgutil.get_data("pack.sub", "data.txt"), importlib.resources.files("pack").joinpath("data.txt").read_text())
for module in (plain, pack.sub):
    loader = module.__loader__
    print(type(loader) is importlib.machinery.SourceFileLoader, loader is module.__spec__.loader, *vars(loader))
    copy.copy(loader)
    pickle.dumps(loader)
"""
    tools = "def function(): Plain. plain.py\nb'data' data\n" + "True True name path\n" * 2
    assert place.run(script) == f"patched pack.sub 2\npatched plain 1\n{tools}"


@pytest.mark.parametrize("look", ["", "importlib.util.find_spec('shim'); "])
def test_a_script_beside_a_shim_module_of_its_own_gets_that_one(look: str, place: Place) -> None:
    (place.directory / "shim.py").write_text("print('my own shim')\n")
    assert place.run(f"import importlib.util; {look}import shim") == "my own shim\n"


def test_a_script_without_one_gets_ours_at_any_time(place: Place) -> None:
    script = """
import importlib.util, sys
print(importlib.util.find_spec("shim") is not None)
import shim
importlib.reload(shim)
del sys.modules["shim"]
import shim
print(shim.WandbConfig(project="p").enabled)
"""
    assert place.run(script) == "True\nTrue\n"


def test_the_patch_of_wandb_runs_on_the_real_wandb(interpreter: Path, shim_home: Path) -> None:
    script = (
        "import wandb.sdk.lib.runid, sys;"
        "print('_wandb_shim.patches.wandb_runid' in sys.modules, *vars(wandb.sdk.lib.runid.__loader__))"
    )
    environ = {"PYTHONPATH": str(shim_home)}
    done = subprocess.run([interpreter, "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True name path\n", "")
