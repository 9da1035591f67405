"""One question to a server: what it answers is told apart, and the key stays with the server that it is for."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from launcher.credentials import check_key
from launcher.errors import LauncherError
from shim import login, preflight
from shim.viewer import ask

KEY = "0123456789abcdef0123456789abcdef01234567"
SENT = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
GOOD = json.dumps({"data": {"viewer": {"id": "1"}}}).encode()

Answer = Callable[[BaseHTTPRequestHandler], None]
Serve = Callable[[Answer], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                answer(self)

            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def reply(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def test_a_good_key_passes_and_is_sent_as_wandb_sends_it(serve: Serve) -> None:
    seen = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        seen.append((request.path, request.headers["Authorization"]))
        reply(200, GOOD)(request)

    url = serve(answer)
    assert check_key(url, KEY) == ""
    assert preflight.look({"WANDB_API_KEY": KEY}, url).online
    assert seen == [("/graphql", SENT)] * 2


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_to_another_server_goes_without_the_key(serve: Serve, status: int) -> None:
    seen = []

    def other(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers["Authorization"])
        reply(200, GOOD)(request)

    elsewhere = serve(other)
    here = serve(reply(status, Location=elsewhere + "/graphql"))
    check_key(here, KEY)
    preflight.look({"WANDB_API_KEY": KEY}, here)
    assert seen == [None, None], "both halves follow, neither sends the key"


def test_a_redirect_on_the_same_server_keeps_the_key(serve: Serve) -> None:
    seen = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        seen.append((request.path, request.headers["Authorization"]))
        (reply(200, GOOD) if request.path == "/moved" else reply(302, Location="/moved"))(request)

    assert ask(serve(answer), KEY, {}, 5).status == 200
    assert seen == [("/graphql", SENT), ("/moved", SENT)]


REJECTING = {
    "401": reply(401),
    "403": reply(403),
    "nobody": reply(200, json.dumps({"data": {"viewer": None}}).encode()),
}


@pytest.mark.parametrize("answer", REJECTING.values(), ids=REJECTING)
def test_a_rejected_key_is_an_error(serve: Serve, answer: Answer) -> None:
    url = serve(answer)
    with pytest.raises(LauncherError, match=r"rejects the API key.*wandb login --relogin") as caught:
        check_key(url, KEY)
    assert KEY not in str(caught.value)


IN_TROUBLE = {
    "500": reply(500),
    "an error": reply(200, b'{"errors": [{"message": "no"}], "data": null}'),
}


@pytest.mark.parametrize("answer", IN_TROUBLE.values(), ids=IN_TROUBLE)
def test_a_server_in_trouble_is_a_note_on_the_host(serve: Serve, answer: Answer) -> None:
    assert "could not be checked from here" in check_key(serve(answer), KEY)


NO_SERVER = {"a page": reply(200, b"<html>"), "a list": reply(200, b'["x"]'), "404": reply(404)}


@pytest.mark.parametrize("answer", NO_SERVER.values(), ids=NO_SERVER)
def test_what_is_no_wandb_server_is_an_error_on_the_host(serve: Serve, answer: Answer) -> None:
    url = serve(answer)
    with pytest.raises(
        LauncherError, match=f"env.toml .wandb.: WANDB_BASE_URL={url} (does not answer|answers HTTP 404)"
    ):
        check_key(url, KEY, "env.toml [wandb]")


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\0" * 100, b"HTTP/1.1 999999 x\r\n\r\n", b""])
def test_a_port_that_speaks_no_http_is_told_at_once(greeting: bytes) -> None:
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(greeting)
                connection.recv(65536)

        thread = threading.Thread(target=greet)
        thread.start()
        answer = ask(f"http://127.0.0.1:{listening.getsockname()[1]}", KEY, {}, 20)
        thread.join()
    assert answer.status == 0
    assert "does not answer as a W&B server" in answer.text or "cannot be reached" in answer.text
    assert "no answer within" not in answer.text


def test_an_unreachable_or_silent_server_is_a_note_after_a_bounded_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        assert "gave no answer within" in check_key(url, KEY, timeout=0.5)
        assert time.monotonic() - start < 3
    assert "cannot be reached" in check_key(url, KEY)


def test_a_password_in_the_address_is_never_shown() -> None:
    for url in ("http://user:pass-word@127.0.0.1:9", "http://user:pass-word@h:abc"):
        told = [check_key(url, KEY), preflight.look({"WANDB_API_KEY": KEY}, url).reason]
        with pytest.raises(login.LoginError) as caught:
            login.find_server({"WANDB_BASE_URL": url.replace("127.0.0.1:9", "h:abc")})
        told.append(str(caught.value))
        assert not [text for text in told if "pass-word" in text], told


ADDRESSES = {
    "https://wandb.example.com": "",
    "http://10.0.0.1:8080/wandb/": "",
    "http://[::1]:8080": "",
    "https://api.wandb.ai": "",
    "https://forge.coreweave.com/api/wandb/": "",
    "http://notwandb.ai.example.com": "",
    "wandb.example.com": "no address",
    "": "no address",
    "nonsense": "no address",
    "http://": "no address",
    "http://[::1": "no address",
    "http://h:abc": "no address",
    "http://127.0.0.1:99999": "no address",
    "file:///etc/passwd": "no address",
    "https://h/a b": "no address",
    "https://h\n": "no address",
    "https://wandb.ai": "a web page",
    "http://api.wandb.ai": "unencrypted",
    "http://api.forge.coreweave.com": "unencrypted",
    "https://forge.coreweave.com/wandb": "no W&B server",
    "https://qa.forge.coreweave.com:443/api/wandb": "no W&B server",
}


@pytest.mark.parametrize(("url", "problem"), ADDRESSES.items())
def test_an_address_is_judged_as_wandb_judges_it(url: str, problem: str) -> None:
    found = login.address_problem(url)
    assert problem in found
    assert bool(found) == bool(problem)
    if problem:
        assert ask(url, KEY, {}, 5).status == 0
