"""Puts the studio together: API, pages and mounts, with the guard outermost."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from exptrack_daemon.web.api import runs, series
from exptrack_daemon.web.api.answers import HANDLERS
from exptrack_daemon.web.door import Door
from exptrack_daemon.web.guard import Keys
from exptrack_daemon.web.lazy import LazyMount
from exptrack_daemon.web.pages import Pages
from exptrack_daemon.web.state import Studio

STATIC = Path(__file__).parent / "static"
API = "/api/v1"


def build_app(studio: Studio, keys: Keys, mounts: Sequence[LazyMount] = ()) -> Door:
    """The whole server behind its guard; `mounts` are apps of their own, each made at its first request."""
    pages = Pages(STATIC)
    routes: list[BaseRoute] = [
        Mount(API, routes=[*runs.ROUTES, *series.ROUTES]),
        *(Mount(mount.path, app=mount) for mount in mounts),
        Mount("/static", app=pages),
        Mount("/", app=pages),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        for mount in mounts:
            await mount.close()
        studio.close()

    app = Starlette(routes=routes, exception_handlers=HANDLERS, lifespan=lifespan)
    app.state.studio = studio
    return Door(app, keys, {mount.path: mount.most_body_bytes for mount in mounts})
