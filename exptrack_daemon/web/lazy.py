"""An app below a path, only made when somebody goes there: Gradio and TensorBoard take seconds to load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.web.guard import MOST_BODY_BYTES


class LazyMount:
    """Makes its app in a thread, once; whoever comes meanwhile waits for it."""

    def __init__(
        self,
        path: str,
        make: Callable[[], ASGIApp],
        *,
        policy: str | None = None,
        most_body_bytes: int = MOST_BODY_BYTES,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`policy`: the Content-Security-Policy of its answers, where the strict one would break it."""
        self.path = path
        self.most_body_bytes = most_body_bytes
        self._make = make
        self._policy = policy
        self._close = close
        self._app: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            app = await self._made()
        except ExptrackError as error:
            await PlainTextResponse(f"{error}\n", 501)(scope, receive, send)
            return
        await app(scope, receive, self._with_policy(send) if self._policy else send)

    async def close(self) -> None:
        """With the server."""
        if self._app is not None and self._close is not None:
            await self._close()

    async def _made(self) -> ASGIApp:
        async with self._making:
            if self._app is None:
                self._app = await asyncio.to_thread(self._make)
            return self._app

    def _with_policy(self, send: Send) -> Send:
        policy = (b"content-security-policy", (self._policy or "").encode())

        async def own(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers") or []
                others = [pair for pair in headers if pair[0].lower() != policy[0]]  # type: ignore[attr-defined]
                message["headers"] = [*others, policy]
            await send(message)

        return own  # type: ignore[return-value]
