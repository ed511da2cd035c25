"""Whether a trainer is alive: asked of the kernel, without a trace."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Stream
from exptrack_daemon.store.liveness import Liveness, is_held

OWNER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""
STREAM = Stream("ab" * 16, 0, 1, 1, "trainer", "elsewhere", 1, 1)


@pytest.fixture
def owner(tmp_path):
    """A process that holds the lock of STREAM below tmp_path/rings."""
    path = tmp_path / "rings" / STREAM.stream_id / "owner.lock"
    path.parent.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_held_lock_means_alive_and_its_end_means_dead(tmp_path, owner):
    liveness = Liveness(Home(tmp_path))
    assert liveness.is_alive(STREAM)
    assert liveness.is_alive(STREAM)  # asking took nothing
    owner.kill()
    owner.wait()
    assert not liveness.is_alive(STREAM)


def test_a_stream_nobody_knows_is_dead_and_nothing_is_made(tmp_path):
    home = Home(tmp_path / "none")
    assert not Liveness(home).is_alive(STREAM)
    assert not home.path.exists()


def test_a_lock_file_that_nobody_holds_is_dead_and_left_as_it_is(tmp_path):
    path = tmp_path / STREAM.stream_id / "owner.lock"
    path.parent.mkdir()
    path.write_bytes(b"")
    before = path.stat()
    assert not is_held([tmp_path], STREAM.stream_id)
    assert path.stat() == before


def test_a_link_and_a_pipe_in_place_of_the_lock_are_not_followed(tmp_path):
    for name, make in (("a", os.mkfifo), ("b", lambda p: p.symlink_to("/etc/passwd"))):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "owner.lock")
        assert not is_held([tmp_path], name)


def test_this_very_process_is_alive_and_its_lock_file_is_never_opened(tmp_path, monkeypatch):
    mine = replace(STREAM, pid=os.getpid(), host=socket.gethostname())
    monkeypatch.setattr(os, "open", lambda *a, **k: pytest.fail("opened a file of our own"))
    assert Liveness(Home(tmp_path)).is_alive(mine)
