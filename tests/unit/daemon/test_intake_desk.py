"""The desk: what is done with each frame, in order or not, right or damaged, whatever the disk does."""

from __future__ import annotations

import os
import random
import threading

import pytest

from exptrack_daemon.errors import JournalNewer
from exptrack_daemon.intake.desk import Desk
from exptrack_daemon.journal.segment import fragment, salt_of
from exptrack_proto.codec import encode_rows
from exptrack_proto.frame import Kind, encode_header, parse, rows_prefix
from exptrack_proto.records import Loss, Row, TextItem
from tests.support.desks import RUN, STREAM, closed, item, make_desk, opened, read_back, rows
from tests.support.faulty_files import FaultyFiles


@pytest.fixture
def desk(home):
    return make_desk(home)


def test_rows_in_order_are_in_the_journal_after_the_commit_and_not_before(home, desk):
    desk.take(opened())
    desk.take(rows(1, 10))
    assert desk.durable(RUN, STREAM) == 0
    assert desk.commit() == {RUN: 10}
    assert desk.durable(RUN, STREAM) == 11
    assert read_back(home).steps == list(range(1, 11))
    assert (desk.counters.rows, desk.counters.points, desk.counters.frames) == (10, 10, 2)


def test_a_frame_that_comes_twice_is_kept_once_and_answered_again(home, desk):
    for _ in range(3):
        desk.take(opened())
        desk.take(rows(1, 5))
    desk.commit()
    desk.to_answer.clear()
    desk.take(rows(1, 5))
    assert desk.to_answer == {(RUN, STREAM)}
    assert desk.commit() == {}
    assert read_back(home).steps == [1, 2, 3, 4, 5]
    assert desk.counters.seen_before == 5


def test_a_frame_that_is_ahead_is_left_for_its_turn(home, desk):
    desk.take(opened())
    desk.take(rows(6, 5))
    desk.take(closed(11))
    assert desk.counters.out_of_order == 2
    desk.take(rows(1, 5))
    desk.take(rows(6, 5))
    desk.commit()
    assert read_back(home).steps == list(range(1, 11))
    assert read_back(home).closes == []


def test_of_a_frame_that_is_known_in_part_the_rest_is_taken(home, desk):
    desk.take(opened())
    desk.take(rows(1, 5))
    desk.take(rows(3, 6))
    desk.commit()
    assert read_back(home).steps == list(range(1, 9))


def test_random_orders_repeats_and_overlaps_give_every_row_once_in_order(home, desk):
    dice = random.Random(3)
    desk.take(opened())
    while desk.expected(RUN, STREAM).next < 400:
        first = max(1, desk.expected(RUN, STREAM).next + dice.randint(-30, 10))
        desk.take(rows(first, dice.randint(1, 40)))
        if dice.random() < 0.1:
            desk.commit()
    desk.commit()
    steps = read_back(home).steps
    assert steps == list(range(1, len(steps) + 1))


def test_a_ledger_entry_accounts_for_the_gap_before_it(home, desk):
    desk.take(opened())
    desk.take(rows(1, 4))
    desk.take(item(10, Loss(time_ns=1, first=5, last=9, reason="ring full")))
    desk.take(rows(11, 2))
    desk.commit()
    told = read_back(home)
    assert told.steps == [1, 2, 3, 4, 11, 12]
    assert told.losses == [(5, 9, "ring full")]


@pytest.mark.parametrize(("first", "last"), [(6, 9), (5, 7), (5, 500), (9, 5)])
def test_a_ledger_entry_that_does_not_account_for_all_of_the_gap_is_not_in_order(desk, first, last):
    desk.take(opened())
    desk.take(rows(1, 4))
    desk.take(item(10, Loss(time_ns=1, first=first, last=last, reason="?")))
    assert desk.expected(RUN, STREAM).next == 5
    assert desk.counters.out_of_order == 1


def test_a_row_that_does_not_decode_becomes_a_ledger_entry_and_its_neighbours_are_kept(home, desk):
    packed = [_packed(n) for n in (1, 2)] + [b"\x93\x01\x02\xa3bad"] + [_packed(4)]
    desk.take(opened())
    desk.take(encode_header(Kind.ROWS, RUN, STREAM, 1, 4) + rows_prefix(4) + b"".join(packed))
    desk.take(rows(5, 2))
    desk.commit()
    told = read_back(home)
    assert told.steps == [1, 2, 4, 5, 6]
    assert [(first, last) for first, last, _ in told.losses] == [(3, 3)]
    assert "rows were lost" in desk.notices[STREAM]


def test_an_item_that_does_not_decode_never_holds_up_its_stream(home, desk):
    desk.take(opened())
    desk.take(encode_header(Kind.EVENT, RUN, STREAM, 1, 1) + b"\x81\xa4kind\xa5nosuch"[:-1])
    desk.take(encode_header(Kind.ROWS, RUN, STREAM, 2, 3) + b"\xdd\x00\x00\x00\x03\xc1\xc1\xc1")
    desk.take(rows(5, 1))
    desk.commit()
    told = read_back(home)
    assert told.steps == [5]
    assert [loss[:2] for loss in told.losses] == [(1, 1), (2, 4)]


def test_what_is_no_frame_is_counted_and_a_bounded_sample_is_kept(home, desk):
    for number in range(200):
        desk.clock.advance(0.001)
        desk.take(bytes([number]) * 100_000)
    kept = list((home / "quarantine").iterdir())
    assert desk.counters.rejected == 200
    assert len(kept) == 64
    assert max(path.stat().st_size for path in kept) == 65_536
    again = make_desk(home)
    again.clock.advance(9)
    again.take(b"after a restart")
    assert len(list((home / "quarantine").iterdir())) == 64


def test_a_sample_that_cannot_be_kept_costs_no_descriptor_and_stops_nothing(home):
    files = FaultyFiles()
    desk = make_desk(home, files)
    files.fail_next("append")
    desk.take(b"garbage")
    assert files.opened == 0
    assert desk.disk_trouble == ""


def test_a_stream_whose_journal_is_lost_begins_with_an_open_of_ours_and_the_loss(home, desk):
    assert desk.resync(RUN, STREAM, 500)
    desk.take(rows(500, 3))
    desk.commit()
    told = read_back(home)
    assert told.steps == [500, 501, 502]
    assert [loss[:2] for loss in told.losses] == [(1, 499)]


def test_a_resync_that_says_nothing_new_changes_nothing(home, desk):
    desk.take(opened())
    desk.take(rows(1, 5))
    for first in (0, 3, 6):
        desk.resync(RUN, STREAM, first)
    desk.resync(RUN, b"x" * 16, 0)
    desk.commit()
    assert read_back(home).losses == []


def test_a_disk_error_acknowledges_nothing_and_is_over_without_a_restart(home):
    files = FaultyFiles()
    desk = make_desk(home, files)
    desk.take(opened())
    desk.take(rows(1, 5))
    desk.commit()
    files.fail_next("append")
    desk.take(rows(6, 5))
    assert desk.disk_trouble == "No space left on device"
    assert desk.commit() == {}
    assert desk.disk_trouble, "nothing was written since"
    assert desk.durable(RUN, STREAM) == 6
    desk.take(rows(11, 5))
    desk.take(rows(6, 10))
    assert desk.commit() == {RUN: 15}
    assert desk.disk_trouble == ""
    assert read_back(home).steps == list(range(1, 16))


def test_a_sync_that_fails_takes_back_what_was_not_acknowledged(home):
    files = FaultyFiles()
    desk = make_desk(home, files)
    desk.take(opened())
    desk.commit()
    desk.take(rows(1, 5))
    desk.take(closed(6))
    files.fail_next("sync")
    assert desk.commit() == {}
    assert desk.durable(RUN, STREAM) == 1
    assert [live.run_id for live in desk.live.all()] == [RUN], "its close does not count"
    desk.take(rows(1, 5))
    desk.take(closed(6))
    assert desk.commit() == {RUN: 5}
    assert desk.live.all() == []
    assert read_back(home).closes == ["finished"]


def test_trouble_with_one_run_does_not_keep_another_from_its_commit(home):
    files = FaultyFiles()
    desk = make_desk(home, files)
    for run in ("one", "two"):
        desk.take(opened(run))
    desk.commit()
    desk.take(rows(1, 3, "one"))
    desk.take(rows(1, 3, "two"))
    files.fail_next("sync")
    assert len(desk.commit()) == 1


def test_a_disk_that_cannot_be_read_refuses_the_frame_and_raises_nothing(home, desk, monkeypatch):
    monkeypatch.setattr(Desk, "journal", lambda *_: (_ for _ in ()).throw(OSError(5, "EIO")))
    desk.take(opened())
    assert not desk.resync(RUN, STREAM, 5)
    assert not desk.close_crashed(RUN, STREAM)
    assert desk.durable(RUN, STREAM) == 0
    assert desk.counters.disk_errors == 4


def test_a_journal_of_a_newer_version_takes_nothing_and_its_user_hears_why(home, desk):
    folder = home / "runs" / RUN / "journal"
    folder.mkdir(parents=True)
    newer = fragment(b"H\x63" + b"\x90", 0, salt_of(RUN, 1))
    (folder / "00000001.seg").write_bytes(newer)
    desk.take(opened())
    desk.take(rows(1, 3))
    desk.take(opened("other", b"o" * 16))
    assert desk.commit() == {"other": 0}
    assert desk.disk_trouble == ""
    assert "newer" in desk.notices[STREAM]
    assert (RUN, STREAM) in desk.to_answer
    assert desk.durable(RUN, STREAM) == 0
    with pytest.raises(JournalNewer):
        desk.journal(RUN)
    assert [path.name for path in folder.iterdir()] == ["00000001.seg"]
    assert (folder / "00000001.seg").read_bytes() == newer


def test_the_longest_unused_journal_is_let_go_and_its_rows_are_told_with_the_next_commit(
    home, desk, monkeypatch
):
    monkeypatch.setattr("exptrack_daemon.intake.desk._MOST_JOURNALS", 3)
    for number in range(6):
        desk.take(opened(f"r{number}", bytes([number]) * 16))
        desk.take(rows(1, number + 1, f"r{number}", bytes([number]) * 16))
    assert desk.commit() == {f"r{number}": number + 1 for number in range(6)}
    desk.take(rows(2, 1, "r0", bytes(16)))
    assert desk.commit() == {"r0": 2}
    assert read_back(home, "r0").steps == [1, 2]


def test_letting_go_of_a_journal_whose_sync_fails_refuses_no_other_run(home, monkeypatch):
    monkeypatch.setattr("exptrack_daemon.intake.desk._MOST_JOURNALS", 1)
    files = FaultyFiles()
    desk = make_desk(home, files)
    desk.take(opened("one"))
    files.fail_next("sync")
    desk.take(opened("two"))
    assert desk.commit() == {"two": 0}
    assert desk.counters.disk_errors == 1


def test_a_crash_is_written_once_and_only_for_a_stream_that_is_open(home, desk):
    desk.take(opened())
    desk.commit()
    for _ in range(2):
        assert desk.close_crashed(RUN, STREAM)
        desk.commit()
    assert desk.close_crashed("nosuchrun", STREAM)
    assert read_back(home).closes == ["crashed"]
    assert desk.live.all() == []
    assert not (home / "runs" / "nosuchrun").exists()


def test_sinks_that_a_run_asks_for_are_known_and_so_they_are_after_a_restart(home, desk):
    desk.take(opened(sinks=["wandb", "tensorboard"]))
    desk.commit()
    assert desk.asked_sinks == {"wandb", "tensorboard"}
    assert make_desk(home).asked_sinks == {"wandb", "tensorboard"}


def test_a_stream_counts_as_closed_only_once_its_close_is_durable(desk):
    assert not desk.is_closed(RUN, STREAM)
    desk.take(opened())
    desk.commit()
    desk.take(closed(1))
    assert not desk.is_closed(RUN, STREAM)
    desk.commit()
    assert desk.is_closed(RUN, STREAM)


def test_every_file_is_the_users_alone_whatever_the_umask(home, desk):
    old = os.umask(0)
    try:
        desk.take(opened())
        desk.take(b"garbage")
        desk.commit()
        desk.close()
    finally:
        os.umask(old)
    for path in home.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_close_commits_what_was_taken(home, desk):
    desk.take(opened())
    desk.take(item(1, TextItem(name="t", step=1, time_ns=1, text="hello")))
    desk.close()
    assert len(read_back(home).sequences) == 2


def _packed(step):
    return encode_rows(RUN, STREAM, 0, [Row(step, step, {"a": 1})]).split(rows_prefix(1), 1)[1]


def test_many_runs_are_committed_together_and_leave_no_thread_behind(home, desk):
    for round_ in range(3):
        for number in range(20):
            stream = bytes([number]) * 16
            if not round_:
                desk.take(opened(f"r{number}", stream))
            desk.take(rows(1 + round_ * 5, 5, f"r{number}", stream))
        assert desk.commit() == {f"r{number}": 5 * (round_ + 1) for number in range(20)}
    desk.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sync")]
    for number in range(20):
        assert read_back(home, f"r{number}").steps == list(range(1, 16))


def test_a_commit_is_due_by_the_bytes_of_an_average_journal(desk):
    desk.take(opened("one", b"1" * 16))
    desk.take(rows(1, 1000, "one", b"1" * 16))
    taken = desk.uncommitted_bytes
    assert desk.is_full(taken)
    desk.take(opened("two", b"2" * 16))
    assert not desk.is_full(taken)
    desk.commit()
    assert not desk.is_full(1)


def test_a_run_that_was_removed_and_comes_again_begins_a_new_journal(home, desk):
    desk.take(opened())
    desk.take(rows(1, 5))
    desk.commit()
    folder = desk.home.journal(RUN)
    folder.rename(folder.with_name("in-the-trash"))
    desk.take(opened())
    desk.take(rows(1, 3))
    desk.commit()
    assert read_back(home).steps == [1, 2, 3]


def test_it_knows_whether_a_frame_is_the_next_one(home):
    desk = make_desk(home)
    assert desk.is_next(parse(rows(5, 1))), "nothing is known of this run"
    desk.take(opened())
    desk.take(rows(1, 3))
    assert [desk.is_next(parse(rows(first, 2))) for first in (3, 4, 5)] == [False, True, False]


def test_what_brings_nothing_is_counted_in_bytes(home):
    desk = make_desk(home)
    for frame in (opened(), rows(1, 3)):
        desk.take(frame)
    assert desk.counters.useless_bytes == 0
    desk.take(rows(1, 3))
    desk.take(rows(9, 3))
    assert desk.counters.useless_bytes == len(rows(1, 3)) + len(rows(9, 3))
