"""The studio for tests: the real server on a real socket, and a client that sends what it is told."""

from __future__ import annotations

import asyncio
import http.client
import json
import struct
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from exptrack_daemon.web.app import build_app
from exptrack_daemon.web.guard import Keys
from exptrack_daemon.web.lazy import LazyMount
from exptrack_daemon.web.server import bind, server_of
from exptrack_daemon.web.state import Studio

TOKEN = "t" * 43


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class StudioServer:
    """A running studio of a home."""

    def __init__(self, home: Path, mounts: Sequence[LazyMount] = ()) -> None:
        self._listener = bind(0)
        self.port = self._listener.getsockname()[1]
        self.keys = Keys(self.port, TOKEN)
        self.studio = Studio(home)
        self._server = server_of(build_app(self.studio, self.keys, mounts))
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))

    def __enter__(self) -> StudioServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._listener.close()
        assert not self._thread.is_alive()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def send(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        *,
        host: str | None = "",
    ) -> Answer:
        """A request with these headers and no others; `host`: None sends none, "" the right one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in [("Host", host or self.host)] if host is not None else []:
                connection.putheader(name, value)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        """With the token."""
        return self.send("GET", path, [*self.key, *headers.items()])

    def api(self, path: str) -> Any:
        """The JSON of an API path that has to succeed."""
        answer = self.get(f"/api/v1/{path}")
        assert answer.status == 200, answer.body
        return answer.json()

    def post(self, path: str, document: Any, method: str = "POST", **headers: str) -> Answer:
        """A JSON body, with the token."""
        return self.send(
            method,
            f"/api/v1/{path}",
            [*self.key, *headers.items()],
            json.dumps(document).encode(),
        )

    def charts(self, **question: Any) -> tuple[dict[str, Any], np.ndarray]:
        """A decoded frame."""
        answer = self.post("charts", question)
        assert answer.status == 200, answer.body
        return decode_frame(answer.body)

    @property
    def key(self) -> list[tuple[str, str]]:
        return [("Authorization", f"Bearer {TOKEN}")]


def decode_frame(data: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """A frame's header, and its values as [name][run][stat][cell]."""
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    begin = -(-(4 + length) // 8) * 8
    assert set(data[4 + length : begin]) <= {0}
    shape = [len(header[key]) for key in ("names", "runs", "stats")] + [header["cells"]]
    return header, np.frombuffer(data, "<f4", offset=begin).reshape(shape)
