"""The host's W&B login: which server, which key, and whether the server takes it.

Standard library only. wandb has no way to ask for the key that is quiet, stays off the network and is the same in all
releases: `wandb.api.api_key` prints a deprecation from 0.31, `wandb.login` goes to the network from 0.31, `apikey` is
gone since 0.23. The files themselves have not changed: netrc for the key, wandb's settings files for the server.
"""

from __future__ import annotations

import base64
import configparser
import json
import netrc
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from shim import environment as contract

from .errors import LauncherError

# The default server: the second from wandb 0.31.0, the first before (wandb/sdk/lib/urls.py). The key of one is the
# key of the other: 0.31.0 itself falls back to the entry of the first.
DEFAULT_HOSTS = ("api.forge.coreweave.com", "api.wandb.ai")
DEFAULT_URL = "https://api.wandb.ai"

OFFLINE_MODES = ("offline", "dryrun", "disabled")  # wandb/sdk/wandb_settings.py: the values that need no server

# Seconds for the whole early check, name lookup and proxies included.
CHECK_TIMEOUT = 5.0

_VIEWER = json.dumps({"query": "query Viewer { viewer { id } }", "operationName": "Viewer"}).encode()


@dataclass(frozen=True)
class Server:
    """Where runs go.

    Attributes:
        url: Base URL without a slash at the end; None for the default of whichever wandb release the job has.
        source: Who said so, for people; "" for the default.
    """

    url: str | None = None
    source: str = ""


@dataclass(frozen=True)
class Credentials:
    """A login.

    Attributes:
        key: The API key; None where the login is an identity token.
        source: Where it was found, for people: "wandb login (~/.netrc)".
        place: "environment", "file" (WANDB_API_KEY_FILE), "netrc", "identity" or "given" (to us, explicitly).
    """

    key: str | None = field(repr=False)
    source: str
    place: str


def find_server(environ: Mapping[str, str]) -> Server:
    """The server of this host: WANDB_BASE_URL, else what `wandb login --host` wrote to wandb's settings.

    Args:
        environ: The host's environment.
    """
    url = environ.get(contract.BASE_URL)
    if url:
        return Server(url.rstrip("/"), "environment")
    for path in _settings_files(environ):
        url = _read_setting(path, "base_url")
        if url:
            return Server(url.rstrip("/"), f"wandb login ({_short(path, environ)})")
    return Server()


def find_credentials(environ: Mapping[str, str], base_url: str | None = None) -> Credentials | None:
    """The key for a server; None where this host has no login for it.

    Args:
        environ: The host's environment.
        base_url: The server; None for W&B's own.

    Raises:
        LauncherError: Where WANDB_API_KEY_FILE or the netrc file cannot be read.
    """
    key = environ.get(contract.API_KEY, "").strip()
    if key:
        return Credentials(key, "environment", "environment")
    if environ.get(contract.API_KEY_FILE):
        return Credentials(read_key_file(environ[contract.API_KEY_FILE]), contract.API_KEY_FILE, "file")
    found = _from_netrc(environ, base_url)
    if found:
        return found
    if environ.get(contract.IDENTITY_TOKEN_FILE):
        return Credentials(None, contract.IDENTITY_TOKEN_FILE, "identity")
    return None


def missing_key(environ: Mapping[str, str], base_url: str | None) -> LauncherError:
    """The error for a host without a login, with the ways out."""
    host = urlsplit(base_url).netloc if base_url else "W&B"
    login = f"wandb login --host {base_url}" if base_url else "wandb login"
    others = [name for name in _netrc_entries(environ) if _looks_like_wandb(name)]
    elsewhere = f" (there is one for {', '.join(others)})" if others else ""
    return LauncherError(
        f"no API key for {host} on this host{elsewhere}: run `{login}`, or set {contract.API_KEY}, "
        f"or ask for an offline run with {contract.MODE}=offline"
    )


def read_key_file(path: str) -> str:
    """The key in a file, as the shim reads it: one line, surrounding white space ignored."""
    try:
        key = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LauncherError(f"{contract.API_KEY_FILE}={path} cannot be read ({type(error).__name__})") from None
    if not key:
        raise LauncherError(f"{contract.API_KEY_FILE}={path} is empty: write the API key into it")
    return key


def check_key(base_url: str | None, key: str, timeout: float = CHECK_TIMEOUT) -> str:
    """Ask the server whether it takes the key, before a job waits hours in a queue to find out.

    Args:
        base_url: The server; None for W&B's own.
        key: The key.
        timeout: Seconds after which the server counts as not reachable from here.

    Returns:
        "" when the key is good; else a note: this host cannot tell, the job may.

    Raises:
        LauncherError: When the server rejects the key.
    """
    url = base_url or DEFAULT_URL
    answer: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: answer.append(_ask(url, key, timeout)), daemon=True)
    thread.start()
    thread.join(timeout)
    status, text = answer[0] if answer else (0, f"no answer within {timeout:g} s")
    if status in (401, 403):
        login = f"wandb login --relogin --host {url}" if base_url else "wandb login --relogin"
        raise LauncherError(f"{url} rejects the API key (HTTP {status}): run `{login}`, or set a valid key")
    return "" if status == 200 else f"{url}: the key could not be checked from here: {text}"


def _ask(url: str, key: str, timeout: float) -> tuple[int, str]:
    """HTTP status (0: none; 401 too where an answer of 200 knows nobody) and what to tell people."""
    request = urllib.request.Request(url + "/graphql", data=_VIEWER)
    request.add_header("Content-Type", "application/json")
    request.add_header("User-Agent", "wandb-shim")
    request.add_header("Authorization", "Basic " + base64.b64encode(f"api:{key}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, f"HTTP {error.code}"
    except urllib.error.URLError as error:
        return 0, str(error.reason)
    except (OSError, ValueError) as error:
        return 0, f"not a W&B server: {error or type(error).__name__}"
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict) or "viewer" not in data:
        return 0, "not a W&B server"
    return (200, "") if data["viewer"] else (401, "")


def _settings_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Files with settings of wandb, strongest first (wandb/sdk/lib/settings_file.py, wandb/sdk/wandb_setup.py)."""
    root = Path(environ.get(contract.DIR) or Path.cwd())
    yield from (root / name / "settings" for name in (".wandb", "wandb"))
    folder = environ.get("WANDB_CONFIG_DIR")
    yield (Path(folder).expanduser() if folder else _home(environ) / ".config" / "wandb") / "settings"


def _read_setting(path: Path, name: str) -> str | None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None  # wandb, too, treats settings that it cannot read as empty
    return parser.get("default", name, fallback=None) or None


def _from_netrc(environ: Mapping[str, str], base_url: str | None) -> Credentials | None:
    entries = _netrc_entries(environ)
    found = next((name for name in _netrc_names(base_url) if entries.get(name)), None)
    if found is None:
        return None
    return Credentials(entries[found], f"wandb login ({_short(_netrc_path(environ), environ)})", "netrc")


def _netrc_names(base_url: str | None) -> list[str]:
    """Names that the entry of a server may have: with its port from wandb 0.23.1, without one up to 0.22.3."""
    if not base_url:
        return list(DEFAULT_HOSTS)
    parts = urlsplit(base_url)
    names = [parts.netloc, parts.hostname or ""]
    if parts.hostname in DEFAULT_HOSTS:
        names += DEFAULT_HOSTS
    return list(dict.fromkeys(name for name in names if name))


def _netrc_entries(environ: Mapping[str, str]) -> dict[str, str]:
    """Password by machine name; empty where there is no file."""
    path = _netrc_path(environ)
    try:
        hosts = netrc.netrc(str(path)).hosts
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError) as error:
        # The parser's own message can quote the file, so only its line goes on.
        line = f", line {error.lineno}" if isinstance(error, netrc.NetrcParseError) and error.lineno else ""
        raise LauncherError(
            f"{path}{line}: cannot be read as a netrc file ({type(error).__name__}): "
            f"repair it, or set {contract.API_KEY}"
        ) from None
    return {name: entry[2] for name, entry in hosts.items() if entry[2]}


def _netrc_path(environ: Mapping[str, str]) -> Path:
    if environ.get("NETRC"):
        return Path(environ["NETRC"]).expanduser()
    candidates = [_home(environ) / name for name in (".netrc", "_netrc")]
    return next((path for path in candidates if path.exists()), candidates[0])


def _looks_like_wandb(name: str) -> bool:
    return name in DEFAULT_HOSTS or "wandb" in name


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or os.path.expanduser("~"))


def _short(path: Path, environ: Mapping[str, str]) -> str:
    """A path with the home directory as `~`."""
    home = _home(environ)
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
