"""Say what is installed for this interpreter, and whether a job could be tracked."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distributions, version
from importlib.util import cache_from_source, find_spec
from pathlib import Path

from . import __version__, columns, environment, install, login, patches, preflight, ranks

# The top-level packages of the distribution, and a file by which each is known to be ours.
_MARKS = {"shim": "sitecustomize.py", "launcher": "key_files.py"}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        name: What was looked at.
        ok: Whether a run could be tracked as far as this goes.
        text: What was found.
        hint: What to do where it is not ok.
    """

    name: str
    ok: bool
    text: str
    hint: str = ""


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Look at this interpreter, and at the credentials and the server that this environment names."""
    return [
        *(_shim(), *_namesakes(), _doors(), _contents(), _bytecode(), _wandb(), _wrapt(), *_patched()),
        *(*_contract(environ), *_rank(environ), _server(environ)),
    ]


def report(findings: Sequence[Finding]) -> str:
    """The findings for people."""
    width = max(len(finding.name) for finding in findings)
    indent = " " * (6 + width)
    lines = []
    for finding in findings:
        line = f"{'ok ' if finding.ok else 'BAD'} {finding.name:<{width}}  {finding.text}"
        lines.append(columns.wrapped(line, indent))
        if finding.hint and not finding.ok:
            lines.append(columns.wrapped(f"{indent}→ {finding.hint}", f"{indent}  "))
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """The findings for programs."""
    told = [asdict(finding) for finding in findings]
    return json.dumps([{**one, "hint": "" if one["ok"] else one["hint"]} for one in told], indent=2)


def _home() -> str | None:
    """The directory of the package that a door has started in this interpreter; None where there was no door."""
    engine = sys.modules.get("_wandb_shim")
    place = engine.__path__[0] if engine is not None else ""
    return place if os.path.isdir(place) else None


def _shim() -> Finding:
    return Finding("shim", True, f"{__version__}, {Path(__file__).resolve().parent}")


def _namesakes() -> list[Finding]:
    """Whatever else on the path is called `shim` or `launcher`: `import` and `python -m` find the first of that name.

    The working directory is left out: it is on the path of this command alone, and a script may name its own modules
    as it likes.
    """
    source = Path(__file__).resolve().parents[1]
    entries = [entry for entry in dict.fromkeys(sys.path) if entry and os.path.abspath(entry) != os.getcwd()]
    findings = []
    for name, mark in _MARKS.items():
        ours_came = not (source / name).is_dir()  # an image has no launcher that anything could hide
        for entry in entries:
            spec = PathFinder.find_spec(name, [entry])
            if spec is None or spec.origin is None:
                continue
            is_ours = (Path(entry) / name / mark).exists()
            others = sorted(_distributions_with(name, entry) - {"wandb-shim"})
            if others or not is_ours:
                text = f"another `{name}` is in {entry}{' by ' if others else ''}{', '.join(others)}"
                hint = f"uninstall it, or put ours in front: PYTHONPATH={source}; what is baked tracks all the same"
                findings.append(Finding("name", ours_came, text, hint))
            ours_came = ours_came or is_ours
    return findings


def _distributions_with(name: str, entry: str) -> set[str]:
    """Names of the distributions in one directory of the path that have a module or package of that name."""
    parts = (name, f"{name}.py")
    return {
        str(distribution.metadata["Name"] or "a distribution without a name")  # a damaged one has no metadata
        for distribution in distributions(path=[entry])
        if any(file.parts[:1] and file.parts[0] in parts for file in distribution.files or ())
    }


def _contents() -> Finding:
    """Whether the home is whole, and of this version."""
    home = _home()
    if home is None:
        return Finding("home", True, "none to look at")
    own = Path(__file__).resolve().parent
    hint = (
        "run `shim install` again"
        if install.is_open(Path(home).parent)
        else f"`shim install --home-only` where {home} comes from"
    )
    wrong = [name for name in sorted(_sources(own)) if not _is_whole(Path(home, name))]
    if wrong:
        return Finding("home", False, f"{home} is damaged: {', '.join(wrong)}", hint)
    if any(Path(home, name).read_bytes() != (own / name).read_bytes() for name in _sources(own)):
        return Finding("home", False, f"{home} is of another version than {own}", hint)
    return Finding("home", True, f"{home} is whole")


def _sources(package: Path) -> list[str]:
    return [str(path.relative_to(package)) for path in package.rglob("*.py") if path.name != "sitecustomize.py"]


def _is_whole(path: Path) -> bool:
    try:
        compile(path.read_bytes(), str(path), "exec")
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def _doors() -> Finding:
    home = _home()
    if home is None:
        hint = f"{sys.executable} -m shim install"
        return Finding("started", False, f"no door of {sys.executable} leads to the shim", hint)
    return Finding("started", True, f"from {home} in {sys.executable}")


def _bytecode() -> Finding:
    home = _home()
    if home is None or os.path.exists(cache_from_source(f"{home}/bootstrap.py")):
        return Finding("bytecode", True, "compiled")
    if install.is_open(Path(home).parent):
        return Finding("bytecode", False, "missing: each start costs more", "run `shim install` again")
    # A mount is made on another machine, which need not have this Python, and often cannot be written here.
    return Finding(
        "bytecode",
        True,
        f"none for Python {sys.version_info[0]}.{sys.version_info[1]} in this mount: each start costs more",
    )


def _wandb() -> Finding:
    try:
        return Finding("wandb", True, version("wandb"))
    except PackageNotFoundError:
        return Finding("wandb", False, "not installed for this interpreter", "pip install wandb")


def _wrapt() -> Finding:
    if find_spec("wrapt") is not None:
        return Finding("wrapt", True, f"{version('wrapt')}, this interpreter's own")
    vendored = Path(__file__).resolve().parent.parent / "vendor" / "wrapt"
    return Finding(
        "wrapt",
        vendored.is_dir(),
        "the shim's own copy" if vendored.is_dir() else "missing",
        "pip install wrapt",
    )


def _patched() -> list[Finding]:
    """Of the distributions that the shim patches, those that are installed here."""
    found = []
    for name in dict.fromkeys(name for patch in patches.PATCHES for name in patch.distributions if name != "wandb"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(Finding(name, True, version(name)))
    return found


def _rank(environ: Mapping[str, str]) -> list[Finding]:
    """The rank that this environment names. Where a person asks the doctor, it is mostly left over from another job."""
    rank, world_size, _, source = ranks.find_rank(environ)
    wanted = ranks.owner_rank(environment.Contract(environ).owner, world_size)
    if world_size == 1 or not environ.get(environment.PROJECT):
        return []
    text = f"{rank} of {world_size}, by the variables of {source}; the run is rank {wanted}'s"
    return [Finding("rank", rank == wanted, text, f"unset the variables of {source}, unless this is one of its ranks")]


def _contract(environ: Mapping[str, str]) -> list[Finding]:
    contract = environment.Contract(environ)
    problems = [Finding("variable", False, problem) for problem in contract.problems]
    problems += [Finding("variable", False, text) for text in environment.unknown(environ, patches.NAMES)]
    project = environ.get(environment.PROJECT)
    if not project:
        return [*problems, Finding("tracking", True, f"off: {environment.PROJECT} is not set")]
    mode = login.find_mode(environ)
    against = [
        *([f"{environment.SWITCH}=off"] if not contract.switch else []),
        *([f"{environment.INIT}=off"] if contract.init == "off" else []),
        *([f"{environment.MODE}=disabled"] if mode and mode.value == "disabled" else []),
    ]
    if against:
        text = f"off: {', '.join(against)}, although {environment.PROJECT}={project}"
        return [*problems, Finding("tracking", False, text, f"unset {', '.join(one.split('=')[0] for one in against)}")]
    return [*problems, Finding("tracking", True, f"{environment.PROJECT}={project}")]


def _server(environ: Mapping[str, str]) -> Finding:
    try:
        base_url = login.find_server(environ).url or _default_server()
    except login.LoginError as error:
        return Finding("server", False, str(error))
    if not environ.get(environment.PROJECT):
        return Finding("server", True, f"{login.shown(base_url)}, not asked")
    url = login.shown(base_url)
    key, problem = preflight.key_from_file(environ)
    outlook = preflight.look(environ, base_url, key, problem)
    mode = login.find_mode(environ)
    if mode and mode.value == "offline":
        return Finding("server", True, f"{outlook.reason}: {url} is not asked")
    if outlook.is_other:
        hint = f"name a W&B server in {environment.BASE_URL}"
        return Finding("server", False, outlook.reason or f"{url} {outlook.doubt}: it is no W&B server", hint)
    return Finding("server", outlook.online, outlook.reason or f"{url} {outlook.doubt or 'accepts the key'}")


def _default_server() -> str:
    """The address that the installed release of wandb takes for W&B's own server; 0.31.0 has changed it."""
    try:
        import wandb

        return str(wandb.Settings().base_url)
    except Exception:  # wandb is not installed, or a directory of run files has its name
        return login.DEFAULT_URL
