"""TensorBoard below the studio's own address, behind its guard: passes requests on to the launched process.

Inside the studio's own process it would be simpler, but made every answer four times slower while it read
event files. What belongs to the studio (cookie, token, origin) is not passed on.
"""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.web.tensorboard import NotStarted, TensorBoardProcess

_PASSED_ON = frozenset(("accept", "accept-encoding", "content-type", "if-none-match", "range"))
_NOT_PASSED_BACK = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "server", "date", "set-cookie")
)
_WAIT_S = 120.0
_PIECE_BYTES = 64 * 1024

Headers = list[tuple[bytes, bytes]]


class TensorBoardProxy:
    """Launches TensorBoard when somebody comes, and asks it on their behalf."""

    def __init__(self, process: TensorBoardProcess) -> None:
        self._process = process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            url = await asyncio.to_thread(self._process.start)
            body = await request.body()
            connection, response = await asyncio.to_thread(_ask, url, request, body)
        except ClientDisconnect:
            return
        except (MissingExtra, NotStarted, OSError, http.client.HTTPException) as error:
            status = 501 if isinstance(error, MissingExtra) else 502
            await PlainTextResponse(f"TensorBoard: {error}\n", status)(scope, receive, send)
            return
        try:
            prefix = urlsplit(url).path.rstrip("/")
            headers = passed_back(response.getheaders(), prefix, scope.get("root_path", ""))
            start = {"type": "http.response.start", "status": response.status, "headers": headers}
            await send(start)
            while piece := await asyncio.to_thread(response.read, _PIECE_BYTES):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            connection.close()


def _ask(
    url: str, request: Request, body: bytes
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=_WAIT_S)
    try:
        connection.request(
            request.method,
            target(parts.path, request.scope),
            body or None,
            passed_on(request.headers.items()),
        )
        return connection, connection.getresponse()
    except (OSError, http.client.HTTPException):
        connection.close()
        raise


def target(prefix: str, scope: Scope) -> str:
    """The path below TensorBoard's own one, as it came over the wire, and the query. Pure."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    below = raw.decode("latin-1").removeprefix(scope.get("root_path", "")).lstrip("/")
    query = scope["query_string"].decode("latin-1")
    return f"{prefix.rstrip('/')}/{below}{'?' if query else ''}{query}"


def passed_on(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What TensorBoard may know of a request. Pure."""
    return {name: value for name, value in headers if name.lower() in _PASSED_ON}


def passed_back(headers: Iterable[tuple[str, str]], prefix: str, ours: str) -> Headers:
    """What the browser may know of an answer; TensorBoard's own path becomes ours. Pure."""
    kept: Headers = []
    for name, value in headers:
        if name.lower() == "location":
            shown = value.replace(prefix, ours, 1)
            kept.append((b"location", shown.encode("latin-1")))
        elif name.lower() not in _NOT_PASSED_BACK:
            kept.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    return kept
