"""TensorBoard: behind the guard, and launched; gone with the studio however it goes."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import psutil
import pytest

from tests.support.homes import HomeBuilder
from tests.support.processes import wait_until
from tests.support.studio import StudioServer

pytest.importorskip("tensorboard")


def fetch(url, path="", host=None, origin=None):
    """Status and body, with a Host of one's own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=30)
    connection.putrequest("GET", parts.path + path, skip_host=True)
    connection.putheader("Host", host or parts.netloc)
    if origin:
        connection.putheader("Origin", origin)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


@pytest.mark.timeout(120)
def test_launched_on_a_free_port_reused_stopped_and_safe_from_foreign_names(home):
    with StudioServer(home) as server:
        assert server.api("tensorboard") == {"running": False, "url": None, "path": "/tensorboard/"}
        first = server.post("tensorboard", {}).json()
        assert server.post("tensorboard", {}).json() == first
        assert server.api("tensorboard")["url"] == first["url"]
        assert urlsplit(first["url"]).hostname == "localhost"
        assert len(urlsplit(first["url"]).path) > 30
        status, body = fetch(first["url"])
        assert status == 200
        assert b"<html" in body
        port = urlsplit(first["url"]).port
        assert fetch(f"http://localhost:{port}/")[0] == 404
        assert fetch(first["url"], host=f"evil.example:{port}")[0] == 403
        assert fetch(first["url"], origin="http://evil.example")[0] == 403
        child = server.studio.tensorboard._process
        assert not psutil.Process(child.pid).children()
        listening = [c for c in psutil.Process(child.pid).net_connections() if c.status == "LISTEN"]
        assert [(c.laddr.ip, c.laddr.port) for c in listening] == [("127.0.0.1", port)]
        stopped = server.send("DELETE", "/api/v1/tensorboard", server.key).json()
        assert stopped["running"] is False
        assert child.poll() is not None
        server.post("tensorboard", {})
        child = server.studio.tensorboard._process
    assert child.poll() is not None


@pytest.mark.timeout(120)
def test_behind_the_guard_it_shows_the_homes_runs(home):
    homes = HomeBuilder(home)
    (homes.home.tensorboard / "demo" / "r").mkdir(parents=True)
    with StudioServer(home) as server:
        assert server.send("GET", "/tensorboard/").status == 403
        assert server.get("/tensorboard").headers["location"].endswith("/tensorboard/")
        page = server.get("/tensorboard/")
        assert page.status == 200
        assert b"<html" in page.body
        assert server.get("/tensorboard/data/environment").status == 200
        assert server.send("GET", "/tensorboard/data/runs").status == 403
        assert server.get("/tensorboard/index.js").status == 200
        assert server.get("/tensorboard/none").status == 404
        assert page.headers["content-security-policy"] == "frame-ancestors 'self'"  # the second one
        own = urlsplit(server.api("tensorboard")["url"]).path.strip("/")
        assert own.encode() not in page.body
        posted = server.send("POST", "/tensorboard/none", server.key, b"{}")
        assert posted.status in (404, 405)


KILLED = """
import sys, pathlib
from exptrack_daemon.home import Home
from exptrack_daemon.web.tensorboard import TensorBoardProcess
board = TensorBoardProcess(Home(pathlib.Path(sys.argv[1])))
board.start()
print(board._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.timeout(120)
def test_it_ends_with_a_studio_that_is_killed(home):
    parent = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        child = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)
        wait_until(lambda: not child.is_running() or child.status() == "zombie", 20, "it is gone")
