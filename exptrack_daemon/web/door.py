"""The guard's shell: judges each request, bounds its size, and puts the safety headers on each answer."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exptrack_daemon.web.guard import (
    MOST_BODY_BYTES,
    MOST_HEADER_BYTES,
    Ask,
    Keys,
    Refused,
    Welcome,
    judge,
)

STRICT_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self';"
    " object-src 'none'"
)
FRAMES_POLICY = "frame-ancestors 'self'"
_LEAD_ON = '<!doctype html><meta http-equiv="refresh" content="0;url={}"><title>exptrack</title>'


class TooLarge(HTTPException):
    """The request's body is longer than this path takes."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(413, f"the body is longer than {most_bytes:,} bytes")


class Door:
    """Stands outermost: nothing behind it sees a request that was not judged."""

    def __init__(
        self, app: ASGIApp, keys: Keys, body_limits: Mapping[str, int] | None = None
    ) -> None:
        """`body_limits`: bytes by beginning of the path, where not the usual limit holds."""
        self._app = app
        self._keys = keys
        self._limits = dict(body_limits or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        send = _with_safety(send)
        refused = self._measure(scope)
        verdict = refused or judge(_ask(scope), self._keys)
        if verdict is None:
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # answered as 403
        else:
            await _answer(verdict)(scope, receive, send)

    def _measure(self, scope: Scope) -> Refused | None:
        """Whether the request is too large, by what it says itself."""
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > MOST_HEADER_BYTES:
            return Refused(431, f"the headers are longer than {MOST_HEADER_BYTES:,} bytes")
        said = [value for name, value in scope["headers"] if name == b"content-length"]
        if any(_length(value) > self._limit(scope) for value in said):
            return Refused(413, TooLarge(self._limit(scope)).detail)
        return None

    def _limit(self, scope: Scope) -> int:
        path = scope["path"]
        fits = [
            limit
            for prefix, limit in self._limits.items()
            if path == prefix or path.startswith(f"{prefix}/")
        ]
        return max(fits, default=MOST_BODY_BYTES)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = self._limit(scope)
        is_begun = False

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise TooLarge(self._limit(scope))
            return message

        async def watched(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, bounded if scope["type"] == "http" else receive, watched)
        except TooLarge as error:  # a mount that has no answer to it
            if not is_begun:
                await _answer(Refused(413, error.detail))(scope, receive, send)


def _length(said: bytes) -> float:
    """What a Content-Length says; what is no length is too long."""
    return int(said) if said.isdigit() and len(said) < 20 else float("inf")


def _ask(scope: Scope) -> Ask:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
    query = scope["query_string"].decode("latin-1")
    return Ask(method, unquote(scope["path"]), query, headers)


def _answer(verdict: Refused | Welcome) -> Response:
    if isinstance(verdict, Refused):
        extra = {"Allow": "GET, HEAD, POST, PATCH, DELETE"} if verdict.status == 405 else None
        return JSONResponse({"error": verdict.why}, verdict.status, extra)
    headers = {"Set-Cookie": verdict.cookie, "Cache-Control": "no-store"}
    if verdict.is_from_elsewhere:
        location = verdict.location.replace("&", "&amp;")
        return HTMLResponse(_LEAD_ON.format(location), headers=headers)
    return RedirectResponse(verdict.location, 303, headers)


def _with_safety(send: Send) -> Send:
    """Put on each answer what keeps a browser from misusing it; a mount may bring its own policy."""

    async def safe(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if (
                "Content-Security-Policy" in headers
            ):  # a mount's own; a second one can only narrow it
                headers.append("Content-Security-Policy", FRAMES_POLICY)
            else:
                headers["Content-Security-Policy"] = STRICT_POLICY
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["X-Frame-Options"] = "SAMEORIGIN"
            for name in ("Access-Control-Allow-Origin", "Server"):
                if name in headers:
                    del headers[name]
        await send(message)

    return safe
