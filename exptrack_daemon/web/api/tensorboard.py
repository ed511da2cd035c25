"""`tensorboard`: launched on a free port, told of, stopped. It also stands at /tensorboard."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exptrack_daemon.web.api.answers import Strict, Wrong
from exptrack_daemon.web.state import studio_of
from exptrack_daemon.web.tensorboard import PATH, NotStarted


async def show(request: Request) -> Response:
    """Whether it runs, and where."""
    return _answer(request, studio_of(request).tensorboard.url())


async def start(request: Request) -> Response:
    """Launch it, or tell where it runs already."""
    try:
        url = await asyncio.to_thread(studio_of(request).tensorboard.start)
    except NotStarted as error:
        raise Wrong(str(error), 502) from error
    return _answer(request, url)


async def stop(request: Request) -> Response:
    """End it."""
    await asyncio.to_thread(studio_of(request).tensorboard.stop)
    return _answer(request, None)


def _answer(request: Request, url: str | None) -> Response:
    return Strict(
        {
            "running": url is not None,
            "url": None if url is None else other_name(url, request.headers.get("host", "")),
            "path": f"{PATH}/",
        }
    )


def other_name(url: str, host: str) -> str:
    """The address under the name that the page does not have: cookies ignore ports, and ours stays here."""
    name = "127.0.0.1" if host.startswith("localhost") else "localhost"
    return url.replace("//127.0.0.1:", f"//{name}:", 1).replace("//localhost:", f"//{name}:", 1)


ROUTES = [
    Route("/tensorboard", show),
    Route("/tensorboard", start, methods=["POST"]),
    Route("/tensorboard", stop, methods=["DELETE"]),
]
