"""An app that is made at its first request."""

from __future__ import annotations

import asyncio

import pytest
from starlette.responses import PlainTextResponse

from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.web.lazy import LazyMount


async def ask(mount, path="/x"):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    await mount(scope, receive, send)
    return sent


def test_it_is_made_once_however_many_come_at_once_and_closed_with_the_server():
    made, closed = [], []

    def make():
        made.append(1)
        return PlainTextResponse("there")

    async def close():
        closed.append(1)

    mount = LazyMount("/x", make, close=close)

    async def all_at_once():
        answers = await asyncio.gather(*(ask(mount) for _ in range(10)))
        await mount.close()
        return answers

    answers = asyncio.run(all_at_once())
    assert [answer[1]["body"] for answer in answers] == [b"there"] * 10
    assert (made, closed) == ([1], [1])


def test_one_that_was_never_made_is_not_closed():
    mount = LazyMount("/x", lambda: None, close=lambda: pytest.fail("closed"))
    asyncio.run(mount.close())


def test_a_missing_library_is_said_and_tried_again_next_time():
    tries = []

    def make():
        tries.append(1)
        if len(tries) == 1:
            raise MissingExtra("pip install x")
        return PlainTextResponse("there")

    mount = LazyMount("/x", make)

    async def twice():
        return await ask(mount), await ask(mount)

    first, second = asyncio.run(twice())
    assert (first[0]["status"], first[1]["body"]) == (501, b"pip install x\n")
    assert second[0]["status"] == 200


def test_its_policy_stands_in_place_of_its_apps():
    app = PlainTextResponse("", headers={"Content-Security-Policy": "a", "X-Other": "b"})
    sent = asyncio.run(ask(LazyMount("/x", lambda: app, policy="c")))
    headers = [pair for pair in sent[0]["headers"] if pair[0].startswith((b"content-sec", b"x-"))]
    assert headers == [(b"x-other", b"b"), (b"content-security-policy", b"c")]
