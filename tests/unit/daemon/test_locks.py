"""One holder at a time; the kernel lets go for a process that ended."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time

import pytest

from exptrack_daemon.errors import AlreadyRunning, HomeUnusable
from exptrack_daemon.locks import hold_lock, is_locked


def test_a_lock_is_held_by_one_until_it_is_closed(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists(), "asking makes nothing"
    held = hold_lock(path)
    assert is_locked(path)
    with pytest.raises(AlreadyRunning, match=str(path)):
        hold_lock(path, wait_s=0)
    os.close(held)
    assert not is_locked(path)
    os.close(hold_lock(path, wait_s=0))
    assert path.stat().st_mode & 0o077 == 0


def test_a_successor_waits_for_its_predecessor(tmp_path):
    held = hold_lock(tmp_path / "lock")
    timer = threading.Timer(0.25, os.close, [held])
    timer.start()
    os.close(hold_lock(tmp_path / "lock", wait_s=10))
    timer.join()


def test_one_who_is_told_to_give_up_does_so_at_once(tmp_path):
    held = hold_lock(tmp_path / "lock")
    began = time.monotonic()
    with pytest.raises(AlreadyRunning):
        hold_lock(tmp_path / "lock", lambda: True, wait_s=60)
    assert time.monotonic() - began < 5
    os.close(held)


def test_a_killed_holder_holds_nothing(tmp_path):
    code = (
        "import sys, pathlib; from exptrack_daemon.locks import hold_lock\n"
        "hold_lock(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    assert is_locked(tmp_path / "lock")
    holder.kill()
    holder.communicate()
    assert not is_locked(tmp_path / "lock")


def test_a_place_that_takes_no_lock_is_said_to_be_unusable(tmp_path, monkeypatch):
    with pytest.raises(HomeUnusable, match="cannot be opened"):
        hold_lock(tmp_path)
    with pytest.raises(HomeUnusable, match="cannot be opened"):
        hold_lock(tmp_path / "missing" / "lock")
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(37, "no locks")))
    with pytest.raises(HomeUnusable, match="cannot be locked: no locks"):
        hold_lock(tmp_path / "lock")
