"""Sockets are files of this user alone, and bounded."""

from __future__ import annotations

import os
import resource
import stat

import pytest
import zmq

from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.sockets import bind_private, bound, have_descriptors
from exptrack_proto.limits import MIB


@pytest.fixture
def context():
    with zmq.Context() as context:
        yield context


@pytest.mark.parametrize("umask", [0, 0o002, 0o022, 0o077])
def test_folder_and_socket_are_private_whatever_the_umask(tmp_path, context, umask):
    old = os.umask(umask)
    try:
        socket = bind_private(context, zmq.PULL, tmp_path / "run" / "a.sock")
        assert os.umask(umask) == umask
    finally:
        os.umask(old)
    mode = (tmp_path / "run" / "a.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert mode & 0o777 == 0o600
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    socket.close()


def test_descriptors_are_as_many_as_the_system_allows():
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    if old[1] == resource.RLIM_INFINITY or old[1] <= 1_024:
        pytest.skip("this system allows no more than 1,024, or any number")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, old[1]))
        have_descriptors()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(old[1], 65_536), old[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)


def test_a_socket_that_a_dead_daemon_left_is_replaced(tmp_path, context):
    (tmp_path / "a.sock").write_text("stale")
    pull = bind_private(context, zmq.PULL, tmp_path / "a.sock")
    push = context.socket(zmq.PUSH)
    bound(push)
    push.connect(f"ipc://{tmp_path / 'a.sock'}")
    push.send(b"hello")
    assert pull.poll(5000)
    assert pull.recv() == b"hello"
    push.close()
    pull.close()


def test_a_path_too_long_and_an_impossible_place_are_refused_with_a_word(tmp_path, context):
    with pytest.raises(HomeUnusable, match="longer than 107 bytes"):
        bind_private(context, zmq.PULL, tmp_path / ("x" * 120))
    (tmp_path / "a.sock").mkdir()
    with pytest.raises(HomeUnusable, match="no socket can be made"):
        bind_private(context, zmq.PULL, tmp_path / "a.sock")


def test_a_message_beyond_the_limit_is_not_received_and_its_sender_is_cut_off(tmp_path, context):
    pull = bind_private(context, zmq.PULL, tmp_path / "a.sock")
    big, honest = context.socket(zmq.PUSH), context.socket(zmq.PUSH)
    for push, message in ((big, bytes(MIB + 1)), (honest, b"honest")):
        bound(push)
        push.connect(f"ipc://{tmp_path / 'a.sock'}")
        push.send(message)
    assert pull.poll(5000)
    assert pull.recv() == b"honest"
    assert not pull.poll(100)
    for socket in (big, honest, pull):
        socket.close()


def test_what_is_queued_for_a_receiver_that_does_not_read_is_bounded(tmp_path, context):
    socket = bind_private(context, zmq.PULL, tmp_path / "a.sock")
    assert socket.getsockopt(zmq.RCVHWM) * MIB <= 16 * MIB
    assert socket.getsockopt(zmq.LINGER) == 0
    assert socket.getsockopt(zmq.HANDSHAKE_IVL) == 5000
    socket.close()
