"""The guard's shell: what it lets through, how much, and what it puts on every answer."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.responses import HTMLResponse, PlainTextResponse

from exptrack_daemon.web.door import Door
from exptrack_daemon.web.guard import MOST_BODY_BYTES, Keys

KEYS = Keys(7000, "k" * 43)
KEY = (b"authorization", b"Bearer " + KEYS.token.encode())
HOST = (b"host", b"127.0.0.1:7000")


async def echo(scope, receive, send):
    """Answers with the length of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await PlainTextResponse(str(size))(scope, receive, send)


def ask(door, *headers, method="GET", path="/", query=b"", bodies=(b"",), kind="http"):
    """What the door sends for a request; the app behind it is a real ASGI app."""
    sent = []
    pieces = [
        {"type": "http.request", "body": body, "more_body": at + 1 < len(bodies)}
        for at, body in enumerate(bodies)
    ]
    if kind == "websocket":
        pieces = [{"type": "websocket.connect"}]

    async def receive():
        return pieces.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "path": path, "query_string": query, "headers": list(headers)}
    scope |= {"method": method} if kind == "http" else {}
    asyncio.run(door(scope, receive, send))
    return sent


def answer(sent):
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


def test_every_answer_carries_what_keeps_a_browser_safe():
    door = Door(echo, KEYS)
    for sent in (ask(door, HOST, KEY), ask(door, HOST), ask(door, HOST, KEY, method="TRACE")):
        _, headers, _ = answer(sent)
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert not [name for name in headers if name.startswith("access-control")]


def test_a_mounts_own_policy_is_kept_and_only_narrowed_and_cors_never_leaves():
    async def own(scope, receive, send):
        headers = {"Content-Security-Policy": "default-src *", "Access-Control-Allow-Origin": "*"}
        await HTMLResponse("", headers=headers)(scope, receive, send)

    (start, *_) = ask(Door(own, KEYS), HOST, KEY)
    policies = [value for name, value in start["headers"] if name == b"content-security-policy"]
    assert policies == [b"default-src *", b"frame-ancestors 'self'"]
    assert b"access-control-allow-origin" not in dict(start["headers"])


def test_nothing_behind_the_door_hears_of_what_is_refused():
    async def never(scope, receive, send):
        raise AssertionError(scope)

    door = Door(never, KEYS)
    assert answer(ask(door, HOST))[0] == 403
    sent = ask(door, HOST, kind="websocket")
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_websocket_with_the_token_and_our_origin_gets_through():
    async def socket(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})

    cookie = (b"cookie", b"exptrack_7000=" + KEYS.token.encode())
    origin = (b"origin", b"http://127.0.0.1:7000")
    door = Door(socket, KEYS)
    assert ask(door, HOST, cookie, origin, kind="websocket") == [{"type": "websocket.accept"}]
    assert ask(door, HOST, cookie, kind="websocket")[0]["type"] == "websocket.close"


@pytest.mark.parametrize("size", [MOST_BODY_BYTES + 1, 10**12])
def test_a_body_that_says_that_it_is_too_long_is_not_read(size):
    length = (b"content-length", str(size).encode())
    status, _, body = answer(ask(Door(echo, KEYS), HOST, KEY, length, method="POST", bodies=()))
    assert status == 413
    assert "1,048,576" in json.loads(body)["error"]


@pytest.mark.parametrize("length", [b"-1", b"abc", b"1e3", b"", b"9" * 5000])
def test_a_length_that_is_no_number_is_refused(length):
    sent = ask(Door(echo, KEYS), HOST, KEY, (b"content-length", length), method="POST", bodies=())
    assert answer(sent)[0] == 413


def test_a_body_that_grows_too_long_is_cut_off_and_one_that_just_fits_is_not():
    half = b"x" * (MOST_BODY_BYTES // 2)
    door = Door(echo, KEYS)
    assert answer(ask(door, HOST, KEY, method="POST", bodies=(half, half)))[::2] == (
        200,
        str(MOST_BODY_BYTES).encode(),
    )
    assert answer(ask(door, HOST, KEY, method="POST", bodies=(half, half, b"x")))[0] == 413


def test_a_path_may_have_a_limit_of_its_own():
    door = Door(echo, KEYS, {"/ui": MOST_BODY_BYTES * 2})
    body = b"x" * (MOST_BODY_BYTES + 1)
    assert answer(ask(door, HOST, KEY, method="POST", path="/ui/upload", bodies=(body,)))[0] == 200
    assert answer(ask(door, HOST, KEY, method="POST", path="/", bodies=(body,)))[0] == 413
    assert answer(ask(door, HOST, KEY, method="POST", path="/uix", bodies=(body,)))[0] == 413


def test_headers_have_a_limit():
    assert answer(ask(Door(echo, KEYS), HOST, KEY, (b"x", b"y" * 20_000)))[0] == 431


def test_the_start_address_redirects_and_a_foreign_link_gets_a_page_that_leads_on():
    query = b"token=" + KEYS.token.encode() + b"&a=1&b=2"
    status, headers, _ = answer(ask(Door(echo, KEYS), HOST, query=query))
    assert (status, headers["location"]) == (303, "/?a=1&b=2")
    assert headers["set-cookie"].endswith("; HttpOnly; SameSite=Strict; Path=/")
    site = (b"sec-fetch-site", b"cross-site")
    status, headers, body = answer(ask(Door(echo, KEYS), HOST, site, query=query))
    assert status == 200
    assert "set-cookie" in headers
    assert b"url=/?a=1&amp;b=2" in body
    assert KEYS.token.encode() not in body


def test_the_lifespan_goes_through():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(Door(app, KEYS)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
