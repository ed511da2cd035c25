"""`python -m exptrack_daemon.web.tensorboard_child --logdir DIR`: TensorBoard on loopback, for one studio.

TensorBoard asks nobody for a password and answers to any `Host`. So here it serves below a path that nobody
can guess, and answers to loopback's names only. It ends when its stdin does.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from exptrack_daemon.web.tensorboard import flags

HOST = "127.0.0.1"
_NAMES = frozenset(("127.0.0.1", "localhost", "[::1]"))


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="tensorboard_child", description=__doc__)
    parser.add_argument("--logdir", type=Path, required=True)
    options = parser.parse_args(arguments)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    from tensorboard import default, program

    class Server(program.WerkzeugServer):  # type: ignore[misc]
        def __init__(self, app: Any, given: Any) -> None:
            super().__init__(of_loopback_only(app), given)

    board = program.TensorBoard(plugins=default.get_plugins(), server_class=Server)
    prefix = f"/{secrets.token_urlsafe(24)}"
    board.configure(argv=[*flags(options.logdir, prefix), "--host", HOST, "--port", "0"])
    return int(board.main())


def of_loopback_only(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The WSGI app, for requests that name loopback: a name that DNS was bent for gets nothing."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = str(environ.get("HTTP_HOST", ""))
        origin = environ.get("HTTP_ORIGIN")
        name, _, _port = host.rpartition(":")
        if (name or host) in _NAMES and origin in (None, f"http://{host}"):
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"this server answers to its own address only\n"]

    return guarded


def _end_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
