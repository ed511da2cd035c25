"""The courier: `Lane` with turned time, and the few things about the thread that need no daemon."""

from __future__ import annotations

import json
import logging
import threading
import time

import pytest
import zmq

from exptrack_agent import courier, pace
from exptrack_agent.courier import (
    ASK_AFTER_S,
    IDLE_ASK_S,
    RESEND_AFTER_S,
    SILENCE_S,
    WINDOW_BYTES,
    Courier,
    Lane,
    courier_for,
    read_beacon,
    release_courier,
)
from exptrack_agent.rows import RowLog
from exptrack_proto.control import Ack, decode_control, encode_control
from exptrack_proto.limits import FORMAT_VERSION
from tests.unit.agent.boxes import MIB, STREAM, event, make_log


@pytest.fixture
def log(tmp_path) -> RowLog:
    return make_log(tmp_path, segments=64)


@pytest.fixture
def lane(log) -> Lane:
    return Lane(log, log._box, now=0.0)


def send_all(lane: Lane, now: float) -> list[int]:
    """Send what the window takes; the first sequences of the spans."""
    firsts = []
    while (span := lane.next_span()) is not None:
        firsts.append(span.first)
        lane.sent(now)
    return firsts


def ack(next_: int, boot: str = "boot", notice: str = "") -> Ack:
    return Ack(boot, STREAM, next_, notice)


def log_spans(log: RowLog, lane: Lane, count: int, now: float = 0.0) -> None:
    """So many spans of one row each."""
    for _ in range(count):
        log.log({"a": 1.0})
        lane.collect(now)


def test_what_was_logged_is_sent_once_and_done_when_it_is_acknowledged(log, lane):
    log_spans(log, lane, 3)
    assert send_all(lane, 1.0) == [0, 1, 2]
    assert send_all(lane, 1.1) == []
    assert not lane.is_empty

    lane.heard(ack(2), 1.2)
    assert (lane.acknowledged, lane.delivered, lane.first) == (2, 2, 2)
    lane.heard(ack(3), 1.3)
    assert lane.is_empty
    assert (lane.acknowledged, lane.first) == (3, 3)


def test_a_frame_is_done_only_when_all_of_it_is(log, lane):
    for _ in range(5):
        log.log({"a": 1.0})
    lane.collect(0)
    send_all(lane, 0)
    lane.heard(ack(4), 0.1)
    assert (lane.acknowledged, lane.is_empty) == (0, False)
    lane.heard(ack(5), 0.2)
    assert (lane.acknowledged, lane.is_empty) == (5, True)


def test_no_more_is_under_way_than_the_window(log, lane):
    wide = {f"m{number}": 1.0 for number in range(20_000)}
    while log.rows * 200_000 < 3 * WINDOW_BYTES:
        log.log(wide)
        lane.collect(0)
    sent = send_all(lane, 0)
    assert 0 < len(sent) < len(sent) + len(lane.to_send)
    assert sum(span.size for span in lane.under_way) <= WINDOW_BYTES + MIB
    lane.heard(ack(sent[-1]), 0.1)
    assert send_all(lane, 0.2)


def test_what_is_not_acknowledged_is_sent_again_and_ever_less_often(log, lane):
    log_spans(log, lane, 2)
    send_all(lane, 0.0)
    lane.heard(ack(0), 0.1)
    lane.heard(ack(0), RESEND_AFTER_S - 0.1)
    assert send_all(lane, 0) == []

    lane.heard(ack(0), RESEND_AFTER_S + 0.2)
    assert send_all(lane, RESEND_AFTER_S + 0.2) == [0, 1]
    again = RESEND_AFTER_S + 0.2
    lane.heard(ack(0), again + 1.5 * RESEND_AFTER_S)
    assert send_all(lane, again) == []
    lane.heard(ack(0), again + 2 * RESEND_AFTER_S + 0.1)
    assert send_all(lane, again + 2 * RESEND_AFTER_S + 0.1) == [0, 1]


def test_any_progress_makes_it_patient_again(log, lane):
    log_spans(log, lane, 2)
    send_all(lane, 0.0)
    lane.heard(ack(0), 0.0)
    lane.heard(ack(0), 1.1)
    send_all(lane, 1.1)
    lane.heard(ack(1), 2.0)
    lane.heard(ack(1), 2.9)
    assert send_all(lane, 2.9) == []
    lane.heard(ack(1), 3.1)
    assert send_all(lane, 3.1) == [1]


def test_another_daemon_gets_everything_again_at_once(log, lane):
    log_spans(log, lane, 3)
    send_all(lane, 0.0)
    lane.heard(ack(1, "first"), 0.1)
    lane.heard(ack(1, "second"), 0.2)
    assert send_all(lane, 0.2) == [1, 2]


def test_a_new_daemon_may_know_what_the_old_one_never_confirmed(log, lane):
    log_spans(log, lane, 3)
    send_all(lane, 0.0)
    lane.heard(ack(0, "first"), 0.1)
    lane.heard(ack(0, "second"), 0.2)
    lane.heard(ack(2, "second"), 0.3)
    assert send_all(lane, 0.3) == [2]
    lane.heard(ack(3, "second"), 0.4)
    assert lane.is_empty
    assert lane.delivered == 3


def test_acks_that_come_late_or_twice_or_say_too_much_do_no_harm(log, lane):
    log_spans(log, lane, 2)
    send_all(lane, 0.0)
    lane.heard(ack(2), 0.1)
    lane.heard(ack(1), 0.2)
    lane.heard(ack(2), 0.3)
    lane.heard(ack(1_000_000), 0.4)
    assert (lane.acknowledged, lane.delivered) == (2, 2)
    log_spans(log, lane, 1)
    assert send_all(lane, 0.5) == [2]


def test_it_asks_soon_while_it_waits_and_seldom_when_idle(log, lane):
    assert lane.must_ask(0.0)
    assert lane.must_ask(0.1)  # since the question did not go out
    lane.asked(0.1)
    assert not lane.must_ask(0.2)
    assert lane.must_ask(0.1 + ASK_AFTER_S + 0.01)
    lane.heard(ack(0), 1.0)
    assert not lane.must_ask(1.0 + IDLE_ASK_S - 0.1)
    assert lane.must_ask(1.0 + IDLE_ASK_S + 0.1)
    log_spans(log, lane, 1)
    send_all(lane, 10.0)
    assert lane.must_ask(10.0)


def test_a_lane_is_cut_off_when_items_wait_and_nobody_answers(log, lane):
    assert not lane.is_cut_off(100.0)
    log_spans(log, lane, 1, now=100.0)
    assert not lane.is_cut_off(100.0 + SILENCE_S)
    assert lane.is_cut_off(100.1 + SILENCE_S)
    lane.heard(ack(0), 103.0)
    assert not lane.is_cut_off(103.1)


def test_a_pause_of_training_is_no_silence_of_the_daemon(log, lane):
    log_spans(log, lane, 1, now=0.0)
    send_all(lane, 0.0)
    lane.heard(ack(1), 0.1)
    log_spans(log, lane, 1, now=500.0)
    assert not lane.is_cut_off(500.1)


def test_a_loss_is_announced_by_the_sequence_where_it_begins(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB, burst_segments=1, spool=False)
    lane = Lane(log, log._box, 0.0)
    wide = {f"m{number}": 1.0 for number in range(1_000)}
    while log.dropped < 3:
        log.log(wide)
        lane.collect(0.0)
    lost = log.sequence - 3
    send_all(lane, 0.0)
    lane.heard(ack(lost), 0.1)
    log.log({"after": 1})
    lane.collect(0.2)

    assert lane.first == lost
    send_all(lane, 0.2)
    assert lane.first == lost
    lane.heard(ack(log.sequence), 0.3)
    assert lane.first == log.sequence
    assert lane.delivered == log.sequence - 3


def test_an_open_loss_makes_no_empty_frames(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB, burst_segments=1, spool=False)
    lane = Lane(log, log._box, 0.0)
    while log.dropped < 3:
        log.log({f"m{number}": 1.0 for number in range(1_000)})
    for _ in range(3):
        lane.collect(0.0)
    assert all(span.size > 0 for span in lane.to_send)
    assert sum(span.items for span in lane.to_send) == log.rows


def test_a_span_that_is_gone_is_counted_and_passed_over(log, lane):
    log_spans(log, lane, 3)
    lane.asked(0.0)
    gone = lane.give_up()
    assert (gone.first, log.dropped) == (0, 1)
    assert lane.first == 1
    assert lane.must_ask(0.01)
    lane.give_up()
    lane.give_up()
    assert lane.first == 3
    assert log._box.active.open_spans == 0


def test_acknowledged_items_give_their_segments_back(log, lane):
    wide = {f"m{number}": 1.0 for number in range(5_000)}
    while log._box._next_number < 3:
        log.log(wide)
        lane.collect(0.0)
        send_all(lane, 0.0)
        lane.heard(ack(log.sequence), 0.0)
    assert len(log._box._full) == 0
    assert len(log._box._spares) >= 1


# --- the thread -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        "{}",
        '{"frames": 5, "control": 6}',
        '{"frames": "ipc:///a"}',
        '{"frames": "http://a", "control": "ipc:///b"}',
        '{"frames": null, "control": null}',
        "\x00\xff",
    ],
)
def test_a_beacon_that_is_none_is_none(tmp_path, text):
    (tmp_path / "daemon.json").write_text(text)
    assert read_beacon(tmp_path) is None
    assert read_beacon(tmp_path / "nowhere") is None


def test_a_beacon_is_read(tmp_path):
    beacon = {"frames": "ipc:///a", "control": "ipc:///b", "format": 1}
    (tmp_path / "daemon.json").write_text(json.dumps(beacon))
    assert read_beacon(tmp_path) == beacon


def test_one_courier_for_a_home_that_ends_when_it_carries_nothing(tmp_path, log):
    first = courier_for(tmp_path)
    assert courier_for(tmp_path) is first
    lane = Lane(log, log._box, 0.0)
    first.add(lane, offline=True)
    release_courier(tmp_path)
    assert first._thread.is_alive()

    assert first.remove(lane) is True
    release_courier(tmp_path)
    assert not first._thread.is_alive()
    assert courier_for(tmp_path) is not first
    release_courier(tmp_path)


def test_removing_a_lane_says_whether_all_is_acknowledged(tmp_path, log):
    carrier = Courier(tmp_path)
    lane = Lane(log, log._box, 0.0)
    carrier.add(lane, offline=False)
    log.log({"a": 1})
    assert carrier.remove(lane) is False
    carrier.stop()


def test_a_round_that_hangs_does_not_hang_the_end_of_a_run(tmp_path, log):
    carrier = Courier(tmp_path)
    lane = Lane(log, log._box, 0.0)
    with carrier.mutex:
        assert carrier.remove(lane, timeout_s=0.05) is None
    carrier.stop()


def test_stopping_takes_no_round(tmp_path):
    carrier = Courier(tmp_path)
    began = time.monotonic()
    for _ in range(10):
        carrier.stop()
        carrier = Courier(tmp_path)
    carrier.stop()
    assert time.monotonic() - began < 1


def test_a_fault_in_a_round_is_said_once_and_outlived(tmp_path, log, caplog, monkeypatch):
    caplog.set_level(logging.WARNING, logger="exptrack")
    monkeypatch.setattr(courier, "_PAUSE_S", 0.01)
    carrier = Courier(tmp_path)
    lane = Lane(log, log._box, 0.0)
    calls = threading.Semaphore(0)

    def broken(now: float) -> None:
        calls.release()
        raise ZeroDivisionError

    monkeypatch.setattr(lane, "collect", broken)
    carrier.add(lane, offline=True)
    for _ in range(3):
        assert calls.acquire(timeout=10)
    assert carrier._thread.is_alive()
    assert len(caplog.messages) == 1
    monkeypatch.undo()
    assert carrier.remove(lane) is True
    carrier.stop()


def test_an_offline_lane_is_spooled_within_seconds(tmp_path, log):
    carrier = Courier(tmp_path)
    carrier.add(Lane(log, log._box, 0.0), offline=True)
    log.log({"a": 1})
    deadline = time.monotonic() + 10
    while log._box.spooled_bytes == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    carrier.stop()


def test_a_beacon_of_another_format_is_said_and_left_alone(tmp_path, log, caplog):
    caplog.set_level(logging.WARNING, logger="exptrack")
    beacon = {"frames": "ipc:///a", "control": "ipc:///b", "format": 999}
    (tmp_path / "daemon.json").write_text(json.dumps(beacon))
    carrier = Courier(tmp_path)
    carrier.add(Lane(log, log._box, 0.0), offline=False)
    log.put_item(event("x"))
    deadline = time.monotonic() + 10
    while not caplog.messages:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "speaks format 999" in caplog.text
    assert carrier._wire is None
    carrier.stop()


@pytest.fixture
def daemon(tmp_path):
    """The sockets of a home's daemon, found by its beacon, and nobody behind them."""
    with zmq.Context() as context:
        pull, router = context.socket(zmq.PULL), context.socket(zmq.ROUTER)
        endpoints = {"frames": f"ipc://{tmp_path}/f", "control": f"ipc://{tmp_path}/c"}
        pull.bind(endpoints["frames"])
        router.bind(endpoints["control"])
        (tmp_path / "daemon.json").write_text(json.dumps({"format": FORMAT_VERSION, **endpoints}))
        yield pull, router
        pull.close(0)
        router.close(0)


def test_an_acknowledgement_begins_no_round_and_lets_the_next_frame_out(
    tmp_path, log, daemon, monkeypatch
):
    pull, router = daemon
    monkeypatch.setattr(
        pace, "IDLE_S", 60.0
    )  # from here on rounds begin only where one is asked for
    monkeypatch.setattr(pace, "SLOWEST_S", 60.0)
    monkeypatch.setattr(courier, "WINDOW_BYTES", 0)
    lane, rounds = Lane(log, log._box, 0.0), []
    collect = lane.collect
    monkeypatch.setattr(lane, "collect", lambda now: rounds.append(now) or collect(now))
    log.log({"a": 1.0})
    log.put_item(event("between"))
    carrier = Courier(tmp_path)
    carrier.add(lane, offline=False)
    deadline = time.monotonic() + 10
    while not pull.poll(50):
        assert time.monotonic() < deadline
        carrier.hurry()
    pull.recv()
    identity, question = router.recv_multipart()
    assert decode_control(question).stream == STREAM
    assert not pull.poll(100), "the window holds one span"
    begun = len(rounds)
    router.send_multipart([identity, encode_control(ack(1))])
    assert pull.poll(5_000), "the next span follows the acknowledgement"
    router.send_multipart([identity, encode_control(ack(2))])
    with lane.progress:
        assert lane.progress.wait_for(lambda: lane.acknowledged == 2, timeout=5)
    assert len(rounds) == begun
    carrier.stop()
