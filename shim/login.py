"""The W&B login of one machine: which server, which key, and where each was found.

Launcher and shim both ask this module, so that they agree with each other and with wandb. The rule is what wandb 0.31.0
resolves; where 0.31.0 finds nothing, what older releases find counts (tests/integration/test_login.py compares with the
real ones). wandb itself cannot be asked: no call of it is quiet, stays off the network and is the same in all releases.

Standard library only.
"""

from __future__ import annotations

import configparser
import netrc
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from . import environment

# The hosts of W&B's own deployments, each with the host that it stands for (wandb/sdk/lib/urls.py, 0.31.0). The
# default server is api.forge.coreweave.com from 0.31.0, api.wandb.ai before; a key of one is a key of the other.
FORGE_HOSTS = {"forge.coreweave.com": "api.wandb.ai", "qa.forge.coreweave.com": "api.qa.wandb.ai"}
DEFAULT_HOSTS = ("api.forge.coreweave.com", "api.wandb.ai")
DEFAULT_URL = "https://api.wandb.ai"

OFFLINE_MODES = ("offline", "dryrun", "disabled")  # wandb/sdk/wandb_settings.py: the values that need no server

# Bytes. A key has 40 to 100, a token some thousand.
MAX_KEY_FILE = 64 * 1024


class LoginError(Exception):
    """A login that cannot be read; the message names the variable or the file, and what to do."""


@dataclass(frozen=True)
class Found:
    """A value of wandb's settings files.

    Attributes:
        value: The value.
        source: Where it stands, for people: "~/.config/wandb/settings, line 2".
    """

    value: str
    source: str


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
class Login:
    """What a process logs in with.

    Attributes:
        key: The API key; None where the login is an identity token.
        source: Where it was found, for people: "wandb login (~/.netrc)".
        place: "environment", "file" (WANDB_API_KEY_FILE), "identity", "netrc", "settings" or "given" (by a program).
    """

    key: str | None = field(repr=False)
    source: str
    place: str


def find_server(environ: Mapping[str, str]) -> Server:
    """The server: WANDB_BASE_URL, else what `wandb login --host` wrote to wandb's settings.

    Args:
        environ: The environment. Settings are looked for in the working directory, as wandb does.

    Raises:
        LoginError: The address is none, or W&B refuses it; no other server is ever taken in its place.
    """
    found = None
    if environ.get(environment.BASE_URL):
        found = Found(environ[environment.BASE_URL], environment.BASE_URL)
    found = found or find_setting(environ, "base_url")
    if found is None:
        return Server()
    problem = address_problem(found.value)
    if problem:
        raise LoginError(f"{found.source}: {shown(found.value)} {problem}")
    source = "environment" if found.source == environment.BASE_URL else f"wandb login ({found.source})"
    return Server(normal(found.value), source)


def find_login(environ: Mapping[str, str], base_url: str | None = None) -> Login | None:
    """The key for a server; None where this machine has none.

    Args:
        environ: The environment.
        base_url: The server; None for W&B's own.

    Raises:
        LoginError: Where WANDB_API_KEY_FILE or the netrc file cannot be read.
    """
    key = environ.get(environment.API_KEY, "").strip()
    if key:
        return Login(key, "environment", "environment")
    if environ.get(environment.API_KEY_FILE):
        return Login(read_key_file(environ[environment.API_KEY_FILE]), environment.API_KEY_FILE, "file")
    if environ.get(environment.IDENTITY_TOKEN_FILE):
        return Login(None, environment.IDENTITY_TOKEN_FILE, "identity")
    entries = _netrc_entries(environ)
    source = f"wandb login ({short(netrc_path(environ), environ)})"
    for name in _names(base_url, entries):
        if entries.get(name):
            return Login(entries[name], source, "netrc")
    setting = find_setting(environ, "api_key")
    if setting and setting.value.strip() and _is_server_of_settings(environ, base_url):
        return Login(setting.value.strip(), f"wandb's settings ({setting.source})", "settings")
    for name in _names_of_old(base_url):
        if entries.get(name):
            return Login(entries[name], source, "netrc")
    return None


def find_mode(environ: Mapping[str, str]) -> Found | None:
    """WANDB_MODE, else what `wandb offline` wrote; `dryrun`, the old name of "offline", becomes that."""
    found = find_setting(environ, "mode")
    if environ.get(environment.MODE):
        found = Found(environ[environment.MODE], environment.MODE)
    return Found("offline", found.source) if found and found.value == "dryrun" else found


def logins_elsewhere(environ: Mapping[str, str]) -> list[str]:
    """The hosts of the W&B servers for which the netrc file has an entry."""
    try:
        names = _netrc_entries(environ)
    except LoginError:
        return []
    return [name for name in names if "wandb" in name or _forge_host(name)]


# --- addresses ----------------------------------------------------------------------------------------------------


def address_problem(url: str) -> str:
    """What is wrong with a server's address, to follow the address in a sentence; "" where wandb takes the address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no address of a server: a bracket or the port is wrong"
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\x00-\x1f\\]", url) or port == 0:
        return "is no address of a server: write it as https://wandb.example.com"
    if parts.hostname in FORGE_HOSTS:
        proxy = parts.scheme == "https" and port is None and parts.path.rstrip("/") == "/api/wandb"
        return "" if proxy else f"is no W&B server: use https://api.{parts.hostname}"
    if _is_public(parts.hostname):
        if "api." not in parts.hostname:
            return f"is a web page of W&B, not its server: use {DEFAULT_URL}"
        if parts.scheme != "https":
            return f"would send the API key unencrypted: use https://{parts.hostname}"
    return ""


def normal(url: str) -> str:
    """An address as wandb compares it: no slash at the end, a proxy's path replaced by what it stands for."""
    host = urlsplit(url).hostname
    return f"https://api.{host}" if host in FORGE_HOSTS else url.rstrip("/")


def shown(url: str) -> str:
    """An address for people's eyes: a password in it is hidden, control characters are escaped."""
    text = re.sub(r"(?<=//)[^/@]*@", "********@", url)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _is_public(host: str) -> bool:
    return host == "wandb.ai" or host.endswith(".wandb.ai") or _forge_host(host) is not None


def _forge_host(host: str | None) -> str | None:
    return next((forge for forge, api in FORGE_HOSTS.items() if host in (forge, f"api.{forge}", api)), None)


def _is_server_of_settings(environ: Mapping[str, str], base_url: str | None) -> bool:
    """Whether the settings files, or the variable that wins over them, name this server; 0.31.0 asks the same."""
    try:
        server = find_server(environ).url
    except LoginError:
        return False
    return server == base_url or {server, base_url} <= {None, *(f"https://{host}" for host in DEFAULT_HOSTS)}


# --- netrc ----------------------------------------------------------------------------------------------------


def netrc_path(environ: Mapping[str, str]) -> Path:
    """The file that `wandb login` writes keys to, whether it exists or not."""
    if environ.get("NETRC"):
        return _expanded(environ["NETRC"], environ)
    candidates = [_home(environ) / name for name in (".netrc", "_netrc")]
    return next((path for path in candidates if path.exists()), candidates[0])


def _netrc_entries(environ: Mapping[str, str]) -> dict[str, str]:
    """Password by machine name, "default" included; empty where there is no file.

    Raises:
        LoginError: Where the file cannot be read.
    """
    path = netrc_path(environ)
    try:
        hosts = netrc.netrc(str(path)).hosts
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError) as error:
        # The parser's own message can quote the file, so only the number of the line is passed on.
        line = f", line {error.lineno}" if isinstance(error, netrc.NetrcParseError) and error.lineno else ""
        raise LoginError(
            f"{path}{line}: cannot be read as a netrc file ({type(error).__name__}): "
            f"repair it, or set {environment.API_KEY}"
        ) from None
    return {name: entry[2] for name, entry in hosts.items() if entry[2]}


def _names(base_url: str | None, entries: Mapping[str, str]) -> Iterator[str]:
    """Names of the entries that wandb 0.31.0 would read for a server, in its order."""
    if base_url is None:
        yield from DEFAULT_HOSTS
        yield "default"
        return
    parts = urlsplit(normal(base_url))
    yield parts.netloc
    if "default" in entries:  # the netrc module's own answer for a machine without an entry
        yield "default"
    elif _forge_host(parts.hostname):
        yield FORGE_HOSTS[_forge_host(parts.hostname) or ""]


def _names_of_old(base_url: str | None) -> Iterator[str]:
    """Names that older releases read: up to 0.22.3 the host without its port; then the hosts of the same deployment."""
    host = urlsplit(base_url or DEFAULT_URL).hostname or ""
    yield host
    if host in DEFAULT_HOSTS:
        yield from DEFAULT_HOSTS


# --- files --------------------------------------------------------------------------------------------------------


def read_key_file(path: str) -> str:
    """The key in a file: one line, surrounding white space ignored.

    Raises:
        LoginError: The file has no key, is no plain file or cannot be read; a FIFO is not waited for.
    """
    name = f"{environment.API_KEY_FILE}={path}"
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise LoginError(f"{name} is no plain file: write the API key into one")
            content = file.read(MAX_KEY_FILE + 1)
        key = content.decode().strip()
    except IsADirectoryError:
        raise LoginError(f"{name} is no plain file: write the API key into one") from None
    except (OSError, ValueError) as error:
        raise LoginError(f"{name} cannot be read ({type(error).__name__})") from None
    if len(content) > MAX_KEY_FILE:
        raise LoginError(f"{name} is larger than 64 KiB: that is no API key")
    if not key:
        raise LoginError(f"{name} is empty: write the API key into it")
    return key


def find_setting(environ: Mapping[str, str], name: str) -> Found | None:
    """One setting of wandb's settings files: of that in the working directory, else of that in the home directory.

    WANDB_DIR has no part in this: wandb reads the files before it reads that variable (wandb/sdk/wandb_setup.py,
    `_load_settings`).

    Args:
        environ: The environment.
        name: The setting's name: "base_url", "mode".
    """
    folder = environ.get("WANDB_CONFIG_DIR")
    directory = _expanded(folder, environ) if folder else _home(environ) / ".config" / "wandb"
    for path in (Path(".wandb" if os.path.exists(".wandb") else "wandb"), directory):
        found = _read_setting(path / "settings", name, environ)
        if found:
            return found
    return None


def _read_setting(path: Path, name: str, environ: Mapping[str, str]) -> Found | None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        text = path.read_text(encoding="utf-8")
        parser.read_string(text)
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None  # wandb, too, treats settings that it cannot read as empty
    value = parser.get("default", name, fallback="")
    if not value:
        return None
    lines = enumerate(text.splitlines(), 1)
    number = next((number for number, line in lines if re.match(rf"\s*{name}\s*[=:]", line, re.IGNORECASE)), 1)
    return Found(value, f"{short(path, environ)}, line {number}")


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or os.path.expanduser("~"))


def _expanded(path: str, environ: Mapping[str, str]) -> Path:
    """A path with `~` replaced, where that names a home directory."""
    if path == "~" or path.startswith("~/"):
        return _home(environ) / path[2:]
    return Path(os.path.expanduser(path))


def short(path: Path, environ: Mapping[str, str]) -> str:
    """A path with the home directory as `~`."""
    home = _home(environ)
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
