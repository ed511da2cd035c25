"""The door: Gradio's tabs as an app below `/ui`, made at the first request there.

Gradio looks up hosts of its own unless it is told not to before it is imported; it keeps files that pass
through it in a folder, which is a private one here and goes with the server. Its queue starts in the event
loop that serves, so that is done by the first request and not by the thread that imports it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import AsyncExitStack

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.web.lazy import LazyMount
from exptrack_daemon.web.state import Studio
from exptrack_daemon.web.studio.heads import WithHead, page_head
from exptrack_daemon.web.studio.jobs import Jobs

PATH = "/ui"
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'self';"
    " base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'"
)
"""Gradio's templates are compiled in the browser; nothing but this server is asked for anything."""


def studio_mount(studio: Studio) -> LazyMount:
    """The tabs below `/ui`; what they started ends with the server."""
    jobs = Jobs(studio.clock)
    temporary: list[str] = []
    made: list[Started] = []

    def make() -> ASGIApp:
        temporary.append(tempfile.mkdtemp(prefix="exptrack-studio-"))
        try:
            made.append(Started(_gradio_app(studio, jobs, temporary[-1]), page_head()))
        except ModuleNotFoundError as error:
            raise MissingExtra(f"the tabs need {error.name}: pip install 'exptrack[ui]'") from error
        return made[-1]

    async def close() -> None:
        try:
            for app in made:
                await app.close()
        finally:
            await asyncio.to_thread(put_away)

    def put_away() -> None:
        jobs.close()
        for folder in temporary:
            shutil.rmtree(folder, ignore_errors=True)

    return LazyMount(PATH, make, policy=POLICY, close=close)


def _gradio_app(studio: Studio, jobs: Jobs, temporary: str) -> Starlette:
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=temporary)
    import gradio as gr

    from exptrack_daemon.web.studio import look
    from exptrack_daemon.web.studio.tabs import build_tabs

    app = Starlette()
    gr.mount_gradio_app(
        app,
        build_tabs(studio, jobs),
        PATH,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        show_error=False,
        enable_monitoring=False,
        allowed_paths=[],
        theme=look.theme(),
        css=look.css(),
    )
    return app


class Started:
    """An app whose start-up is run by its first request, in the loop that serves it."""

    def __init__(self, app: Starlette, head: str) -> None:
        self._app = app
        self._pages = WithHead(app, head)
        self._starting = asyncio.Lock()
        self._stack: AsyncExitStack | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._starting:
            if self._stack is None:
                self._stack = AsyncExitStack()
                await self._stack.enter_async_context(self._app.router.lifespan_context(self._app))
        # the app stands below its whole path itself
        await self._pages({**scope, "root_path": ""}, receive, send)

    async def close(self) -> None:
        """Run its end, if it was started."""
        if self._stack is not None:
            await self._stack.aclose()
