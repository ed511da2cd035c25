"""The real server on a real socket: who gets in, and what no request can reach."""

from __future__ import annotations

import itertools
import socket

import pytest
from starlette.responses import PlainTextResponse

from exptrack_daemon.web.lazy import LazyMount
from tests.support.homes import HomeBuilder
from tests.support.studio import TOKEN, StudioServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    homes = HomeBuilder(tmp_path_factory.mktemp("guard") / "home")
    homes.path.mkdir(mode=0o700)
    homes.finished_run("r")
    (homes.path / "secret.txt").write_text("SECRET")
    mount = LazyMount("/ui", lambda: PlainTextResponse("mounted"))
    with StudioServer(homes.path, [mount]) as running:
        yield running


PATHS = ("/", "/api/v1/runs", "/metrics", "/ui/", "/tensorboard/", "/nothing")
METHODS = ("GET", "POST", "PATCH", "DELETE", "WEBSOCKET")
BEARER = ("Authorization", f"Bearer {TOKEN}")
ATTACKS = {
    "no token": ("", []),
    "wrong token": ("", [("Authorization", "Bearer " + "x" * 43)]),
    "wrong cookie": ("", [("Cookie", f"exptrack_1={TOKEN}")]),
    "foreign host": ("evil.example", [BEARER]),
    "rebound host": ("evil.example:{port}", [BEARER]),
    "every address": ("0.0.0.0:{port}", [BEARER]),
    "foreign origin": ("", [BEARER, ("Origin", "http://evil.example")]),
    "other port's origin": ("", [BEARER, ("Origin", "http://127.0.0.1:1")]),
    "null origin": ("", [BEARER, ("Origin", "null")]),
    "cross-site": ("", [BEARER, ("Sec-Fetch-Site", "cross-site")]),
    "same-site": ("", [BEARER, ("Sec-Fetch-Site", "same-site")]),
}
UPGRADE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_path_refuses_it_by_every_method(server, attack):
    host, headers = ATTACKS[attack]
    for path, method in itertools.product(PATHS, METHODS):
        more = UPGRADE if method == "WEBSOCKET" else []
        sent = "GET" if method == "WEBSOCKET" else method
        body = b"{}" if method in ("POST", "PATCH") else None
        answer = server.send(
            sent, path, [*headers, *more], body, host=host.format(port=server.port)
        )
        assert answer.status == 403, (attack, path, method)
        assert "error" in answer.json()
        assert "set-cookie" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_request_without_a_host_is_refused(server):
    assert server.send("GET", "/", [BEARER], host=None).status in (400, 403)


def test_a_browser_comes_in_by_the_start_address_and_goes_on_by_its_cookie(server):
    answer = server.send("GET", f"/?token={TOKEN}", [("Sec-Fetch-Site", "none")])
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie, *rest = answer.headers["set-cookie"].split("; ")
    assert set(rest) == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert server.send("GET", "/", [("Cookie", cookie)]).status == 200
    assert server.send("GET", "/ui/", [("Cookie", cookie)]).body == b"mounted"
    ours = [("Cookie", cookie), ("Origin", f"http://{server.host}")]
    edit = b'{"add_tags": ["seen"]}'
    assert server.send("PATCH", "/api/v1/runs/r", [("Cookie", cookie)], edit).status == 403
    assert server.send("PATCH", "/api/v1/runs/r", ours, edit).json()["tags"] == ["seen"]


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND", "FOO"])
def test_unknown_methods_are_refused(server, method):
    answer = server.send(method, "/api/v1/runs", [BEARER])
    assert answer.status == 405


def test_a_method_that_a_path_does_not_have_is_said(server):
    answer = server.send("DELETE", "/api/v1/runs/r", [BEARER])
    assert answer.status == 405
    assert "error" in answer.json()


TRAVERSAL = [
    "/../secret.txt",
    "/static/../../secret.txt",
    "/static/..%2f..%2fsecret.txt",
    "/static/%2e%2e/%2e%2e/app.py",
    "/..%2fapp.py",
    "/%2e%2e/app.py",
    "/static/....//....//app.py",
    "/static//etc/passwd",
    "//etc/passwd",
    "/static/%00",
    "/static/..%5c..%5capp.py",
    "/static/.hidden",
    "/app.py",
    "/static/js/../../app.py",
    "/api/v1/runs/..%2f..%2fsecret.txt",
    "/api/v1/runs/%2e%2e",
    "/api/v1/runs/r%00",
    "/api/v1/runs/r%2f..%2fr",
    "/api/v1/media/..%2fr/0",
    "/api/v1/media/r/..%2f0",
    "/api/v1/media/r/-1",
    "/api/v1/media/r/999999999999999999999999",
    "/api/v1/points?run=../r&name=loss",
    "/api/v1/metrics?runs=r,../../x",
    "/api/v1/picture.png?run=../../etc/passwd",
    "/api/v1/nothing",
]


@pytest.mark.parametrize("path", TRAVERSAL)
def test_no_path_leads_anywhere_else(server, path):
    answer = server.send("GET", path, [BEARER])
    assert answer.status in (400, 404), answer.body
    assert b"SECRET" not in answer.body
    assert b"root:" not in answer.body
    assert b"import" not in answer.body


def test_bodies_and_headers_have_limits(server):
    large = b"x" * (2 << 20)
    assert server.send("POST", "/api/v1/charts", [BEARER], large[: (1 << 20) + 1]).status == 413
    assert server.send("GET", "/", [BEARER, ("X-Long", "y" * 20_000)]).status == 431
    assert server.send("POST", "/api/v1/charts", [BEARER], b"[" * 900_000).status == 400


def test_garbage_is_answered_or_hung_up_on_and_the_server_goes_on(server):
    for garbage in (
        b"\0" * 1000,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"x" * 100_000 + b"\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
            raw.sendall(garbage)
            raw.shutdown(socket.SHUT_WR)
            received = raw.recv(65536)
            assert not received.startswith(b"HTTP/1.1 2")
    assert server.get("/").status == 200


def test_static_files_have_an_etag_and_are_not_sent_twice(server):
    first = server.get("/")
    assert first.headers["content-type"].startswith("text/html")
    again = server.get("/", **{"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert server.get("/api/").status == 200
    page = server.get("/static/api/page.js")
    assert page.headers["content-type"].startswith("text/javascript")
    assert page.headers["cache-control"] == "no-cache"


def test_it_listens_on_loopback_only(server):
    assert server._listener.getsockname()[0] == "127.0.0.1"
