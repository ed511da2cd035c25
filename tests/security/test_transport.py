"""Garbage at the intake while an honest trainer logs: no stall, no crash, nothing of it in a journal."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import zmq

import exptrack_agent as xt
from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home, make_private
from tests.support.desks import opened, rows
from tests.support.processes import Daemon, finished, trainer
from tests.support.readback import steps_of

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL".ljust(55, b"\0")
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH"


def connected(path: Path) -> socket.socket:
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(5)
    raw.connect(str(path))
    return raw


def hostile_bytes(luck: Random) -> Iterator[bytes]:
    """What a scanner, a broken peer and an attacker might say first."""
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00"
    yield b""
    yield GREETING[:10]
    yield GREETING.replace(b"\x7f\x03", b"\x7f\x63")
    yield GREETING.replace(b"NULL", b"ROOT")
    yield GREETING.replace(b"NULL", b"CURV")
    yield GREETING + READY + b"\x02" + struct.pack(">Q", 3 << 30) + b"x"
    yield GREETING + READY + b"\x02" + struct.pack(">Q", 2**63)
    yield GREETING + READY + (b"\x01\x01x" * 2_000) + b"\x00\x01x"
    yield GREETING + READY + b"\x00\x05hello" * 100
    yield GREETING + b"\x04\xff" + luck.randbytes(255)
    for _ in range(20):
        yield luck.randbytes(luck.randrange(1, 400))
        yield GREETING + READY + luck.randbytes(luck.randrange(1, 4_000))


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_garbage_costs_an_honest_trainer_nothing(daemon: Daemon) -> None:
    runtime = Home(daemon.home).runtime
    run = xt.init("honest", run_id="honest", home=daemon.home, autostart=False)
    held: list[socket.socket] = []
    pids = daemon.pids()
    step = 0
    for name in ("frames.sock", "control.sock"):
        held += [
            connected(runtime / name) for _ in range(40)
        ]  # half open, for as long as they like
        for data in hostile_bytes(Random(4)):
            raw = connected(runtime / name)
            with contextlib.suppress(OSError):
                raw.sendall(data)
            held.append(raw)
            run.log({"loss": 1.0}, step=step)
            step += 1
    slow = connected(runtime / "frames.sock")
    for byte in GREETING[:12]:
        slow.sendall(bytes([byte]))
        run.log({"loss": 1.0}, step=step)
        step += 1
    assert run.flush(timeout_s=30)
    assert daemon.pids() == pids
    for raw in [*held, slow]:
        raw.close()
    run.finish(timeout_s=20)
    assert steps_of(daemon.home, "honest", "loss") == list(range(step))
    assert [path.name for path in (daemon.home / "runs").iterdir()] == ["honest"]
    assert "rejected" in daemon.status()["intake"]


FLOOD = """
run = xt.init("flood", run_id="flood", autostart=False)
for part in range(100):
    run.log({f"name/{part}/{n}": 1.0 for n in range(1_000)})
for step in range(30_000):
    run.log({"x": 1.0})
for _ in range(20):
    run.log({"big": "x" * 400_000})
print(run.stats()["rows"])
run.finish(timeout_s=40)
"""


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_beside_a_flood_every_row_of_an_honest_trainer_arrives(daemon: Daemon) -> None:
    flood = trainer(FLOOD, daemon.home)
    run = xt.init("honest", run_id="honest", home=daemon.home, autostart=False)
    for step in range(500):
        run.log({"loss": 1.0}, step=step)
        if step % 50 == 0:
            assert run.flush(timeout_s=30)
    run.finish(timeout_s=30)
    assert steps_of(daemon.home, "honest", "loss") == list(range(500))
    finished(flood, 120)


def send(path: Path, *frames: bytes) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.setsockopt(zmq.LINGER, 2_000)
        push.connect(f"ipc://{path}")
        for frame in frames:
            push.send(frame)


@pytest.mark.acceptance
def test_after_a_run_no_file_is_open_to_others(home: Path) -> None:
    old = os.umask(0)
    daemon = Daemon(home)
    try:
        daemon.start()
        frames = Home(home).runtime / "frames.sock"
        send(frames, opened("r"), rows(1, 5, "r"))
        finished(trainer("xt.init('p', run_id='q').finish(timeout_s=20)", home))
        places = [*home.rglob("*"), *Home(home).runtime.rglob("*")]
        wide = [
            path.relative_to(home.parent) if path.is_relative_to(home) else path
            for path in places
            if path.name != "daemon.log" and path.lstat().st_mode & 0o077
        ]  # the test made daemon.log itself
        assert wide == []
    finally:
        os.umask(old)
        daemon.end()


def test_a_runtime_folder_of_somebody_else_or_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(HomeUnusable, match="link"):
        make_private(tmp_path / "link")
    if os.getuid() == 0:
        os.chown(tmp_path / "real", 65_534, 65_534)
        with pytest.raises(HomeUnusable, match="belongs to uid 65534"):
            make_private(tmp_path / "real")


def test_a_link_that_waits_where_a_file_will_be_made_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("dear")
    (tmp_path / "00000001.seg").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic links"):
        OsFiles().open_append(tmp_path / "00000001.seg")
    assert (tmp_path / "victim").read_text() == "dear"
