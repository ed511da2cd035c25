"""A loopback server that speaks enough of W&B's protocol for the real `wandb` 0.31 client.

It keeps per run: history lines by the client's line number (so a line sent twice is seen), summary,
config, uploaded files, alerts and the exit code. Faults can be switched on: a delay before each answer, a
status, or a dropped connection, for a kind of request (`graphql`, `file_stream`, `upload` or `*`) and
optionally for one GraphQL operation.

    with FakeWandb() as server:                       # a free port on 127.0.0.1
        ...                                           # WANDB_BASE_URL=server.url
        server.run("my-run-id").history               # {line: row}
        server.fault("graphql", delay_s=5)            # or status=500, drop=True, times=3, operation=…
        server.clear_faults()
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.fake_wandb_graphql import ENTITY, FakeRun, GraphQL

__all__ = ["ENTITY", "FakeRun", "FakeWandb"]

_OPERATION = re.compile(r"\b(query|mutation)\s+(\w+)")
_FILE_STREAM = re.compile(r"^/files/([^/]+)/([^/]+)/([^/]+)/file_stream$")


@dataclasses.dataclass
class Fault:
    kind: str = "*"
    operation: str | None = None
    containing: bytes = b""
    """Only a request whose body holds this."""
    delay_s: float = 0.0
    status: int | None = None
    drop: bool = False
    times: int | None = None
    """How often it strikes; None: until the faults are cleared."""

    def strikes(self, kind: str, operation: str | None, body: bytes = b"") -> bool:
        if self.containing not in body:
            return False
        if self.kind not in ("*", kind) or (self.operation and self.operation != operation):
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


class FakeWandb:
    """The server and everything it was told."""

    def __init__(self, port: int = 0, *, features: tuple[str, ...] = ()) -> None:
        self.lock = threading.RLock()
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        """Each request's label (the operation, `file_stream`, or the uploaded path) and headers."""
        self.uploads: dict[str, bytes] = {}
        """By path, whatever it belongs to."""
        self.features = features
        self._listen(port)
        self.port = int(self._http.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.graphql = GraphQL(self.url, features)

    def __enter__(self) -> FakeWandb:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listen(self, port: int) -> None:
        handler = type("Handler", (_Handler,), {"fake": self})
        self._http = _Server(("127.0.0.1", port), handler)

    def start(self) -> FakeWandb:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening, and break the connections there are; `restart` brings it back."""
        self._http.shutdown()
        self._http.server_close()
        self._http.break_connections()

    def restart(self) -> None:
        """On the same port, with all it knew."""
        self._listen(self.port)
        self.start()

    # -- faults ----------------------------------------------------------------------------------------

    def fault(self, kind: str = "*", **how: Any) -> None:
        with self.lock:
            self.faults.append(Fault(kind=kind, **how))

    def clear_faults(self) -> None:
        with self.lock:
            self.faults.clear()

    def take_fault(self, kind: str, operation: str | None, body: bytes = b"") -> Fault | None:
        with self.lock:
            struck = (fault for fault in self.faults if fault.strikes(kind, operation, body))
            return next(struck, None)

    def press_stop(self, run: str) -> None:
        """As if somebody had pressed Stop on the run's page."""
        self.graphql.stopped_runs.add(run)

    # -- what it knows ---------------------------------------------------------------------------------

    def run(self, name: str) -> FakeRun:
        with self.graphql.lock:
            found = [run for run in self.graphql.runs.values() if run.name == name]
        if len(found) != 1:
            raise KeyError(f"{len(found)} runs called {name!r}")
        return found[0]

    def lines(self, name: str) -> int:
        """How many history lines a run has; 0 when it is unknown."""
        try:
            return len(self.run(name).history)
        except KeyError:
            return 0

    def note(self, label: str, headers: Any) -> None:
        with self.lock:
            self.requests.append((label, dict(headers)))

    def take_file_stream(self, run: FakeRun, payload: dict[str, Any]) -> dict[str, Any]:
        with self.graphql.lock:
            for name, chunk in (payload.get("files") or {}).items():
                for line, text in enumerate(chunk["content"], chunk["offset"]):
                    _take_line(run, name, line, text)
            if payload.get("complete"):
                run.completed = True
                run.exit_code = payload.get("exitcode")
            if payload.get("preempting"):
                run.was_preempting = True
            stopped = run.name in self.graphql.stopped_runs
        return {"exitcode": None, "limits": {}, "stopped": stopped}


def _take_line(run: FakeRun, name: str, line: int, text: str) -> None:
    match name:
        case "wandb-history.jsonl":
            row = json.loads(text)
            if line in run.history:
                run.overwritten.append((line, run.history[line], row))
            run.history[line] = row
        case "wandb-summary.json":
            run.summary = json.loads(text)
        case "wandb-events.jsonl":
            run.events[line] = text
        case "output.log":
            run.console[line] = text


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for request in list(self._open):
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    fake: FakeWandb
    protocol_version = "HTTP/1.1"
    wbufsize = (
        -1
    )  # one packet an answer: headers and body written apart cost 40 ms each (delayed ACK)
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self._body()
        path = urlsplit(self.path).path
        if path == "/graphql":
            self._graphql(json.loads(body))
        elif match := _FILE_STREAM.match(path):
            self.fake.note("file_stream", self.headers)
            if not self._faulted("file_stream", body=body):
                run, _ = self.fake.graphql.get_or_make_run(*map(unquote, match.groups()))
                self._send(200, self.fake.take_file_stream(run, json.loads(body)))
        else:
            self._send(404, {"error": "unknown path"})

    def _graphql(self, message: dict[str, Any]) -> None:
        query, variables = message.get("query", ""), message.get("variables") or {}
        match = _OPERATION.search(query)
        operation = message.get("operationName") or (match.group(2) if match else "anonymous")
        self.fake.note(operation, self.headers)
        if not self._faulted("graphql", operation):
            self._send(200, self.fake.graphql.answer(operation, variables, query))

    def do_PUT(self) -> None:
        body = self._body()
        path = unquote(urlsplit(self.path).path)
        self.fake.note(path, self.headers)
        if self._faulted("upload"):
            return
        self.fake.uploads[path] = body
        if path.startswith("/storage/run/"):
            entity, project, name, file = path.removeprefix("/storage/run/").split("/", 3)
            self.fake.graphql.get_or_make_run(entity, project, name)[0].files[file] = body
        self._send(200, {})

    def do_GET(self) -> None:
        self.fake.note(self.path, self.headers)
        self._send(404, {"error": "unknown path"})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            raw = self._chunks()
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        encoding = self.headers.get("Content-Encoding", "")
        if encoding == "gzip":
            return gzip.decompress(raw)
        return zlib.decompress(raw) if encoding == "deflate" else raw

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _faulted(self, kind: str, operation: str | None = None, body: bytes = b"") -> bool:
        fault = self.fake.take_fault(kind, operation, body)
        if fault is None:
            return False
        time.sleep(fault.delay_s)
        if fault.drop:
            self.close_connection = True
            self.connection.close()
        elif fault.status is not None:
            self._send(fault.status, {"error": f"fault {fault.status}"})
        return fault.drop or fault.status is not None

    def _send(self, status: int, payload: Any) -> None:
        data = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
