"""Is there a key, does the server answer and accept it? Decided before wandb is asked.

A failed online `wandb.init` costs 100 s, and up to wandb 0.27 the process then never exits; with the answer known
beforehand the run is opened offline at once and nothing is lost. Standard library only.

The default server is W&B's, wherever the installed release believes it to be: from 0.31.0 another host than before,
so an unset WANDB_BASE_URL is resolved by asking the release itself.
"""

from __future__ import annotations

import base64
import json
import netrc
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from .. import environment

# Seconds. A healthy server answers in tenths; the whole look takes at most BOUND, also where the name lookup or a
# proxy hangs, since it runs in a thread that is not waited for any longer.
REQUEST_TIMEOUT = 8.0
BOUND = 10.0

# Where logins to the default server may be filed (wandb/sdk/lib/wbauth/wbnetrc.py, 0.31.0).
DEFAULT_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")

_VIEWER = json.dumps({"query": "query Viewer { viewer { id } }", "operationName": "Viewer"}).encode()


@dataclass(frozen=True)
class Outlook:
    """What opening a run can hope for.

    Attributes:
        online: Whether to try.
        reason: Why not, for people; empty when online.
    """

    online: bool
    reason: str = ""


def look(environ: Mapping[str, str], base_url: str, file_key: str | None = None, problem: str = "") -> Outlook:
    """Look for a key and at the server, within `BOUND` seconds.

    Args:
        environ: The process's environment.
        base_url: The server, e.g. "https://api.wandb.ai".
        file_key: What `key_from_file` found.
        problem: What was wrong with that file.
    """
    if environ.get(environment.MODE) == "offline":
        return Outlook(online=False, reason=f"{environment.MODE}=offline")
    key = environ.get(environment.API_KEY) or file_key or key_from_netrc(environ, base_url)
    if problem and not key:
        return Outlook(online=False, reason=problem)
    if not key and not environ.get(environment.IDENTITY_TOKEN_FILE):
        host = urlsplit(base_url).netloc
        reason = f"no API key for {host}: set {environment.API_KEY} or {environment.API_KEY_FILE}, or run `wandb login`"
        return Outlook(online=False, reason=reason)
    reason = _bounded_request(base_url, key)
    return Outlook(online=not reason, reason=reason)


def key_from_netrc(environ: Mapping[str, str], base_url: str) -> str | None:
    """The key that `wandb login` filed for this server.

    Up to wandb 0.22.3 the entry is named by the host, from 0.23.1 by host and port.
    """
    path = environ.get("NETRC") or _existing_netrc(environ)
    if not path:
        return None
    try:
        entries = netrc.netrc(os.path.expanduser(path))
    except (OSError, netrc.NetrcParseError):
        return None
    parts = urlsplit(base_url)
    names = [parts.netloc, parts.hostname or ""]
    if parts.hostname in DEFAULT_HOSTS:
        names += DEFAULT_HOSTS
    found = (entries.authenticators(name) for name in names if name in entries.hosts)
    return next((entry[2] for entry in found if entry and entry[2]), None)


def _existing_netrc(environ: Mapping[str, str]) -> str | None:
    home = environ.get("HOME") or os.path.expanduser("~")
    candidates = (os.path.join(home, name) for name in (".netrc", "_netrc"))
    return next((path for path in candidates if os.path.exists(path)), None)


def key_from_file(environ: Mapping[str, str]) -> tuple[str | None, str]:
    """The key in WANDB_API_KEY_FILE and what is wrong with it; a WANDB_API_KEY wins over the file."""
    path = environ.get(environment.API_KEY_FILE)
    if not path or environ.get(environment.API_KEY):
        return None, ""
    try:
        with open(path, encoding="utf-8") as file:
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{environment.API_KEY_FILE}={path} cannot be read ({type(error).__name__})"
    return (key, "") if key else (None, f"{environment.API_KEY_FILE}={path} is empty")


def _bounded_request(base_url: str, key: str | None) -> str:
    answer: list[str] = []
    thread = threading.Thread(target=lambda: answer.append(_request(base_url, key)), daemon=True)
    thread.start()
    thread.join(BOUND)
    return answer[0] if answer else f"{base_url} gave no answer within {BOUND:.0f} s"


def _request(base_url: str, key: str | None) -> str:
    """Ask the server who we are; the empty string when it is worth going online."""
    try:
        request = urllib.request.Request(base_url.rstrip("/") + "/graphql", data=_VIEWER)
    except ValueError:
        return f"{environment.BASE_URL}={base_url!r} is no address of a server"
    request.add_header("Content-Type", "application/json")
    request.add_header("User-Agent", "wandb-shim")
    if key:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"api:{key}".encode()).decode())
    try:
        # An opener of our own: urlopen would install one, and the script's own requests would go through it.
        with urllib.request.build_opener().open(request, timeout=REQUEST_TIMEOUT) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        return _judge_status(base_url, error.code, key)
    except urllib.error.URLError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error.reason):
            return ""  # wandb may have been given other certificates: let it try
        return f"{base_url} cannot be reached: {error.reason}"
    except (OSError, ValueError) as error:
        return f"{base_url} does not answer as a W&B server: {error or type(error).__name__}"
    viewer = answer.get("data") if isinstance(answer, dict) else None
    if key and isinstance(viewer, dict) and viewer.get("viewer") is None:
        return _judge_status(base_url, 401, key)
    return ""


def _judge_status(base_url: str, status: int, key: str | None) -> str:
    if status in (401, 403) and key:
        return f"{base_url} rejects the API key (HTTP {status}): run `wandb login --relogin` or set a valid key"
    if status >= 500:
        return f"{base_url} answers HTTP {status}"
    return ""  # 429 and the like: wandb itself knows how to wait
