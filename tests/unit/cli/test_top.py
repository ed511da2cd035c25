"""top: one look in a pipe, a live screen on a terminal that q leaves and that is as before at the end."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

import pytest
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.cli.top import look
from exptrack_daemon.files import OsFiles
from exptrack_daemon.journal.cursor import Cursor, save_cursor
from exptrack_daemon.store import open_home
from tests.support.homes import HomeBuilder


@pytest.fixture
def home(tmp_path):
    home = HomeBuilder(tmp_path)
    home.finished_run("r1", project="mnist", name="wi\x1bde")
    save_cursor(OsFiles(), home.home.cursor("r1", "wandb"), Cursor(rows=1, status="unavailable"))
    run = home.run("r2")
    run.stream(project="mnist", name="now").log({"loss": 1.0}, 7)
    sampler = run.stream(role="sampler")
    sampler.log(
        {"system/cpu_percent": 51.0, "system/memory_percent": 12.0, "system/gpu/0/power_w": 90.0}
    )
    return home


@pytest.fixture
def living(monkeypatch):
    monkeypatch.setattr(
        "exptrack_daemon.store.liveness.Liveness.is_alive", lambda self, stream: True
    )


def test_one_look_in_a_pipe_tells_runs_sinks_and_machine(home, living):
    result = CliRunner().invoke(app, ["top", "--home", str(home.path)])
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    for text in (
        "1 run running",
        "no daemon",
        "mnist/now",
        r"mnist/wi\x1bde",
        "wandb 2",
        "CPU 51 %",
    ):
        assert text in result.output
    assert "GPU 0   power_w 90" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_rates_are_between_two_looks(home, living):
    reader = open_home(home.path)
    before = look(reader)
    now = look(reader)
    assert now.rate("r2", before) == 0
    assert now.rate("r2", None) is None
    assert before.rate("r2", now) is None


def test_an_empty_home_says_what_to_do(tmp_path):
    result = CliRunner().invoke(app, ["top", "--once", "--home", str(tmp_path / "none")])
    assert "Make one: exptrack demo" in result.output


@pytest.mark.parametrize("leave", ["q", "ctrl-c"])
def test_a_terminal_shows_a_live_screen_and_is_left_as_it_was(home, leave):
    leader, follower = pty.openpty()
    before = termios.tcgetattr(follower)
    process = subprocess.Popen(
        [sys.executable, "-m", "exptrack_daemon", "top", "--home", str(home.path)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )
    shown, deadline = b"", time.monotonic() + 15
    try:
        while b"PROJECT/NAME" not in shown and time.monotonic() < deadline:
            if select.select([leader], [], [], 0.2)[0]:
                shown += os.read(leader, 65_536)
        if leave == "q":
            os.write(leader, b"q")
        else:
            process.send_signal(signal.SIGINT)
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([leader], [], [], 0.2)[0]:
                shown += os.read(leader, 65_536)
        assert process.poll() == 0
    finally:
        process.kill()
        process.wait()
    while select.select([leader], [], [], 0.1)[0]:
        shown += os.read(leader, 65_536)
    assert b"\x1b[?1049h" in shown
    assert b"\x1b[?1049l" in shown
    assert termios.tcgetattr(follower)[3] == before[3]
    os.close(leader)
    os.close(follower)
