"""What a server's answers mean, and how much goes into one call (sinks.mlflow.store, .process).

The server is made up: it answers every question with one status.
"""

from __future__ import annotations

import http.server
import json
import os
import threading
from typing import ClassVar

import pytest

pytest.importorskip("mlflow")

from exptrack_daemon.errors import BatchRejected, SinkUnavailable
from exptrack_daemon.home import Home
from exptrack_daemon.sinks.mlflow.opened import Opened
from exptrack_daemon.sinks.mlflow.process import load_mlflow
from exptrack_daemon.sinks.mlflow.said import Place, Point
from exptrack_daemon.sinks.mlflow.settings import read_settings
from exptrack_daemon.sinks.mlflow.store import Known, Store, pairs_in_calls, points_in_calls


class Answering(http.server.BaseHTTPRequestHandler):
    status, body, asked = 200, b"{}", 0
    heard: ClassVar[list[bytes]]

    def do_POST(self):
        type(self).asked += 1
        self.heard.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    class Handler(Answering):
        heard: ClassVar = []

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Handler.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield Handler
        server.shutdown()


def store_at(tmp_path, url):
    settings = read_settings({"tracking_uri": url, "request_timeout_s": 2}, Home(tmp_path))
    return Store(load_mlflow(settings), settings)


def point(name="a", at=1):
    return Point(Place(0, at), name, 1.0, 1, 1)


@pytest.mark.parametrize("status", [401, 403, 501, 505])
def test_what_may_pass_is_unavailable(tmp_path, answering, status):
    answering.status = status
    with pytest.raises(SinkUnavailable, match=f"MLflow at {answering.url}"):
        store_at(tmp_path, answering.url).log("r" * 32, points=[point()])


@pytest.mark.parametrize(
    ("status", "body"),
    [(413, b"<html>too large</html>"), (400, b'{"error_code": "INVALID_PARAMETER_VALUE"}')],
)
def test_a_refusal_of_a_run_that_is_gone_is_no_refusal_of_its_rows(
    tmp_path, answering, status, body
):
    answering.status, answering.body = status, body
    with pytest.raises(SinkUnavailable, match="was deleted in MLflow"):
        store_at(tmp_path, answering.url).log("r" * 32, points=[point()])
    assert answering.asked == 2


def test_a_refusal_is_told_from_a_deleted_run(tmp_path, answering, monkeypatch):
    answering.status, answering.body = 413, b"<html>too large</html>"
    store = store_at(tmp_path, answering.url)
    monkeypatch.setattr(store, "_require_active", lambda _run_id: None)
    with pytest.raises(BatchRejected, match="failed with error code 413"):
        store.log("r" * 32, points=[point()])


def test_a_server_that_is_away_is_unavailable(tmp_path):
    with pytest.raises(SinkUnavailable, match=r"MLflow at http://127\.0\.0\.1:9: "):
        store_at(tmp_path, "http://127.0.0.1:9").experiment("p")


def test_nothing_is_told_to_anybody_and_the_users_variables_bend_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "other")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "kept")
    load_mlflow(read_settings({"request_timeout_s": 3}, Home(tmp_path)))
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "MLFLOW_RUN_ID" not in os.environ
    assert os.environ["MLFLOW_TRACKING_TOKEN"] == "kept"


def test_the_place_never_arrives_before_the_points_that_it_stands_for(tmp_path, answering):
    """MLflow's client splits what is too much for one request, and sends tags with the first part."""
    opened = Opened(store_at(tmp_path, answering.url), Known("r" * 32, {}, {}), Place())
    opened.put_points(point(at=number) for number in range(1, 3_001))
    told = [json.loads(body) for body in answering.heard]
    arrived = 0
    for request in told:
        arrived += len(request["metrics"])
        assert [tag["value"] for tag in request["tags"]] == [f"0+{arrived}"]
    assert arrived == 3_000


def test_calls_hold_no_more_than_mlflow_takes():
    assert [len(call) for call in points_in_calls(point() for _ in range(2_001))] == [
        999,
        999,
        3,
    ]
    assert [len(call) for call in points_in_calls([point("n" * 250)] * 1_000)] == [428, 428, 144]
    assert [len(c) for c in pairs_in_calls({str(n): "v" for n in range(250)})] == [100, 100, 50]
    assert [len(c) for c in pairs_in_calls({str(n): "v" * 6_000 for n in range(50)})] == [24, 24, 2]
    assert list(pairs_in_calls({"k": "v" * 10**6}))
