"""Ask a W&B server whom it takes an API key for: one request, bounded, sent to no other server.

Standard library only.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from . import login

# Bytes of an answer that are read; the answer to this question has some hundred.
_MAX_ANSWER = 1 << 20

_QUESTION = json.dumps({"query": "query Viewer { viewer { id } }", "operationName": "Viewer"}).encode()


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Attributes:
        status: HTTP status; 401, too, where the server says 200 but knows nobody with this key; 0 where no W&B server
            has answered.
        text: What to tell people, to follow the server's address in a sentence; "" where the key is taken.
        untrusted: Whether this process refused the server's certificate; wandb may know other certificates.
        other: Whether something has answered there that is no W&B server.
    """

    status: int
    text: str = ""
    untrusted: bool = False
    other: bool = False


def ask(base_url: str, key: str | None, environ: Mapping[str, str], timeout: float) -> Answer:
    """Ask the server; never raises.

    Args:
        base_url: The server, e.g. "https://api.wandb.ai".
        key: The API key; None where an identity token takes its place, which is not exchanged here.
        environ: The environment, for WANDB_INSECURE_DISABLE_SSL.
        timeout: Seconds for the whole question, name lookup and proxies included.
    """
    problem = login.address_problem(base_url)
    if problem:
        return Answer(0, problem)
    answer: list[Answer] = []
    thread = threading.Thread(target=lambda: answer.append(_ask(base_url, key, environ, timeout)), daemon=True)
    thread.start()
    thread.join(timeout)
    return answer[0] if answer else _late(timeout)


def _ask(base_url: str, key: str | None, environ: Mapping[str, str], timeout: float) -> Answer:
    request = urllib.request.Request(base_url.rstrip("/") + "/graphql", data=_QUESTION)
    request.add_header("Content-Type", "application/json")
    request.add_header("User-Agent", "wandb-shim")
    if key:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"api:{key}".encode()).decode())
    try:
        # An opener of our own: urlopen would install one, and the program's own requests would go through it.
        with _opener(environ).open(request, timeout=timeout) as response:
            answer = json.loads(response.read(_MAX_ANSWER))
    except urllib.error.HTTPError as error:
        return Answer(error.code, f"answers HTTP {error.code}", other=error.code in (404, 405))
    except TimeoutError:
        return _late(timeout)
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            return _late(timeout)
        return Answer(0, f"cannot be reached: {error.reason}", "CERTIFICATE_VERIFY_FAILED" in str(error.reason))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answer(0, f"does not answer as a W&B server: {_said(error)}", other=not isinstance(error, OSError))
    data = answer.get("data") if isinstance(answer, dict) else None
    if isinstance(answer, dict) and answer.get("errors") and not data:
        return Answer(400, "answers with an error")
    if not isinstance(data, dict) or "viewer" not in data:
        return Answer(0, "does not answer as a W&B server", other=True)
    return Answer(200) if data["viewer"] or not key else Answer(401, "knows nobody with this key")


def _late(timeout: float) -> Answer:
    return Answer(0, f"gave no answer within {timeout:g} s")


def _said(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:100] or type(error).__name__


class _KeyStaysHere(urllib.request.HTTPRedirectHandler):
    """Follow a redirect to another server without the API key, as wandb does."""

    def redirect_request(self, req: urllib.request.Request, *rest: Any) -> urllib.request.Request | None:
        followed = super().redirect_request(req, *rest)
        if followed is not None and urlsplit(followed.full_url)[:2] != urlsplit(req.full_url)[:2]:
            followed.remove_header("Authorization")
        return followed


def _opener(environ: Mapping[str, str]) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_KeyStaysHere()]
    if environ.get("WANDB_INSECURE_DISABLE_SSL", "").strip().lower() in ("true", "1", "yes", "on", "t", "y"):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        handlers.append(urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)
