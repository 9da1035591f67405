"""Which server, which key, which mode: `shim.login` against what the real wandb resolves on the same files."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.environments import REPOSITORY, python_of

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
TOKEN = "the identity token"
RELEASES = ("wandb-0.22.2", "wandb-0.23.1", "wandb-3.12")
OLD, NEWER, NEWEST = RELEASES
ON_PREMISES = "https://wandb.example.com"
PORT = "http://127.0.0.1:8080"
FORGE, CLASSIC = "https://api.forge.coreweave.com", "https://api.wandb.ai"
LOCAL, GLOBAL = "work/wandb/settings", ".config/wandb/settings"


def entry(machine: str, key: str = A) -> str:
    """An entry of a netrc file."""
    words = "default" if machine == "default" else f"machine {machine}"
    return f"{words}\n  login user\n  password {key}\n"


def settings(**values: str) -> str:
    """A settings file of wandb."""
    return "[default]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())


@dataclass(frozen=True)
class Row:
    """One machine and what holds there.

    Attributes:
        key: What the login is: a key, TOKEN, or None.
        url: The server; None for the default.
        offline: Whether the mode is offline.
        files: By path below the home directory; the working directory is `work`.
        environ: Variables.
        otherwise: What a release resolves in our key's place, by release: "" where it fails.
    """

    key: str | None
    url: str | None = None
    offline: bool = False
    files: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    otherwise: dict[str, str | None] = field(default_factory=dict)


HERE = {"WANDB_BASE_URL": PORT}
THERE = {"WANDB_BASE_URL": ON_PREMISES}
TO_CLASSIC = {"WANDB_BASE_URL": CLASSIC}
ROWS = {
    "nothing at all": Row(None),
    "a variable": Row(A, environ={"WANDB_API_KEY": A}),
    "a variable beside netrc": Row(
        A, environ={"WANDB_API_KEY": A, **TO_CLASSIC}, url=CLASSIC,
        files={".netrc": entry("api.wandb.ai", B)},
    ),
    "netrc of the server": Row(A, ON_PREMISES, environ=THERE, files={".netrc": entry("wandb.example.com")}),
    "netrc of another server": Row(None, ON_PREMISES, environ=THERE, files={".netrc": entry("other.example.com")}),
    "netrc, default entry": Row(A, ON_PREMISES, environ=THERE, files={".netrc": entry("default")}),
    "netrc, its own entry before the default": Row(
        A, ON_PREMISES, environ=THERE, files={".netrc": entry("wandb.example.com") + entry("default", B)}
    ),
    "netrc, another's entry and the default": Row(
        B, ON_PREMISES, environ=THERE, files={".netrc": entry("other.example.com") + entry("default", B)}
    ),
    "netrc, with the port": Row(
        A, PORT, environ=HERE, files={".netrc": entry("127.0.0.1:8080")}, otherwise={OLD: None}
    ),
    "netrc, without the port": Row(
        A, PORT, environ=HERE, files={".netrc": entry("127.0.0.1")}, otherwise={NEWER: None, NEWEST: None}
    ),
    "netrc, with and without the port": Row(
        A, PORT, environ=HERE, files={".netrc": entry("127.0.0.1:8080") + entry("127.0.0.1", B)}, otherwise={OLD: B}
    ),
    "netrc, another port": Row(None, PORT, environ=HERE, files={".netrc": entry("127.0.0.1:9090")}),
    "netrc without a password": Row(
        None, ON_PREMISES, environ=THERE,
        files={".netrc": "machine wandb.example.com\n  login user\n"},
    ),
    "NETRC": Row(
        B, ON_PREMISES, environ={**THERE, "NETRC": "~/elsewhere"},
        files={".netrc": entry("wandb.example.com"), "elsewhere": entry("wandb.example.com", B)},
    ),
    "_netrc": Row(A, ON_PREMISES, environ=THERE, files={"_netrc": entry("wandb.example.com")}),
    "a server in the settings of the home": Row(
        A, ON_PREMISES, files={GLOBAL: settings(base_url=ON_PREMISES + "/"), ".netrc": entry("wandb.example.com")}
    ),
    "a server in the settings of the directory": Row(
        None, ON_PREMISES, files={LOCAL: settings(base_url=ON_PREMISES), GLOBAL: settings(base_url=PORT)}
    ),
    ".wandb before wandb": Row(
        None, PORT, files={LOCAL: settings(base_url=ON_PREMISES), "work/.wandb/settings": settings(base_url=PORT)}
    ),
    ".wandb without settings": Row(None, files={LOCAL: settings(base_url=ON_PREMISES), "work/.wandb/other": ""}),
    "WANDB_DIR does not move the settings": Row(
        None, ON_PREMISES, environ={"WANDB_DIR": "elsewhere"},
        files={LOCAL: settings(base_url=ON_PREMISES), "work/elsewhere/wandb/settings": settings(base_url=PORT)},
    ),
    "WANDB_CONFIG_DIR": Row(
        None, PORT, environ={"WANDB_CONFIG_DIR": "~/conf"},
        files={GLOBAL: settings(base_url=ON_PREMISES), "conf/settings": settings(base_url=PORT)},
    ),
    "a variable before the settings": Row(
        None, PORT, environ=HERE, files={GLOBAL: settings(base_url=ON_PREMISES)}
    ),
    "a key in the settings": Row(A, PORT, files={GLOBAL: settings(base_url=PORT, api_key=A)}),
    "a key in the settings, and netrc": Row(
        B, PORT, files={GLOBAL: settings(base_url=PORT, api_key=A), ".netrc": entry("127.0.0.1:8080", B)},
        otherwise={OLD: A, NEWER: A},
    ),
    "a key in the settings of the directory": Row(
        B, PORT, environ=HERE, files={LOCAL: settings(api_key=B), GLOBAL: settings(api_key=A)}
    ),
    "wandb offline": Row(None, offline=True, files={LOCAL: settings(mode="offline")}),
    "wandb online after all": Row(
        None, files={LOCAL: settings(mode="online"), GLOBAL: settings(mode="offline")}
    ),
    "dryrun": Row(None, offline=True, environ={"WANDB_MODE": "dryrun"}),
    "dryrun in the settings": Row(None, offline=True, files={GLOBAL: settings(mode="dryrun")}),
    "a variable before the settings' mode": Row(
        None, environ={"WANDB_MODE": "online"}, files={LOCAL: settings(mode="offline")}
    ),
    "an identity token": Row(TOKEN, environ={"WANDB_IDENTITY_TOKEN_FILE": "token"}),
    "an identity token beside netrc": Row(
        TOKEN, ON_PREMISES, environ={"WANDB_IDENTITY_TOKEN_FILE": "token", **THERE},
        files={".netrc": entry("wandb.example.com")},
    ),
    "an identity token beside a key": Row(
        A, environ={"WANDB_IDENTITY_TOKEN_FILE": "token", "WANDB_API_KEY": A},
        otherwise={OLD: TOKEN, NEWER: TOKEN, NEWEST: ""},
    ),
    "the default server by its new name": Row(
        A, FORGE, environ={"WANDB_BASE_URL": FORGE}, files={".netrc": entry("api.forge.coreweave.com")}
    ),
    "the new name's server, the old name's entry": Row(
        A, FORGE, environ={"WANDB_BASE_URL": FORGE}, files={".netrc": entry("api.wandb.ai")},
        otherwise={OLD: None, NEWER: None},
    ),
    "the new name's server, the old name's entry and a default": Row(
        B, FORGE, environ={"WANDB_BASE_URL": FORGE}, files={".netrc": entry("api.wandb.ai") + entry("default", B)}
    ),
    "the old name's server, the new name's entry": Row(
        A, CLASSIC, environ=TO_CLASSIC, files={".netrc": entry("api.forge.coreweave.com")},
        otherwise={OLD: None, NEWER: None, NEWEST: None},  # one deployment: a key for it is one for it
    ),
    "a proxy of the new server": Row(
        A, FORGE, environ={"WANDB_BASE_URL": "https://forge.coreweave.com/api/wandb/"},
        files={".netrc": entry("api.forge.coreweave.com")},
        otherwise={OLD: None, NEWER: None},
    ),
    "a web page of the new server": Row(
        "", environ={"WANDB_BASE_URL": "https://forge.coreweave.com/wandb"},
        otherwise={OLD: None, NEWER: None},
    ),
    "a web page for the server": Row("", environ={"WANDB_BASE_URL": "https://wandb.ai"}),
    "W&B without TLS": Row("", environ={"WANDB_BASE_URL": "http://api.wandb.ai"}),
    "no scheme": Row("", environ={"WANDB_BASE_URL": "wandb.example.com"}),
    "a bracket": Row("", environ={"WANDB_BASE_URL": "http://[::1"}),
    "a port that is none": Row("", environ={"WANDB_BASE_URL": "http://h:abc"}),
    "a path": Row(
        A, "https://example.com/wandb", environ={"WANDB_BASE_URL": "https://example.com/wandb/"},
        files={".netrc": entry("example.com")},
    ),
    "settings that are none": Row(None, files={GLOBAL: "base_url\n"}, otherwise={OLD: "", NEWER: ""}),
}  # fmt: skip

# For each directory on stdin, its variables beside it: what a login resolves there. Forks, so that the import is paid
# for once. {theirs} or {ours} stands before it.
EACH = """
import json, os, sys
def each(resolve):
    for name, home, environ in json.load(sys.stdin):
        sys.stdout.flush()
        if not os.fork():
            os.chdir(home + "/work")
            os.environ.update(environ, HOME=home, WANDB_SILENT="true")
            try:
                found = resolve()
            except BaseException as error:
                found = {"key": "", "error": f"{type(error).__name__}: {error}"}
            print(json.dumps([name, found]), flush=True)
            os._exit(0)
        os.wait()
"""
THEIRS = """
import wandb
from wandb.proto import wandb_telemetry_pb2
from wandb.sdk import wandb_init, wandb_setup
def resolve():
    setup = wandb_setup.singleton()
    url, offline = setup.settings.base_url, setup.settings._offline
    found = {"url": url, "offline": offline, "default": wandb.Settings().base_url}
    try:
        wandb_init._WandbInit(setup, wandb_telemetry_pb2.TelemetryRecord()).maybe_login(wandb.Settings())
    except wandb.errors.UsageError as error:
        if "No API key configured" in str(error) or "api_key not configured" in str(error):
            return {**found, "key": None}
        raise
    settings = wandb_setup.singleton().settings
    if settings.identity_token_file:
        return {**found, "key": "the identity token"}
    try:
        from wandb.sdk.lib import apikey
        return {**found, "key": apikey.api_key(settings)}
    except ImportError:
        return {**found, "key": settings.api_key}
each(resolve)
"""
OURS = """
from shim import login
def resolve():
    url = login.find_server(os.environ).url
    mode = login.find_mode(os.environ)
    found = None if mode and mode.value == "offline" else login.find_login(os.environ, url)
    key = "the identity token" if found and found.place == "identity" else found and found.key
    return {"url": url, "offline": bool(mode) and mode.value == "offline", "key": key}
each(resolve)
"""


@pytest.fixture
def machines(tmp_path: Path) -> list[tuple[str, str, dict[str, str]]]:
    found = []
    for number, (name, row) in enumerate(ROWS.items()):
        home = tmp_path / f"home-{number}"
        (home / "work").mkdir(parents=True)
        (home / "work" / "token").write_text("token")
        for path, text in row.files.items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(text)
        found.append((name, str(home), row.environ))
    return found


def resolved(
    python: Path, program: str, machines: list[tuple[str, str, dict[str, str]]], environ: dict[str, str]
) -> dict[str, Any]:
    done = subprocess.run(
        [str(python), "-c", EACH + program],
        input=json.dumps(machines),
        capture_output=True,
        text=True,
        env={**environ, "PYTHONPATH": str(REPOSITORY)} if program is OURS else environ,
        check=True,
    )
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("release", RELEASES)
def test_what_wandb_resolves_is_resolved(
    release: str, machines: list[tuple[str, str, dict[str, str]]], clean_environment: dict[str, str]
) -> None:
    python = python_of(release)
    theirs = resolved(python, THEIRS, machines, clean_environment)
    ours = resolved(python, OURS, machines, clean_environment)
    wrong = []
    for name, row in ROWS.items():
        their, our = theirs[name], ours[name]
        if our["key"] != row.key:
            wrong.append(f"{name}: we resolve {our}, not {row.key}")
        if their["key"] != row.otherwise.get(release, row.key):
            wrong.append(f"{name}: wandb resolves {their}")
        if row.key == "" or their["key"] == "":
            continue
        expected = row.url or their["default"]
        if our["url"] != row.url or our["offline"] != their["offline"] or our["offline"] != row.offline:
            wrong.append(f"{name}: {our} is not {their}")
        if their["url"] != expected and release == NEWEST:
            wrong.append(f"{name}: wandb goes to {their['url']}")
    assert wrong == []
