"""The intake's loop with real sockets: acks after the commit, no busy waiting, nothing left at the end."""

from __future__ import annotations

import socket as network
import threading
import time

import pytest
import zmq

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.config import DaemonConfig, IntakeConfig
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.intake.desk import Desk
from exptrack_daemon.intake.fairness import FairQueue, QueueLimits
from exptrack_daemon.intake.server import CONTROL, FEED, FRAMES, IntakeServer
from exptrack_daemon.sockets import bound
from exptrack_proto.control import Hello, decode_control, encode_control
from exptrack_proto.frame import Kind, encode_header, rows_prefix
from exptrack_proto.records import Open
from tests.support.desks import RUN, STREAM, closed, make_desk, opened, read_back, rows
from tests.support.faulty_files import FaultyFiles
from tests.support.lifelines import FakeLifeline
from tests.support.processes import wait_until
from tests.support.rings import leave_segment, packed, packed_row

pytestmark = pytest.mark.timeout(40)


class Intake:
    """The server on a thread, and a trainer's sockets."""

    def __init__(self, home, files=None, **settings):
        self.config = DaemonConfig(home=Home(home), intake=IntakeConfig(**settings))
        self.files = files or OsFiles()
        self.rounds = 0
        self.is_over = False
        self.server = IntakeServer(self.config, self.files, SystemClock(), "boot-1")
        self.context = zmq.Context()
        runtime = self.config.home.runtime
        self.push = self._connected(zmq.PUSH, runtime / FRAMES)
        self.dealer = self._connected(zmq.DEALER, runtime / CONTROL)
        self.feed = self._connected(zmq.SUB, runtime / FEED)
        self.feed.setsockopt(zmq.SUBSCRIBE, b"")
        self.lifeline = FakeLifeline(self._round, timeout_s=30)
        self.thread = threading.Thread(target=self.server.serve, args=(self.lifeline,))

    def _connected(self, kind, path):
        socket = self.context.socket(kind)
        bound(socket)
        socket.setsockopt(zmq.SNDTIMEO, 5000)
        socket.connect(f"ipc://{path}")
        return socket

    def _round(self):
        self.rounds += 1
        return self.is_over

    def ask(self, stream=STREAM, run=RUN, first=0):
        """Say hello; returns the ack."""
        self.dealer.send(encode_control(Hello(stream, run, first, 10**6)))
        assert self.dealer.poll(5000)
        return decode_control(self.dealer.recv())

    def acked(self, stream=STREAM, run=RUN):
        return self.ask(stream, run).next

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.thread.join(15)
        for socket in (self.push, self.dealer, self.feed):
            socket.close(0)
        self.context.term()
        assert not self.thread.is_alive()


def test_frames_are_acknowledged_once_durable_and_the_sinks_hear_of_them(home):
    with Intake(home) as intake:
        intake.ask()
        for frame in (opened(), rows(1, 5), closed(6)):
            intake.push.send(frame)
        wait_until(lambda: intake.acked() == 7, 5)
        assert intake.feed.poll(5000)
        assert intake.feed.recv().startswith(RUN.encode())
        assert read_back(home).steps == [1, 2, 3, 4, 5]


def test_no_ack_leaves_before_its_commit(home):
    files = FaultyFiles()
    with Intake(home, files) as intake:
        intake.push.send(opened())
        wait_until(lambda: intake.acked() == 1, 5)
        files.fail_next("sync")
        intake.push.send(rows(1, 5))
        wait_until(lambda: intake.server.desk.counters.disk_errors == 1, 5)
        assert intake.acked() == 1
        intake.push.send(rows(1, 5))
        wait_until(lambda: intake.acked() == 6, 5)
    assert read_back(home).steps == [1, 2, 3, 4, 5]


def test_a_full_disk_pauses_the_intake_without_spinning_and_trainers_are_answered(home):
    files = FaultyFiles()
    with Intake(home, files) as intake:
        intake.push.send(opened())
        wait_until(lambda: intake.acked() == 1, 5)
        files.fails = lambda act: act == "append"
        for _ in range(10):
            intake.push.send(rows(1, 5))
        wait_until(lambda: intake.server.desk.disk_trouble, 5)
        before = intake.rounds
        time.sleep(1)
        assert intake.rounds - before < 40
        assert intake.server.desk.counters.disk_errors < 10
        assert intake.acked() == 1
        del files.fails
        wait_until(lambda: intake.acked() == 6, 10)
        assert intake.server.desk.disk_trouble == ""


def test_an_idle_intake_sleeps(home):
    with Intake(home) as intake:
        time.sleep(0.3)
        before = intake.rounds
        time.sleep(1)
        assert intake.rounds - before < 25


def test_a_flood_of_one_stream_starves_neither_commits_nor_another_stream(home):
    other = b"quiet-stream-001"
    with Intake(home) as intake:
        for run, stream in ((RUN, STREAM), ("other", other)):
            intake.push.send(opened(run, stream))
        stop = threading.Event()

        def flood():
            push = intake._connected(zmq.PUSH, intake.config.home.runtime / FRAMES)
            first = 1
            while not stop.is_set():
                push.send(rows(first, 2000))
                first += 2000
            push.close(0)

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            wait_until(lambda: intake.acked() > 2000, 10)
            for number in range(1, 11):
                began = time.monotonic()
                intake.push.send(rows(number, 1, "other", other))
                while intake.acked(other, "other") < number + 1:
                    assert time.monotonic() - began < 2
        finally:
            stop.set()
            flooding.join()
        counters = intake.server.desk.counters
        assert counters.bytes / max(1, counters.commits) < 3 * (1 << 20)


def test_what_is_sent_beyond_a_line_is_left_and_taken_when_it_comes_again(home):
    frames = [rows(1 + 2_000 * number, 2_000) for number in range(20)]
    intake = Intake(home)
    intake.server._queue = FairQueue(QueueLimits(line_bytes=3 * len(frames[-1])))
    for frame in (opened(), *frames):
        intake.push.send(frame)
    wait_until(lambda: intake.server._pull.poll(100), 5)
    time.sleep(0.1)  # so that several are read at once
    with intake:
        wait_until(lambda: intake.server.desk.counters.left, 5)
        while (durable := intake.acked()) < 40_001:
            for frame in frames[(durable - 1) // 2_000 :][:2]:
                intake.push.send(frame)
    assert read_back(home).steps == list(range(1, 40_001))


def test_while_somebody_sends_what_brings_nothing_reading_pauses_and_goes_on(home):
    too_early = [rows(100_000 * number, 10_000, "deaf", b"deaf" * 4) for number in range(1, 9)]
    with Intake(home) as intake:
        for frame in too_early:
            intake.push.send(frame)
        wait_until(lambda: intake.server.desk.counters.out_of_order >= len(too_early), 5)
        wait_until(lambda: intake.server._unread_until > 0, 5)
        intake.push.send(opened())
        intake.push.send(rows(1, 5))
        wait_until(lambda: intake.acked() == 6, 5)


def test_an_item_that_is_refused_holds_up_no_other_stream(home):
    """A frame's turn ends with it, whatever was in it."""
    bad = encode_header(Kind.ROWS, RUN, STREAM, 1, 2) + rows_prefix(2) + b"\xc0\xc0"
    with Intake(home) as intake:
        for frame in (opened(), bad, opened("other", b"o" * 16), rows(3, 2), closed(5)):
            intake.push.send(frame)
        wait_until(lambda: intake.acked() == 6, 5)
        wait_until(lambda: intake.acked(b"o" * 16, "other") == 1, 5)
    assert read_back(home).steps == [3, 4]
    assert [(first, last) for first, last, _ in read_back(home).losses] == [(1, 1), (2, 2)]


def test_what_arrived_before_the_end_is_taken_and_committed(home):
    intake = Intake(home)
    for frame in (opened(), rows(1, 200)):
        intake.push.send(frame)
    wait_until(lambda: intake.server._pull.poll(100), 5)
    time.sleep(0.1)
    intake.is_over = True  # before the first round
    with intake:
        pass
    assert read_back(home).steps == list(range(1, 201))


def test_garbage_on_every_socket_is_counted_and_hurts_nobody(home):
    with Intake(home) as intake:
        intake.push.send(b"garbage")
        intake.push.send_multipart([b"two", b"parts"])
        intake.push.send(b"")
        intake.dealer.send(b"garbage")
        intake.dealer.send_multipart([b"a", b"b", b"c"])
        intake.push.send(opened())
        wait_until(lambda: intake.acked() == 1, 5)
        wait_until(lambda: intake.server.desk.counters.rejected >= 4, 5)


def test_what_a_dead_trainer_left_is_brought_in_and_the_sinks_hear_of_it(home):
    items = [packed(Open(time_ns=1, project="p", name="n")), *map(packed_row, range(1, 9))]
    leave_segment(Home(home).spool / STREAM.hex(), 0, 0, items)
    with Intake(home, recover_every_s=0.1) as intake:
        wait_until(lambda: not (Home(home).spool / STREAM.hex()).exists(), 10)
        assert intake.server.facts()["recovering"] in (True, False)
        wait_until(lambda: read_back(home).closes == ["crashed"], 5)
        assert read_back(home).steps == list(range(1, 9))


def test_a_box_that_cannot_be_brought_in_holds_up_no_other_and_is_not_tried_all_the_time(
    home, monkeypatch
):
    items = [packed(Open(time_ns=1, project="p", name="n")), *map(packed_row, range(1, 4))]
    bad, good = b"\x01" * 16, b"\x02" * 16
    leave_segment(Home(home).spool / bad.hex(), 0, 0, items, run="bad", stream=bad)
    leave_segment(Home(home).spool / good.hex(), 0, 0, items, run="good", stream=good)
    tried = []
    real = Desk.resync

    def resync(self, run_id, stream, first, *reason):
        if run_id == "bad":
            tried.append(first)
            raise RuntimeError("a bug that only this box meets")
        return real(self, run_id, stream, first, *reason)

    monkeypatch.setattr(Desk, "resync", resync)
    with Intake(home, recover_every_s=0.1) as intake:
        wait_until(lambda: read_back(home, "good").closes == ["crashed"], 10)
        before = intake.rounds
        time.sleep(0.7)
        assert intake.rounds - before < 40
    assert len(tried) == 1
    assert (Home(home).spool / bad.hex()).is_dir()


def test_streams_of_a_machine_that_went_down_are_closed_at_the_next_start(home):
    desk = make_desk(home)
    desk.take(opened(host=network.gethostname()))
    desk.take(rows(1, 3))
    desk.take(opened("elsewhere", b"e" * 16, host="another-node"))
    desk.close()
    with Intake(home) as intake:
        wait_until(lambda: intake.acked() == 5, 5)
    assert read_back(home).closes == ["crashed"]
    assert read_back(home, "elsewhere").closes == []


def test_a_closed_streams_identity_is_forgotten(home):
    with Intake(home) as intake:
        for number in range(20):
            stream = bytes([number]) * 16
            intake.ask(stream, f"r{number}")
            intake.push.send(opened(f"r{number}", stream))
            intake.push.send(closed(1, f"r{number}", stream))
        wait_until(lambda: intake.server.desk.live.all() == [], 5)
        wait_until(lambda: not intake.server._identities, 5)


def test_patience_ends_when_something_is_due(home):
    intake = Intake(home)
    server = intake.server
    try:
        assert server._patience_ms() == 100
        server._dirty_since = server._clock.monotonic_s()
        assert server._patience_ms() == 0, "the last sync was long ago"
        server._committed_at = server._clock.monotonic_s()
        assert 1 <= server._patience_ms() <= 15
        server._dirty_since = None
        server._news["r1"] = 1
        assert server._patience_ms() == 0, "the sinks are to be told"
        server._told_at = server._clock.monotonic_s()
        assert 1 <= server._patience_ms() <= 100
        server._news.clear()
        server._paused_until = server._clock.monotonic_s() + 60
        assert server._patience_ms() == 100
        server._recovering = iter(())
        assert server._patience_ms() == 100, "no recovery while the disk takes nothing"
        server._paused_until = 0
        assert server._patience_ms() == 0
    finally:
        server._recovering = None
        with intake:
            pass


def test_facts_are_what_status_shows(home):
    with Intake(home) as intake:
        intake.push.send(opened(sinks=["wandb"]))
        wait_until(lambda: intake.acked() == 1, 5)
        facts = intake.server.facts()
    assert facts["frames"] == 1
    assert facts["live"] == 1
    assert facts["asked_sinks"] == ["wandb"]
    assert facts["disk_trouble"] == ""
