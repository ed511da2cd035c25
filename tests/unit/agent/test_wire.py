"""The two sockets: nothing waits, nothing is queued for nobody, nothing stays open after a failure."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from exptrack_agent.courier import Bell
from exptrack_agent.wire import Wire
from exptrack_proto.limits import MIB


@pytest.fixture
def peer() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes], str, str]]:
    """A daemon's two sockets, on loopback."""
    context = zmq.Context(io_threads=1)
    pull, router = context.socket(zmq.PULL), context.socket(zmq.ROUTER)
    frames = f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}"
    control = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
    yield pull, router, frames, control
    context.destroy(linger=0)


def until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_frames_go_out_and_answers_come_back(peer):
    pull, router, frames, control = peer
    wire = Wire(frames, control)
    until(lambda: wire.send_frame(b"frame"))
    assert pull.poll(5_000)
    assert pull.recv() == b"frame"
    until(lambda: wire.ask(b"hello"))
    identity, message = router.recv_multipart()
    assert message == b"hello"
    assert wire.hear() is None
    router.send_multipart([identity, b"answer"])
    wire.wait(5)
    assert wire.hear() == b"answer"
    wire.close()


def test_an_answer_to_a_frame_is_waited_for_and_kept_until_it_is_heard(peer):
    pull, router, frames, control = peer
    wire = Wire(frames, control)
    until(lambda: wire.ask(b"hello"))
    identity, _ = router.recv_multipart()
    for number in range(20):
        until(lambda: wire.send_frame(b"frame"))
        pull.recv()
        router.send_multipart([identity, b"%d" % number])
        while (heard := wire.hear()) is None:
            assert not wire.wait(5)
        assert heard == b"%d" % number
        assert wire.hear() is None
    wire.close()


def test_a_bell_is_heard_also_while_an_answer_is_due(peer):
    _, _, frames, control = peer
    bell = Bell()
    wire = Wire(frames, control, bell.reader)
    until(lambda: wire.send_frame(b"frame"))
    bell.ring()
    assert wire.wait(10)
    wire.close()
    bell.close()


def test_nothing_is_queued_for_a_daemon_that_is_not_there(tmp_path):
    wire = Wire(f"ipc://{tmp_path}/frames", f"ipc://{tmp_path}/control")
    began = time.monotonic()
    assert not wire.send_frame(b"x" * MIB)
    assert not wire.ask(b"hello")
    assert wire.hear() is None
    wire.close()
    assert time.monotonic() - began < 1


def test_a_daemon_that_takes_nothing_is_not_waited_for(peer):
    _, _, frames, control = peer
    wire = Wire(frames, control)
    until(lambda: wire.send_frame(b"x"))
    refused = 0
    while wire.send_frame(b"x" * 100_000):
        refused += 1
        assert refused < 100_000
    wire.close()


def test_the_bell_ends_a_wait_at_once(peer):
    _, _, frames, control = peer
    bell = Bell()
    wire = Wire(frames, control, bell.reader)
    ringer = threading.Timer(0.05, bell.ring)
    ringer.start()
    began = time.monotonic()
    wire.wait(10)
    assert time.monotonic() - began < 5
    ringer.join()
    bell.hush()
    began = time.monotonic()
    wire.wait(0.05)
    assert time.monotonic() - began >= 0.04
    wire.close()
    bell.close()


@pytest.mark.parametrize(
    ("frames", "control"),
    [
        ("ipc:///" + "x" * 200, "ipc:///tmp/x"),
        ("tcp://127.0.0.1:notaport", "ipc:///tmp/x"),
        ("ipc:///tmp/x", "tcp://"),
    ],
)
def test_an_endpoint_that_cannot_be_one_leaves_nothing_open(frames, control):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(zmq.ZMQError):
            Wire(frames, control)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def test_a_closed_bell_rings_nobody_elses_descriptor():
    bell = Bell()
    bell.close()
    reader, writer = os.pipe()
    bell.ring()
    bell.hush()
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)


def test_a_bell_without_descriptors_just_is_not_heard(monkeypatch):
    def none_left(flags: int) -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe2", none_left)
    bell = Bell()
    bell.ring()
    bell.wait(0.01)
    bell.hush()
    bell.close()


def test_many_rings_do_not_block():
    bell = Bell()
    for _ in range(100_000):
        bell.ring()
    bell.close()
