"""`exptrack ui` as a user starts it: a process of its own."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import sys

import pytest

from tests.support.homes import HomeBuilder

START = re.compile(r"exptrack studio: (http://127\.0\.0\.1:(\d+)/\?token=([\w-]{43})) ")


def ui(home, *options):
    command = [sys.executable, "-m", "exptrack_daemon", "ui", "--home", str(home), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )


def started(process):
    """Port and token from the line that it prints."""
    found = START.match(process.stdout.readline())
    assert found, process.stderr.read()
    return int(found[2]), found[3]


def status(port, path, token=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


@pytest.fixture
def running():
    processes = []
    yield processes.append
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_where_it_is_serves_and_stops_when_told(home, running, number):
    HomeBuilder(home).finished_run("r")
    process = ui(home, "--no-browser")
    running(process)
    port, token = started(process)
    assert status(port, "/api/v1/runs", token) == 200
    assert status(port, f"/?token={token}") == 303
    assert status(port, "/") == 403
    process.send_signal(number)
    assert process.wait(15) == 0
    assert process.stderr.read() == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    kept = home / "studio.token"
    assert kept.read_text() == token
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_it_may_be_stopped_as_soon_as_it_has_said_where_it_is(home, running):
    process = ui(home, "--no-browser")
    running(process)
    started(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert process.stderr.read() == ""


def test_a_second_one_shares_the_token_on_another_port(home, running):
    first, second = ui(home), ui(home)
    running(first)
    running(second)
    (port, token), (other_port, other_token) = started(first), started(second)
    assert port != other_port
    assert token == other_token
    assert status(other_port, "/api/v1/runs", token) == 200


def test_a_port_that_is_taken_is_said_in_one_line(home, running):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = ui(home, "--port", str(taken.getsockname()[1]))
        running(process)
        assert process.wait(30) == 5
        (line,) = process.stderr.read().split("\n\n")
        assert "cannot be had (Address already in use)" in line.replace("\n", " ")
        assert process.stdout.read() == ""


def test_starting_loads_nothing_heavy(home):
    code = (
        "import sys, exptrack_daemon.web.server\n"
        "heavy = {'gradio', 'matplotlib', 'pandas', 'tensorboard', 'numpy', 'duckdb', 'pyarrow', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
