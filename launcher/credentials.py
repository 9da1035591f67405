"""The host's login, as `shim.login` finds it, with errors that say what to do before a job is queued."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from shim import environment as contract
from shim import login, viewer

from .errors import LauncherError

Credentials = login.Login

# Seconds for the whole early check, name lookup and proxies included.
CHECK_TIMEOUT = 5.0


def find_server(environ: Mapping[str, str]) -> login.Server:
    """The server of this host: WANDB_BASE_URL, else what `wandb login --host` wrote to wandb's settings.

    Raises:
        LauncherError: For an address that is none.
    """
    try:
        return login.find_server(environ)
    except login.LoginError as error:
        raise LauncherError(str(error)) from None


def find_credentials(environ: Mapping[str, str], base_url: str | None = None) -> Credentials | None:
    """The key for a server; None where this host has no login for it.

    Args:
        environ: The host's environment.
        base_url: The server; None for W&B's own.

    Raises:
        LauncherError: Where WANDB_API_KEY_FILE or the netrc file cannot be read.
    """
    try:
        return login.find_login(environ, base_url)
    except login.LoginError as error:
        raise LauncherError(str(error)) from None


def missing_key(environ: Mapping[str, str], base_url: str | None) -> LauncherError:
    """The error for a host without a login, with the ways out."""
    host = urlsplit(login.shown(base_url)).netloc if base_url else "W&B"
    command = f"wandb login --host {login.shown(base_url)}" if base_url else "wandb login"
    others = login.logins_elsewhere(environ)
    elsewhere = f" (there is one for {', '.join(others)})" if others else ""
    return LauncherError(
        f"no API key for {host} on this host{elsewhere}: run `{command}`, or set {contract.API_KEY}, "
        f"or ask for an offline run with {contract.MODE}=offline"
    )


def check_key(base_url: str | None, key: str, source: str = "", timeout: float = CHECK_TIMEOUT) -> str:
    """Ask the server whether it takes the key, before a job waits hours in a queue to find out.

    Args:
        base_url: The server; None for W&B's own.
        key: The key.
        source: Who named the server, for people; "" for nobody.
        timeout: Seconds after which the server counts as not reachable from here.

    Returns:
        "" when the key is good; else a note: this host cannot tell, the job may.

    Raises:
        LauncherError: When the server rejects the key, or is none.
    """
    url = base_url or login.DEFAULT_URL
    answer = viewer.ask(url, key, os.environ, timeout)
    if answer.status in (401, 403):
        command = f"wandb login --relogin --host {login.shown(url)}" if base_url else "wandb login --relogin"
        raise LauncherError(
            f"{login.shown(url)} rejects the API key (HTTP {answer.status}): run `{command}`, or set a valid key"
        )
    if answer.other:
        raise LauncherError(
            f"{source or contract.BASE_URL}: {contract.BASE_URL}={login.shown(url)} {answer.text}: name the W&B server "
            f"there, or verify=False where only the job can reach it"
        )
    return "" if answer.status == 200 else f"the key could not be checked from here: {login.shown(url)} {answer.text}"
