"""The sitecustomize that would have run without us still runs, once, wherever it lies; so do those of our peers.

The rule that most tests here apply: what runs, and what stderr says, is what Python alone would have run and said.
"""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.benchmarks import places
from tests.environments import environment_of

# A user's own: it says that it ran, under which name, and whether it is what `import sitecustomize` gives a script.
USER = """\
import os, sys
with open(os.environ["RAN"], "a") as file:
    found = sys.modules["sitecustomize"].__dict__ is globals()
    file.write(f"{WHO!r} as {__name__}, {'' if found else 'not '}in sys.modules\\n")
"""

# As ddtrace does it: look for the next one with this one's directory out of the way.
CHAINING = """\
here = os.path.dirname(os.path.abspath(__file__))
at = sys.path.index(here)
del sys.path[at]
me = sys.modules.pop("sitecustomize")
try:
    import sitecustomize
except ImportError:
    sys.modules["sitecustomize"] = me
finally:
    sys.path.insert(at, here)
"""

SCRIPT = "import sys; print('_wandb_shim' in sys.modules, getattr(sys.modules.get('sitecustomize'), 'WHO', None))"


def user(directory: Path, more: str = "") -> Path:
    """Write a sitecustomize that says its directory's name."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sitecustomize.py").write_text(f"WHO = {directory.name!r}\n{USER}{more}")
    return directory


def start(
    python: Path, path: Sequence[Path | str], scratch: Path, environ: Mapping[str, str] | None = None
) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """What users' files wrote, and what the process printed."""
    ran = scratch / "ran"
    ran.unlink(missing_ok=True)
    done = subprocess.run(
        [python, "-c", SCRIPT],
        env={"PYTHONPATH": ":".join(map(str, path)), "RAN": str(ran), **(environ or {})},
        cwd=scratch,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.read_text().splitlines() if ran.exists() else [], done


def zip_and_user(at: Path) -> list[Path]:
    with zipfile.ZipFile(at / "user.zip", "w") as archive:
        archive.writestr("sitecustomize.py", f"WHO = 'zip'\n{USER}")
    return [at / "user.zip", user(at / "b")]


def package_and_user(at: Path) -> list[Path]:
    user(at / "a")
    (at / "a" / "sitecustomize").mkdir()
    (at / "a" / "sitecustomize.py").rename(at / "a" / "sitecustomize" / "__init__.py")
    return [at / "a", user(at / "b")]


def namespace_and_user(at: Path) -> list[Path]:
    (at / "a" / "sitecustomize").mkdir(parents=True)
    return [at / "a", user(at / "b")]


def namespace_alone(at: Path) -> list[Path]:
    (at / "a" / "sitecustomize").mkdir(parents=True)
    return [at / "a"]


def dangling_link_and_user(at: Path) -> list[Path]:
    (at / "a").mkdir()
    (at / "a" / "sitecustomize.py").symlink_to(at / "nowhere")
    return [at / "a", user(at / "b")]


# Directories behind ours on PYTHONPATH.
LAYOUTS: dict[str, Callable[[Path], list[Path]]] = {
    "one": lambda at: [user(at / "a")],
    "two, the second hidden": lambda at: [user(at / "a"), user(at / "b")],
    "one that chains to the second": lambda at: [user(at / "a", CHAINING), user(at / "b")],
    "none": lambda at: [at],
    "a directory that is not there": lambda at: [at / "nowhere", user(at / "b")],
    "the same directory twice": lambda at: [user(at / "a"), at / "a"],
    "a zip file": zip_and_user,
    "a package": package_and_user,
    "an empty directory of that name": namespace_and_user,
    "nothing but an empty directory of that name": namespace_alone,
    "a dangling link": dangling_link_and_user,
    "one that raises": lambda at: [user(at / "a", "raise ValueError('boom')"), user(at / "b")],
    "one whose import fails": lambda at: [user(at / "a", "import no_such_module"), user(at / "b")],
    "one with a syntax error": lambda at: [user(at / "a", "def"), user(at / "b")],
    "one that hides its own import": lambda at: [user(at / "a", "raise ImportError(name='sitecustomize')")],
    "one that ends the process": lambda at: [user(at / "a", "raise SystemExit(3)")],
}


@pytest.mark.parametrize("door", ["PYTHONPATH", "PYTHONPATH and stdlib"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_behind_ours_runs_what_python_alone_would_have_run(
    layout: str, door: str, baked: places.Baked, tmp_path: Path
) -> None:
    path = LAYOUTS[layout](tmp_path)
    expected, alone = start(baked.plain, path, tmp_path)
    python = baked.plain if door == "PYTHONPATH" else baked.python
    ran, with_shim = start(python, [baked.home, *path], tmp_path)
    assert ran == expected
    assert with_shim.returncode == alone.returncode
    if alone.returncode:  # the traceback of a fatal error names all frames, ours too
        return
    assert with_shim.stderr == alone.stderr
    assert with_shim.stdout.split()[0] == "True"
    if expected:
        assert with_shim.stdout.split()[1] == alone.stdout.split()[1]


def test_a_second_copy_of_ours_on_the_path_changes_nothing(baked: places.Baked, tmp_path: Path) -> None:
    behind = user(tmp_path / "a")
    (tmp_path / "again").symlink_to(baked.home)
    ran, done = start(baked.python, [baked.home, tmp_path / "again", baked.home, behind], tmp_path)
    assert ran == ["'a' as sitecustomize, in sys.modules"]
    assert done.stdout == "True a\n"


def test_behind_one_that_does_not_chain_ours_is_not_reached(baked: places.Baked, tmp_path: Path) -> None:
    """The documented limit of PYTHONPATH and of the stdlib door; a venv's own door is not affected."""
    before = user(tmp_path / "a")
    for python in (baked.plain, baked.python):
        ran, done = start(python, [before, baked.home], tmp_path)
        assert (len(ran), done.stdout) == (1, "False a\n")
    ran, done = start(baked.venv_door, [before, baked.home], tmp_path)
    assert (len(ran), done.stdout) == (1, "True a\n")


def test_behind_one_that_chains_ours_starts_and_goes_on_to_the_next(baked: places.Baked, tmp_path: Path) -> None:
    path = [user(tmp_path / "a", CHAINING), baked.home, user(tmp_path / "b")]
    ran, done = start(baked.plain, path, tmp_path)
    assert [line.split()[0] for line in ran] == ["'a'", "'b'"]
    assert done.stdout.split()[0] == "True"


def test_the_one_in_site_packages_runs_as_often_as_without_us(baked: places.Baked, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([baked.plain, "-m", "venv", "--without-pip", venv], check=True)
    user(venv / "lib" / baked.python.name / "site-packages")
    python = venv / "bin" / "python"
    expected, _ = start(python, [tmp_path], tmp_path)
    ran, done = start(python, [baked.home], tmp_path)
    assert ran == expected  # never, where the Python has one of its own in its standard library
    assert done.stdout.split()[0] == "True"


@pytest.mark.parametrize("body", ["", "raise ValueError('boom')", "import no_such_module"])
def test_the_one_displaced_from_the_stdlib_still_runs(body: str, baked: places.Baked, tmp_path: Path) -> None:
    python = places.twin(baked.plain, tmp_path / "twin")
    stdlib = places.stdlib_of(python)
    (stdlib / "sitecustomize.py").unlink(missing_ok=True)
    user(stdlib, body)
    expected, alone = start(python, [tmp_path], tmp_path)
    places.shim("install", "--home", tmp_path / "home", "--python", python)
    for path in ([tmp_path], [tmp_path / "home"]):
        ran, done = start(python, path, tmp_path)
        assert ran == expected
        assert len(ran) == (body != "def")
        assert (done.stderr, done.stdout.split()[0]) == (alone.stderr, "True")


def test_a_link_of_debian_that_leads_nowhere_is_no_error(baked: places.Baked, tmp_path: Path) -> None:
    """The package that owns its target was purged: Python alone says nothing then."""
    python = places.twin(baked.plain, tmp_path / "twin")
    link = places.stdlib_of(python) / "sitecustomize.py"
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/no-such-python/sitecustomize.py")
    places.shim("install", "--home", tmp_path / "home", "--python", python)
    _, done = start(python, [tmp_path], tmp_path)
    assert (done.stderr, done.stdout.split()[0]) == ("", "True")
    places.shim("uninstall", "--home", tmp_path / "home")
    assert str(link.readlink()) == "/etc/no-such-python/sitecustomize.py"


# How each of the peers is put in front of a program: its directory on PYTHONPATH, if it needs one, and variables.
PEERS: dict[str, tuple[str, dict[str, str]]] = {
    "ddtrace": (
        "ddtrace/bootstrap",
        {
            "DD_TRACE_ENABLED": "false",
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        },
    ),
    "newrelic": ("newrelic/bootstrap", {}),
    "coverage": ("", {"COVERAGE_PROCESS_START": "{scratch}/coveragerc"}),
}
STARTED = {"ddtrace": "ddtrace.internal", "newrelic": "newrelic", "coverage": "coverage.control"}


@pytest.mark.parametrize("user_behind", [True, False], ids=["a user's behind", "nothing behind"])
@pytest.mark.parametrize("order", ["ours first", "ours last"])
@pytest.mark.parametrize("peer", PEERS)
def test_ours_and_a_peer_run_once_each_in_either_order(
    peer: str, order: str, user_behind: bool, shim_home: Path, tmp_path: Path
) -> None:
    peers = environment_of("peers")
    directory, variables = PEERS[peer]
    (tmp_path / "coveragerc").write_text(f"[run]\ndata_file = {tmp_path}/coverage.data\n")
    theirs = [peers.site_packages / directory] if directory else []
    path = [shim_home, *theirs] if order == "ours first" else [*theirs, shim_home]
    if user_behind:
        path.append(user(tmp_path / "a"))
    environ = {name: value.format(scratch=tmp_path) for name, value in variables.items()}
    if peer == "newrelic":  # what `newrelic-admin run-program` sets; developer mode talks to nobody
        environ |= {
            "NEW_RELIC_PYTHON_PREFIX": str(peers.directory.resolve()),
            "NEW_RELIC_PYTHON_VERSION": peers.base.minor,
        }
        environ |= {"NEW_RELIC_DEVELOPER_MODE": "true", "NEW_RELIC_LOG": str(tmp_path / "newrelic.log")}
    trace = tmp_path / "trace"
    program = f"import sys; print('_wandb_shim' in sys.modules, {STARTED[peer]!r} in sys.modules)"
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=openat", "-o", trace, peers.python, "-c", program],
        env={"PYTHONPATH": ":".join(map(str, path)), "RAN": str(tmp_path / "ran"), **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr
    if user_behind:
        assert (tmp_path / "ran").read_text().count("\n") == 1
    # A sitecustomize is read each time it is run: its bytecode, else its source and then nothing more.
    read = [name for name in re.findall(r'"([^"]*/sitecustomize\.[^"]*pyc?)".* = \d', trace.read_text()) if name]
    for entry in theirs:
        assert sum(Path(name).is_relative_to(entry) for name in read) == 1, read
