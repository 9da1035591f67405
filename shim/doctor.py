"""Say what is installed for this interpreter, and whether a job could be tracked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import cache_from_source, find_spec
from pathlib import Path

from . import environment, login
from .companion import preflight


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
    return [_doors(), _bytecode(), _wandb(), _wrapt(), *_contract(environ), _server(environ)]


def report(findings: Sequence[Finding]) -> str:
    """The findings for people."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{'ok ' if finding.ok else 'BAD'} {finding.name:<{width}}  {finding.text}")
        if finding.hint and not finding.ok:
            lines.append(f"    {'':<{width}}  → {finding.hint}")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """The findings for programs."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)


def _home() -> str | None:
    """Where the package lies that this interpreter has been started with; None where it has not."""
    engine = sys.modules.get("_wandb_shim")
    place = engine.__path__[0] if engine is not None else ""
    return place if os.path.isdir(place) else None


def _doors() -> Finding:
    home = _home()
    if home is None:
        hint = f"{sys.executable} -m shim install"
        return Finding("started", False, f"no door of {sys.executable} leads to the shim", hint)
    return Finding("started", True, f"from {home} in {sys.executable}")


def _bytecode() -> Finding:
    home = _home()
    ok = home is None or os.path.exists(cache_from_source(f"{home}/bootstrap.py"))
    return Finding("bytecode", ok, "compiled" if ok else "missing: each start costs more", "run `shim install` again")


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


def _contract(environ: Mapping[str, str]) -> list[Finding]:
    contract = environment.Contract(environ)
    problems = [Finding("variable", False, problem) for problem in contract.problems]
    project = environ.get(environment.PROJECT)
    text = f"{environment.PROJECT}={project}" if project else f"off: {environment.PROJECT} is not set"
    if not contract.switch:
        text = f"off: {environment.SWITCH}=off"
    return [*problems, Finding("tracking", True, text)]


def _server(environ: Mapping[str, str]) -> Finding:
    try:
        base_url = login.find_server(environ).url or _default_server()
    except login.LoginError as error:
        return Finding("server", False, str(error))
    if not environ.get(environment.PROJECT):
        return Finding("server", True, f"{login.shown(base_url)}, not asked")
    key, problem = preflight.key_from_file(environ)
    outlook = preflight.look(environ, base_url, key, problem)
    text = outlook.reason or f"{login.shown(base_url)} accepts the key"
    return Finding("server", outlook.online, text)


def _default_server() -> str:
    """What the installed release takes for W&B's own server; it changed in 0.31.0."""
    try:
        import wandb
    except ImportError:
        return login.DEFAULT_URL
    return str(wandb.Settings().base_url)
