"""Garbage at the intake while an honest trainer logs: no stall, no crash, nothing of it in a journal."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
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
from tests.support.processes import Daemon, finished, trainer, wait_until
from tests.support.readback import steps_of

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL".ljust(55, b"\0")
READY = {
    "frames.sock": b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH",
    "control.sock": b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER",
}


def connected(path: Path) -> socket.socket:
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(5)
    raw.connect(str(path))
    return raw


def greeted(path: Path) -> socket.socket:
    """A connection past the handshake; libzmq takes no message that comes before its own READY."""
    raw = connected(path)
    raw.sendall(GREETING + READY[path.name])
    answer = b""
    while b"READY" not in answer or len(answer) < len(GREETING) + 2 + answer[len(GREETING) + 1]:
        part = raw.recv(4_096)
        assert part, "the handshake is refused"
        answer += part
    return raw


def is_cut_off(raw: socket.socket) -> bool:
    """Whether the other side ends the connection."""
    try:
        while raw.recv(4_096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def as_message(frame: bytes) -> bytes:
    return b"\x02" + struct.pack(">Q", len(frame)) + frame


def wrong_greetings(luck: Random) -> Iterator[bytes]:
    """What a scanner, a broken peer and an attacker might say first."""
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00"
    yield b""
    yield GREETING[:10]
    yield GREETING.replace(b"\x7f\x03", b"\x7f\x63")
    yield GREETING.replace(b"NULL", b"ROOT")
    yield GREETING.replace(b"NULL", b"CURV")
    yield GREETING + b"\x04\xff" + luck.randbytes(255)
    yield GREETING + READY["frames.sock"] + as_message(b"too early")
    for _ in range(20):
        yield luck.randbytes(luck.randrange(1, 400))


def wrong_messages(luck: Random) -> Iterator[bytes]:
    """What may come after a handshake that is in order."""
    yield (b"\x01\x01x" * 2_000) + b"\x00\x01x"
    yield b"\x00\x05hello" * 100
    yield b"\x00\x00" * 100
    yield as_message(luck.randbytes(100_000))
    yield as_message(b"")
    for _ in range(20):
        yield luck.randbytes(luck.randrange(1, 4_000))


TOO_LARGE = [b"\x02" + struct.pack(">Q", size) + b"x" for size in (3 << 30, 2**63, 2**64 - 1)]


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_garbage_costs_an_honest_trainer_nothing(daemon: Daemon) -> None:
    runtime = Home(daemon.home).runtime
    run = xt.init("honest", run_id="honest", home=daemon.home, autostart=False)
    held: list[socket.socket] = []
    pids = daemon.pids()
    luck = Random(4)
    steps = iter(range(10_000))
    for path in (runtime / "frames.sock", runtime / "control.sock"):
        said = [(connected, data) for data in wrong_greetings(luck)]
        said += [(greeted, data) for data in wrong_messages(luck)]
        for opens, data in said:
            raw = opens(path)
            with contextlib.suppress(OSError):
                raw.sendall(data)
            held.append(raw)
            run.log({"loss": 1.0}, step=next(steps))
        for data in TOO_LARGE:
            raw = greeted(path)
            raw.sendall(data)
            assert is_cut_off(raw)
            held.append(raw)
    slow, thin = connected(runtime / "frames.sock"), greeted(runtime / "frames.sock")
    held += [slow, thin]
    for one, other in zip(GREETING[:12], as_message(b"a message in parts")[:12], strict=True):
        slow.sendall(bytes([one]))
        thin.sendall(bytes([other]))
        run.log({"loss": 1.0}, step=next(steps))
    assert run.flush(timeout_s=30)
    assert daemon.pids() == pids
    for raw in held:
        raw.close()
    run.finish(timeout_s=20)
    assert steps_of(daemon.home, "honest", "loss") == list(range(next(steps)))
    assert [path.name for path in (daemon.home / "runs").iterdir()] == ["honest"]
    wait_until(lambda: daemon.status()["intake"]["rejected"] > 100)


HOLD = """
import socket, sys
held, greeting = [], bytes.fromhex(sys.argv[3])
for number in range(int(sys.argv[2])):
    for name in ("frames.sock", "control.sock"):
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(f"{sys.argv[1]}/{name}")  # waits while the queue is full
        raw.send(greeting[: number % 64])
        held.append(raw)
print(len(held), flush=True)
sys.stdin.read()
"""
HALF_OPEN = 10_000


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_ten_thousand_half_open_connections_hold_up_nobody(home: Path) -> None:
    """The daemon begins with 1,024 descriptors, as most shells give; each greeting ends somewhere."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = HALF_OPEN + 1_000 if old[1] == resource.RLIM_INFINITY else old[1]
    half = min(HALF_OPEN, most - 1_000) // 2
    daemon = Daemon(home)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, old[1]))
        daemon.start()
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, old[1]))
        run = xt.init("honest", run_id="honest", home=home, autostart=False)
        before = daemon.pids()
        command = [sys.executable, "-c", HOLD, str(Home(home).runtime), str(half), GREETING.hex()]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"%d\n" % (2 * half)
            for step in range(100):
                run.log({"loss": 1.0}, step=step)
                assert run.flush(timeout_s=30)
            holder.stdin.close()
        assert daemon.pids() == before
        run.finish(timeout_s=20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
        daemon.end()
    assert steps_of(home, "honest", "loss") == list(range(100))


AS_SOMEBODY = """
import os, sys
from pathlib import Path
from tests.security.test_transport import as_message, greeted
os.chdir(sys.argv[1])  # the folders above stay closed
os.setgroups([]), os.setgid(65_534), os.setuid(int(sys.argv[2]))
try:
    greeted(Path("frames.sock")).sendall(as_message(bytes.fromhex(sys.argv[3])))
    print("said")
except (OSError, AssertionError):
    print("refused")
"""


@pytest.mark.acceptance
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_what_another_user_says_on_a_socket_open_to_all_is_not_received(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", tempfile.mkdtemp(dir="/tmp"))  # a socket's path is short
    daemon = Daemon(home).start()
    runtime = Home(home).runtime
    try:
        runtime.chmod(0o777)
        (runtime / "frames.sock").chmod(0o777)
        run = xt.init("honest", run_id="honest", home=home, autostart=False)
        heard = {}
        for uid, name in ((65_534, "intruder"), (os.getuid(), "owner")):
            run.log({"loss": 1.0})
            words = [str(runtime), str(uid), opened(name).hex()]
            heard[name] = finished(trainer(AS_SOMEBODY, home, *words))
        assert heard == {"intruder": "refused\n", "owner": "said\n"}
        wait_until((home / "runs" / "owner").exists)
        run.finish(timeout_s=20)
    finally:
        daemon.end()
        shutil.rmtree(os.environ["XDG_RUNTIME_DIR"])
    assert sorted(path.name for path in (home / "runs").iterdir()) == ["honest", "owner"]
    assert len(steps_of(home, "honest", "loss")) == 2


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
