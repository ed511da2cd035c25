"""Runs the studio on loopback: binds first, says where, and stops on SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from exptrack_daemon.errors import AlreadyRunning
from exptrack_daemon.web.app import build_app
from exptrack_daemon.web.door import Door
from exptrack_daemon.web.guard import MOST_HEADER_BYTES, TOKEN_PARAMETER, Keys
from exptrack_daemon.web.state import Studio
from exptrack_daemon.web.studio.mounting import studio_mount
from exptrack_daemon.web.tokens import token_of

HOST = "127.0.0.1"
"""Never wider: whoever reaches the port only lacks the token."""
_STOP_WITHIN_S = 3
_MOST_CONNECTIONS = 256


class Address:
    """Where the server answers."""

    def __init__(self, keys: Keys) -> None:
        self.plain = f"http://{HOST}:{keys.port}/"
        self.start = f"{self.plain}?{TOKEN_PARAMETER}={keys.token}"


def serve(home: Path, port: int, announce: Callable[[Address], None]) -> None:
    """Serve the home until told to stop; `announce` is called once the port is ours.

    Raises:
        AlreadyRunning: the port is taken.
        HomeUnusable: there is no home, and none can be made.
    """
    with bind(port) as listener:
        keys = Keys(listener.getsockname()[1], token_of(home))
        studio = Studio(home)
        server = server_of(build_app(studio, keys, [studio_mount(studio)]))
        asyncio.run(_run(server, listener, lambda: announce(Address(keys))))


def bind(port: int) -> socket.socket:
    """A listening socket on loopback; port 0: a free one.

    Raises:
        AlreadyRunning: somebody else listens there.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise AlreadyRunning(
            f"port {port} cannot be had ({error.strerror}); leave out --port to take a free one"
        ) from error
    return listener


def server_of(app: Door) -> uvicorn.Server:
    """A server that has not started yet, with every limit set."""
    config = uvicorn.Config(
        app,
        access_log=False,  # it would hold the token
        log_level="warning",
        server_header=False,
        ws="none",
        h11_max_incomplete_event_size=2 * MOST_HEADER_BYTES,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        lifespan="on",
    )
    logging.getLogger("uvicorn.error").addFilter(is_worth_saying)
    return _Server(config)


def is_worth_saying(record: logging.LogRecord) -> bool:
    """Not that a page which listened was cut off when the server was told to stop."""
    if record.msg.startswith("Cancel %s running task(s)"):
        return False
    error = record.exc_info[1] if record.exc_info else None
    while error is not None and not isinstance(error, asyncio.CancelledError):
        error = error.__cause__ or error.__context__
    return error is None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours are set by `_run`: a stop that was asked for is no failure."""
        yield


async def _run(
    server: uvicorn.Server, listener: socket.socket, announce: Callable[[], None]
) -> None:
    def stop() -> None:
        server.force_exit = server.should_exit  # the second time: at once
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    announce()  # whoever reads it may stop us from now on
    await server.serve(sockets=[listener])
