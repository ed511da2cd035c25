"""Puts the studio together: API, pages and mounts, with the guard outermost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from exptrack_daemon.web.api import health, media, openapi, runs, series, tensorboard
from exptrack_daemon.web.api.answers import HANDLERS
from exptrack_daemon.web.door import Door
from exptrack_daemon.web.guard import Keys
from exptrack_daemon.web.lazy import LazyMount
from exptrack_daemon.web.pages import Pages
from exptrack_daemon.web.state import Studio
from exptrack_daemon.web.tensorboard import PATH

STATIC = Path(__file__).parent / "static"
API = "/api/v1"
_PARTS = (runs, series, media, health, tensorboard, openapi)


def build_app(studio: Studio, keys: Keys, mounts: Sequence[LazyMount] = ()) -> Door:
    """The whole server behind its guard; `mounts` are apps of their own, each made at its first request."""
    mounts = (tensorboard_mount(studio), *mounts)
    pages = Pages(STATIC)
    routes: list[BaseRoute] = [
        Mount(API, routes=[route for part in _PARTS for route in part.ROUTES]),
        health.PROMETHEUS,
        *(Mount(mount.path, app=mount) for mount in mounts),
        *(Route(mount.path, _to_slash) for mount in mounts),
        Mount("/static", app=pages),
        Mount("/", app=pages),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        for mount in mounts:
            await mount.close()
        await asyncio.to_thread(studio.close)

    app = Starlette(routes=routes, exception_handlers=HANDLERS, lifespan=lifespan)
    app.state.studio = studio
    return Door(app, keys, {mount.path: mount.most_body_bytes for mount in mounts})


async def _to_slash(request: Request) -> Response:
    """A mount begins behind its slash."""
    return RedirectResponse(f"{request.url.path}/", 308)


def tensorboard_mount(studio: Studio) -> LazyMount:
    """TensorBoard in this process, so that our guard stands before it; loaded when somebody goes there."""

    def make() -> ASGIApp:
        from a2wsgi import WSGIMiddleware

        from exptrack_daemon.web.tensorboard import wsgi_app

        app = WSGIMiddleware(wsgi_app(studio.home.tensorboard), workers=4)
        return cast(ASGIApp, app)

    return LazyMount(PATH, make)
