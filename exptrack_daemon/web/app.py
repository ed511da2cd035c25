"""Puts the studio together: API, pages and mounts, with the guard outermost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from exptrack_daemon.web.api import health, media, openapi, runs, series, tensorboard
from exptrack_daemon.web.api.answers import HANDLERS
from exptrack_daemon.web.door import Door
from exptrack_daemon.web.guard import Keys
from exptrack_daemon.web.lazy import LazyMount
from exptrack_daemon.web.pages import Pages
from exptrack_daemon.web.state import Studio
from exptrack_daemon.web.tensorboard import PATH
from exptrack_daemon.web.tensorboard_proxy import TensorBoardProxy

STATIC = Path(__file__).parent / "static"
API = "/api/v1"
_PARTS = (runs, series, media, health, tensorboard, openapi)


def build_app(studio: Studio, keys: Keys, mounts: Sequence[LazyMount] = ()) -> Door:
    """The whole server behind its guard; `mounts` are apps of their own, each made at its first request."""
    pages = Pages(STATIC)
    routes: list[BaseRoute] = [
        Mount(API, routes=[route for part in _PARTS for route in part.ROUTES]),
        health.PROMETHEUS,
        Mount(PATH, app=TensorBoardProxy(studio.tensorboard)),
        *(Mount(mount.path, app=mount) for mount in mounts),
        *(Route(path, _to_slash) for path in (PATH, *(mount.path for mount in mounts))),
        Mount("/static", app=pages),
        Mount("/", app=pages),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        studio.readers.load_ahead()
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
