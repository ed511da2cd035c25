"""The log is put aside when it is large, while everybody goes on writing to it."""

from __future__ import annotations

import os

from exptrack_daemon.supervisor.log import is_our_log, rotate_log


def test_a_large_log_is_put_aside_and_writers_go_on(tmp_path):
    log = tmp_path / "daemon.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    worker = os.dup(descriptor)
    os.write(descriptor, b"x" * 100)
    assert not rotate_log(log, descriptor, 100)
    os.write(worker, b"y")
    assert rotate_log(log, descriptor, 100)
    os.write(worker, b"after")
    os.write(descriptor, b"wards")
    assert log.read_bytes() == b"afterwards"
    old = tmp_path / "daemon.log.1"
    assert old.read_bytes() == b"x" * 100 + b"y"
    assert old.stat().st_mode & 0o077 == 0
    os.close(worker)
    os.close(descriptor)


def test_what_is_not_our_log_is_never_touched(tmp_path):
    log = tmp_path / "daemon.log"
    log.write_bytes(b"x" * 100)
    other = os.open(tmp_path / "terminal", os.O_WRONLY | os.O_CREAT)
    assert not rotate_log(log, other, 10)
    assert not is_our_log(tmp_path / "missing", other)
    assert not rotate_log(tmp_path / "missing", other, 10)
    assert log.stat().st_size == 100
    os.close(other)


def test_a_log_that_cannot_be_put_aside_stays(tmp_path):
    log = tmp_path / "daemon.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"x" * 100)
    (tmp_path / "daemon.log.1").mkdir()
    assert not rotate_log(log, descriptor, 10)
    assert log.stat().st_size == 100
    os.close(descriptor)
