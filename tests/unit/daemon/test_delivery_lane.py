"""One run on its way into one sink: in order, over every failure, exactly once with the state given back."""

from __future__ import annotations

import json
import logging
from itertools import pairwise

import pytest

from exptrack_daemon.delivery import lane as lane_module
from exptrack_daemon.delivery.lane import RestartWorker
from exptrack_daemon.errors import BatchRejected, ConfigInvalid, SinkBroken, SinkUnavailable
from exptrack_daemon.home import Home
from exptrack_daemon.journal.cursor import load_cursor
from exptrack_daemon.journal.segment import fragment, salt_of
from exptrack_proto.codec import encode_item
from exptrack_proto.limits import KIB
from exptrack_proto.records import Array, Chunk, Close, Image, Open
from tests.support.clocks import FakeClock
from tests.support.deliveries import Destination, drive, make_lane
from tests.support.desks import RUN, STREAM, closed, make_desk, opened, rows
from tests.support.faulty_files import FaultyFiles

NAME = STREAM.hex()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def there():
    destination = Destination()
    destination.reject = BatchRejected
    return destination


@pytest.fixture
def desk(home):
    return make_desk(home)


def fill(desk, until, since=1, step=20, close=False):
    """Commit rows in frames of `step`; the whole stream is then `open`, rows, `close`."""
    if since == 1:
        desk.take(opened())
    for first in range(since, until, step):
        desk.take(rows(first, min(step, until - first)))
        desk.commit()
    if close:
        desk.take(closed(until))
    desk.commit()


def cursor_of(home):
    return load_cursor(make_desk(home).files, Home(home).cursor(RUN, "there"))


def wanted(until):
    return [(NAME, sequence) for sequence in range(until)]


def test_everything_arrives_in_order_and_the_run_is_let_go_when_it_ended(home, desk, clock, there):
    fill(desk, 500, close=True)
    lane = make_lane(home, there, clock)
    drive(lane, clock)
    assert there.kept == wanted(501)
    assert (there.opened, there.closed) == (1, 1)
    assert lane.is_done
    assert lane.lag_rows == 0
    saved = cursor_of(home)
    assert (saved.rows, saved.ended, saved.status) == (499, True, "live")


def test_an_unavailable_sink_is_asked_again_for_ever_with_pauses_that_double(
    home, desk, clock, there, caplog
):
    caplog.set_level(logging.INFO)
    fill(desk, 10)
    there.failures = [SinkUnavailable("503")] * 6
    lane = make_lane(home, there, clock)
    asked_at = []
    while there.failures:
        left = len(there.failures)
        lane.step(clock.seconds)
        if len(there.failures) < left:
            asked_at.append(clock.seconds)
        clock.advance(0.1)
    pauses = [round(b - a) for a, b in pairwise(asked_at)]
    assert pauses == [1, 1, 2, 4, 8]
    assert (lane.cursor.status, lane.cursor.reason) == ("unavailable", "503")
    assert cursor_of(home).status == "unavailable"
    drive(lane, clock)
    assert there.kept == wanted(10)
    assert cursor_of(home).status == "live"
    said = [record.message for record in caplog.records]
    assert sum("unavailable" in line for line in said) == 1
    assert sum("again." in line for line in said) == 1


def test_a_sink_that_only_fails_to_settle_counts_as_back_once_it_answers(home, desk, clock, there):
    fill(desk, 10)
    there.settle_failures = [SinkUnavailable("no answer")]
    lane = make_lane(home, there, clock)
    drive(lane, clock)
    assert lane.cursor.status == "live"
    assert there.kept == wanted(10)
    assert cursor_of(home).rows == 9


def test_one_poisoned_row_is_set_aside_alone(home, desk, clock, there):
    fill(desk, 300, close=True)
    there.poison = {137}
    lane = make_lane(home, there, clock, batch_bytes=100 * KIB)
    drive(lane, clock)
    assert there.kept == [key for key in wanted(301) if key[1] != 137]
    assert lane.dead_letters == 1
    assert lane.is_done
    assert len(list(Home(home).dead_letters(RUN, "there").iterdir())) == 1


def test_a_batch_that_is_all_poison_is_passed_over_and_the_next_arrives(home, desk, clock, there):
    fill(desk, 100)
    there.poison = set(range(100))
    lane = make_lane(home, there, clock)
    drive(lane, clock)
    assert there.kept == []
    assert cursor_of(home).dead_letters == 100
    assert lane.lag_rows == 0
    fill(desk, 120, since=100)
    lane.has_news = True
    drive(lane, clock)
    assert there.kept == wanted(120)[100:]


def test_a_sink_that_refuses_everything_fills_neither_disk_nor_log(
    home, desk, clock, there, monkeypatch, caplog
):
    monkeypatch.setattr("exptrack_daemon.delivery.dead_letters.MOST_KEPT", 10)
    fill(desk, 200)
    there.poison = set(range(200))
    drive(make_lane(home, there, clock), clock)
    assert cursor_of(home).dead_letters == 200
    assert len(list(Home(home).dead_letters(RUN, "there").iterdir())) == 10
    assert sum("refused" in record.message for record in caplog.records) == 8  # 1, 2, 4 … 128


def test_dead_letters_are_counted_once_over_any_number_of_kills(home, desk, clock, there):
    fill(desk, 60)
    there.poison = {7, 50}
    for kill_after in range(1, 25):
        lane = make_lane(home, there, clock, batch_bytes=100 * KIB)
        for _ in range(kill_after):
            lane.step(clock.seconds)
        clock.advance(1)
    drive(make_lane(home, there, clock, batch_bytes=100 * KIB), clock)
    assert cursor_of(home).dead_letters == 2
    assert len(list(Home(home).dead_letters(RUN, "there").iterdir())) == 2
    assert there.kept == [key for key in wanted(60) if key[1] not in (7, 50)]


def test_a_stop_within_a_halved_batch_does_not_move_the_cursor_over_what_was_not_written(
    home, desk, clock, there
):
    """Its first half was taken; then the sink was away, and the worker stopped."""
    fill(desk, 60)
    there.poison = {50}
    lane = make_lane(home, there, clock, batch_bytes=100 * KIB)
    while not there.kept:
        lane.step(clock.seconds)
    there.failures = [SinkUnavailable("away")] * 9
    lane.step(clock.seconds)
    lane.close()
    assert cursor_of(home).rows == 0
    there.failures = []
    drive(make_lane(home, there, clock, batch_bytes=100 * KIB), clock)
    assert there.kept == [key for key in wanted(60) if key[1] != 50]


def test_a_dead_letter_that_cannot_be_kept_is_not_forgotten(home, desk, clock, there):
    fill(desk, 5)
    there.poison = {3}
    files = FaultyFiles()
    lane = make_lane(home, there, clock, files=files)
    for _ in range(3):
        lane.step(clock.seconds)
    files.fail_next("append")
    drive(lane, clock)
    assert lane.cursor.status == "live"
    assert len(list(Home(home).dead_letters(RUN, "there").glob("*.msgpack"))) == 1
    assert there.kept == [key for key in wanted(5) if key[1] != 3]


def test_a_fault_of_the_sink_closes_it_and_begins_at_the_cursor_after_a_pause(
    home, desk, clock, there, caplog
):
    fill(desk, 500)
    lane = make_lane(home, there, clock)
    lane.step(clock.seconds)
    there.failures = [ZeroDivisionError("a bug")] * 3
    there.close_failures = [RuntimeError("another")]
    drive(lane, clock)
    assert there.kept == wanted(500)
    assert there.opened == 4
    assert there.closed == 2
    assert not there.given_again
    assert sum(record.exc_info is not None for record in caplog.records) == 1, "told once"


@pytest.mark.parametrize("error", [SinkBroken("pip install it"), ConfigInvalid("no such mode")])
def test_a_sink_that_cannot_work_here_is_shown_so_and_asked_seldom(
    home, desk, clock, there, error, caplog
):
    fill(desk, 10)
    there.open_failures = [error] * 3
    lane = make_lane(home, there, clock)
    drive(lane, clock, 500)
    assert len(there.open_failures) == 2
    assert (lane.cursor.status, lane.cursor.reason) == ("broken", str(error))
    assert not lane.is_done
    drive(lane, clock, 2000)
    assert lane.cursor.status == "live"
    assert there.kept == wanted(10)
    assert sum(str(error) in record.message for record in caplog.records) == 1


def test_a_sink_that_needs_a_new_process_gets_one(home, desk, clock, there):
    fill(desk, 10)
    error = SinkUnavailable("the service is dead")
    error.restart_worker = True
    there.failures = [error]
    lane = make_lane(home, there, clock)
    with pytest.raises(RestartWorker, match="dead"):
        lane.step(clock.seconds)
    assert cursor_of(home).reason == "the service is dead"
    drive(make_lane(home, there, clock), clock)
    assert there.kept == wanted(10)


def test_a_sink_that_settles_late_moves_the_cursor_late(home, desk, clock, there):
    fill(desk, 500)
    there.settles = False
    lane = make_lane(home, there, clock)
    drive(lane, clock)
    assert there.kept == wanted(500)
    assert lane.cursor.rows == 0
    assert lane.lag_rows == 499
    there.settles = True
    drive(lane, clock)
    assert lane.lag_rows == 0
    assert not there.given_again


def test_a_run_that_ended_is_not_done_before_its_sink_settled(home, desk, clock, there):
    fill(desk, 50, close=True)
    there.settles = False
    lane = make_lane(home, there, clock)
    drive(lane, clock)
    assert not lane.is_done
    assert there.opened < 12, "with pauses, not again and again"
    there.settles = True
    drive(lane, clock)
    assert lane.is_done
    assert there.kept == wanted(51)


def test_a_close_that_fails_at_the_end_of_a_run_is_not_repeated_without_a_pause(
    home, desk, clock, there
):
    fill(desk, 5, close=True)
    there.close_failures = [OSError("disk")] * 50
    lane = make_lane(home, there, clock)
    drive(lane, clock, 300)
    assert there.opened < 15
    assert lane.cursor.status == "unavailable"


@pytest.mark.parametrize("kill_after", range(1, 30, 2))
def test_a_kill_at_any_point_gives_every_entry_exactly_once(home, desk, clock, there, kill_after):
    fill(desk, 400, close=True)
    lane = make_lane(home, there, clock)
    for _ in range(kill_after):
        lane.step(clock.seconds)
        clock.advance(0.3)
    drive(make_lane(home, there, clock), clock)
    assert there.kept == wanted(401)
    assert not there.given_again


def image(stream_first, desk, blob, at=1):
    """An image in three chunks, as the agent sends it."""
    pieces = [blob[i : i + 200 * KIB] for i in range(0, len(blob), 200 * KIB)]
    sequence = stream_first
    for piece in pieces:
        desk.take(encode_item(RUN, STREAM, sequence, Chunk(data=piece)))
        sequence += 1
    pixels = Array("u1", [len(blob)], len(pieces), b"")
    desk.take(
        encode_item(RUN, STREAM, sequence, Image(name="i", step=at, time_ns=1, pixels=pixels))
    )
    return sequence + 1


@pytest.mark.parametrize("kill_after", range(1, 14))
def test_media_in_pieces_is_whole_wherever_the_cursor_falls(home, desk, clock, there, kill_after):
    blob = bytes(range(256)) * 2 * KIB
    desk.take(opened())
    desk.take(encode_item(RUN, STREAM, 1, Chunk(data=blob[: 200 * KIB])))
    other = b"other-stream-no1"
    desk.take(opened(RUN, other, rank=1))  # between the pieces: read again, and still attempt 1
    desk.take(rows(1, 3, RUN, other))
    desk.commit()
    lane = make_lane(home, there, clock, batch_bytes=300 * KIB)
    drive(lane, clock, 3)
    after = 2
    for piece in (blob[200 * KIB : 400 * KIB], blob[400 * KIB :]):
        desk.take(encode_item(RUN, STREAM, after, Chunk(data=piece)))
        after += 1
    pixels = Array("u1", [len(blob)], 3, b"")
    desk.take(encode_item(RUN, STREAM, after, Image(name="i", step=1, time_ns=1, pixels=pixels)))
    desk.take(rows(4, 3, RUN, other))
    desk.commit()
    lane = make_lane(home, there, clock, batch_bytes=300 * KIB)
    for _ in range(kill_after):
        lane.step(clock.seconds)
        clock.advance(0.3)
    drive(make_lane(home, there, clock, batch_bytes=300 * KIB), clock)
    images = [entry for entry in there.items if isinstance(entry.item, Image)]
    assert {entry.item.pixels.data for entry in images} == {blob}
    assert {entry.stream.attempt for entry in there.items} == {1}
    assert [key for key in there.kept if key[0] == other.hex()] == [
        (other.hex(), n) for n in range(7)
    ]
    assert len(there.kept) == len(set(there.kept))


def test_large_media_does_not_wait_between_its_pieces(home, desk, clock, there):
    desk.take(opened())
    image(1, desk, bytes(4 << 20))
    desk.commit()
    lane = make_lane(home, there, clock, batch_bytes=256 * KIB)
    while lane.step(clock.seconds):
        pass
    assert any(isinstance(entry.item, Image) for entry in there.items)


def test_a_cursor_of_a_newer_version_is_neither_used_nor_changed(home, desk, clock, there):
    fill(desk, 10)
    path = Home(home).cursor(RUN, "there")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"version": 99, "position": "somewhere else"}))
    before = path.read_bytes()
    lane = make_lane(home, there, clock)
    drive(lane, clock)
    assert path.read_bytes() == before
    assert lane.cursor.status == "broken"
    assert "newer" in lane.cursor.reason
    assert there.kept == []


@pytest.mark.parametrize("text", ["", "{", '{"replay": {"run": 5}}', '{"replay": {}}'])
def test_a_damaged_cursor_begins_anew(home, desk, clock, there, text):
    fill(desk, 10)
    path = Home(home).cursor(RUN, "there")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    drive(make_lane(home, there, clock), clock)
    assert there.kept == wanted(10)


def test_a_journal_of_a_newer_version_is_shown_and_left_alone(home, clock, there):
    folder = Home(home).journal(RUN)
    folder.mkdir(parents=True)
    (folder / "00000001.seg").write_bytes(fragment(b"H\x63\x90", 0, salt_of(RUN, 1)))
    lane = make_lane(home, there, clock)
    drive(lane, clock, 3)
    assert lane.cursor.status == "broken"
    assert "newer" in lane.cursor.reason


def test_a_cursor_that_cannot_be_saved_is_saved_later(home, desk, clock, there):
    fill(desk, 10, close=True)
    files = FaultyFiles()
    lane = make_lane(home, there, clock, files=files)
    files.fail_next("append", "append")
    drive(lane, clock)
    assert cursor_of(home).rows == 9
    assert cursor_of(home).status == "live"
    assert lane.is_done
    assert there.kept == wanted(11)


def test_a_journal_that_cannot_be_read_now_is_read_later(home, desk, clock, there, monkeypatch):
    fill(desk, 10)
    lane = make_lane(home, there, clock)
    with monkeypatch.context() as patch:
        patch.setattr(lane._reader, "read", lambda *_: (_ for _ in ()).throw(OSError(5, "EIO")))
        lane.step(clock.seconds)
    assert "journal cannot be read" in lane.cursor.reason
    drive(lane, clock)
    assert there.kept == wanted(10)


def test_small_news_is_gathered_and_hurry_reads_it_at_once(home, desk, clock, there):
    fill(desk, 10)
    lane = make_lane(home, there, clock)
    while lane.step(clock.seconds):
        pass
    fill(desk, 20, since=10)
    lane.has_news = True
    assert not lane.step(clock.seconds)
    lane.hurry()
    assert lane.step(clock.seconds)
    assert there.kept == wanted(20)


def test_the_sink_stays_open_for_the_samplers_last_rows(home, desk, clock, there):
    sampler = b"the-sampler-no-1"
    desk.take(opened())
    desk.take(encode_item(RUN, sampler, 0, Open(time_ns=1, project="", name="s", role="sampler")))
    desk.take(closed(1))
    desk.commit()
    lane = make_lane(home, there, clock)
    drive(lane, clock, 3)
    assert lane.is_open
    desk.take(encode_item(RUN, sampler, 1, Close(time_ns=2, status="finished")))
    desk.commit()
    lane.has_news = True
    drive(lane, clock, 3)
    assert not lane.is_open
    assert there.opened == 1


def test_a_sampler_that_never_closes_does_not_hold_the_run_for_long(home, desk, clock, there):
    sampler = b"the-sampler-no-1"
    desk.take(opened())
    desk.take(encode_item(RUN, sampler, 0, Open(time_ns=1, project="", name="s", role="sampler")))
    desk.take(closed(1))
    desk.commit()
    lane = make_lane(home, there, clock)
    drive(lane, clock, lane_module._QUIET_S + 3)
    assert lane.is_done


def test_a_run_that_goes_on_after_its_end_goes_on_in_the_sink(home, desk, clock, there):
    fill(desk, 10, close=True)
    drive(make_lane(home, there, clock), clock)
    again = b"second-attempt-1"
    desk.take(opened(RUN, again, resumed=True))
    desk.take(rows(1, 4, RUN, again))
    desk.commit()
    lane = make_lane(home, there, clock)
    assert not lane.is_done, "its cursor says ended, but nothing was read yet"
    drive(lane, clock)
    assert there.kept == wanted(11) + [(again.hex(), n) for n in range(5)]
    assert there.items[-1].stream.attempt == 2
