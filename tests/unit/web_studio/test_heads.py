"""Our lines stand first in the head of a page, and everything else passes as it is."""

from __future__ import annotations

import asyncio

import pytest

from exptrack_daemon.web.studio.heads import WithHead, page_head


def served(parts, media_type, **headers):
    async def app(scope, receive, send):
        raw = {"content-type": media_type, "content-length": "13"} | headers
        raw = [(name.encode(), value.encode()) for name, value in raw.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        for at, part in enumerate(parts):
            more = at + 1 < len(parts)
            await send({"type": "http.response.body", "body": part, "more_body": more})

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(WithHead(app, "<!-- ü -->")({"type": "http"}, None, send))
    return dict(sent[0]["headers"]), [message["body"] for message in sent[1:]]


def test_a_page_gets_our_lines_and_its_length_is_right():
    headers, (body,) = served([b"<html><he", b"ad>a"], "text/html; charset=utf-8")
    assert body == "<html><head><!-- ü -->a".encode()
    assert headers[b"content-length"] == str(len(body)).encode()


@pytest.mark.parametrize(
    ("media_type", "headers"),
    [("application/json", {}), ("text/html", {"content-encoding": "gzip"})],
)
def test_what_is_no_plain_page_streams_through_untouched(media_type, headers):
    _, bodies = served([b"<head>", b"x"], media_type, **headers)
    assert bodies == [b"<head>", b"x"]


def test_our_lines_ask_this_server_only():
    assert "http" not in page_head()
