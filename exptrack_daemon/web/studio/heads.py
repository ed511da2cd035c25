"""Puts our own lines into the head of Gradio's page, as it is served. Its own way adds them a second late.

So the page has its colours before it is first painted, and a browser finds the icon without asking around.
"""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PLACE = b"<head>"


def page_head() -> str:
    """Our theme's files, and the script that puts the bar on top."""
    return (Path(__file__).parent / "head.html").read_text("utf-8")


class WithHead:
    """An app whose HTML pages get `head` as the first lines of theirs."""

    def __init__(self, app: ASGIApp, head: str) -> None:
        self._app = app
        self._head = head.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def with_head(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                held.append(message)
            elif not held:
                await send(message)
            else:
                held.append(message)
                if not message.get("more_body", False):
                    await self._send_whole(held, send)

        await self._app(scope, receive, with_head)

    async def _send_whole(self, held: list[Message], send: Send) -> None:
        start, *parts = held
        body = b"".join(part.get("body", b"") for part in parts)
        body = body.replace(_PLACE, _PLACE + self._head, 1)
        MutableHeaders(scope=start)["content-length"] = str(len(body))
        await send(start)
        await send({"type": "http.response.body", "body": body})


def _is_page(message: Message) -> bool:
    headers = MutableHeaders(scope=message)
    is_html = headers.get("content-type", "").startswith("text/html")
    return is_html and "content-encoding" not in headers
