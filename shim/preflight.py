"""Is there a key, does the server answer and accept it? Decided before wandb is asked.

A failed online `wandb.init` costs 100 s, and up to wandb 0.27 the process then never exits; with the answer known
beforehand the run is opened offline at once and nothing is lost. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from . import environment, login, viewer

# Seconds for the whole look; a healthy server answers in tenths.
BOUND = 10.0


@dataclass(frozen=True)
class Outlook:
    """What opening a run can hope for.

    Attributes:
        online: Whether to try.
        reason: Why not, for people; empty when online.
        doubt: Why an attempt that is to be made may fail, to follow the server's address in a sentence.
        is_other: Whether something has answered there that is no W&B server.
    """

    online: bool
    reason: str = ""
    doubt: str = ""
    is_other: bool = False


def look(environ: Mapping[str, str], base_url: str, file_key: str | None = None, problem: str = "") -> Outlook:
    """Look for a key and at the server, within `BOUND` seconds.

    Args:
        environ: The process's environment.
        base_url: The server, e.g. "https://api.wandb.ai".
        file_key: What `key_from_file` found.
        problem: What was wrong with that file.
    """
    mode = login.find_mode(environ)
    if mode and mode.value == "offline":
        said = f"{environment.MODE}=offline"
        return Outlook(False, said if mode.source == environment.MODE else f"{said} in {mode.source}")
    key, reason = file_key, problem
    if not key:
        found, unreadable = _login(environ, base_url)
        key, reason = (found.key if found else None), problem or unreadable
        if found is None:
            return Outlook(False, reason or _no_key(base_url))
    return _judged(base_url, key, viewer.ask(base_url, key, environ, BOUND))


def key_from_file(environ: Mapping[str, str]) -> tuple[str | None, str]:
    """The key in WANDB_API_KEY_FILE, and what is wrong with that file; where WANDB_API_KEY is set, neither."""
    path = environ.get(environment.API_KEY_FILE)
    if not path or environ.get(environment.API_KEY, "").strip():
        return None, ""
    try:
        return login.read_key_file(path), ""
    except login.LoginError as error:
        return None, str(error)


def any_key(environ: Mapping[str, str], base_url: str, file_key: str | None = None) -> str | None:
    """The key for a server, wherever it is; None where there is none, or none that can be read.

    Args:
        environ: The process's environment.
        base_url: The server.
        file_key: What `key_from_file` found; None, too, where WANDB_API_KEY is set.
    """
    if file_key:
        return file_key
    found, _ = _login(environ, base_url)
    return found.key if found else None


def _login(environ: Mapping[str, str], base_url: str) -> tuple[login.Login | None, str]:
    """The login that wandb will find by itself, and what is wrong with its files; it knows no WANDB_API_KEY_FILE."""
    known_to_wandb = {name: value for name, value in environ.items() if name != environment.API_KEY_FILE}
    try:
        return login.find_login(known_to_wandb, base_url), ""
    except login.LoginError as error:
        return None, str(error)


def _no_key(base_url: str) -> str:
    host = urlsplit(login.shown(base_url)).netloc if not login.address_problem(base_url) else "the server"
    return f"no API key for {host}: set {environment.API_KEY} or {environment.API_KEY_FILE}, or run `wandb login`"


def _judged(base_url: str, key: str | None, answer: viewer.Answer) -> Outlook:
    url = login.shown(base_url)
    if answer.status in (401, 403):
        if not key:  # there is an identity token in its place, which wandb alone can exchange
            return Outlook(True)
        told = "run `wandb login --relogin` or set a valid key"
        return Outlook(False, f"{url} rejects the API key (HTTP {answer.status}): {told}")
    # 429 and the like: wandb itself knows how to wait.
    wandb_can_judge = 0 < answer.status < 500 or answer.untrusted
    if wandb_can_judge:
        return Outlook(True, doubt=answer.text, is_other=answer.other)
    return Outlook(False, f"{url} {answer.text}", is_other=answer.other)
