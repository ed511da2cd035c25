"""How the API answers, and how it says what was wrong: `{"error": "what was wrong and what to do"}`."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from exptrack_daemon.errors import ExptrackError, HomeUnusable, RunNotFound
from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.store.strict_json import strict


class Wrong(Exception):
    """The request can't be answered as it was put."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Strict(JSONResponse):
    """Strict JSON in ASCII: NaN and infinities by name, half surrogate pairs escaped."""

    def render(self, content: Any) -> bytes:
        return json.dumps(strict(content), allow_nan=False, separators=(",", ":")).encode()


def say(message: str, status: int) -> Response:
    """An error."""
    return Strict({"error": message}, status)


async def on_wrong(_request: Request, error: Exception) -> Response:
    """For `Wrong`."""
    return say(str(error), error.status if isinstance(error, Wrong) else 400)


async def on_exptrack_error(_request: Request, error: Exception) -> Response:
    """For what the store raises for a person."""
    kinds = {RunNotFound: 404, HomeUnusable: 503, MissingExtra: 501}
    found = [status for kind, status in kinds.items() if isinstance(error, kind)]
    return say(str(error), found[0] if found else 400)


async def on_http(_request: Request, error: Exception) -> Response:
    """For what the router says: no such path, not this method."""
    if not isinstance(error, HTTPException):
        return say("this server has a bug; its log says more", 500)
    return Strict({"error": str(error.detail)}, error.status_code, dict(error.headers or {}))


async def on_bug(_request: Request, _error: Exception) -> Response:
    """For everything else; the server logs what it was."""
    return say("this server has a bug; its log says more", 500)


HANDLERS: dict[Any, Any] = {
    Wrong: on_wrong,
    ExptrackError: on_exptrack_error,
    HTTPException: on_http,
    Exception: on_bug,
}
