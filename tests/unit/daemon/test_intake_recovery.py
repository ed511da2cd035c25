"""What dead trainers left is brought in whole, once, and never taken from a living one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.intake import recovery
from exptrack_daemon.intake.recovery import find_remains, has_remains, is_owned, recover
from exptrack_daemon.journal.segment import fragment, salt_of
from exptrack_proto.records import Close, Loss, Open
from exptrack_proto.ring import (
    CELL_HEAD,
    CELL_TABLE,
    CELL_VERSION,
    DATA_OFFSET,
    OWNER_LOCK,
    cells_of,
    seal_offset,
)
from tests.support.desks import RUN, STREAM, make_desk, opened, read_back, rows
from tests.support.faulty_files import FaultyFiles
from tests.support.rings import (
    Owner,
    leave_segment,
    old_segment_bytes,
    packed,
    packed_row,
    sealed_segment_bytes,
)

OPEN = packed(Open(time_ns=1, project="p", name="n", host="h", pid=1))
NAME = STREAM.hex()


@pytest.fixture
def ring(home):
    return Home(home).ring_roots[1] / NAME


@pytest.fixture
def spool(home):
    return Home(home).spool / NAME


def bring_in(home, desk=None):
    """One round of recovery as the intake makes it; returns the last word on each stream."""
    desk = desk or make_desk(home)

    def commit():
        errors = desk.counters.disk_errors
        desk.commit()
        return desk.counters.disk_errors == errors

    return [list(recover(desk, remains, commit))[-1] for remains in find_remains(Home(home))]


def some_rows(first, count):
    return [packed_row(step) for step in range(first, first + count)]


def test_a_ring_becomes_a_crashed_run_and_its_folder_goes(home, ring):
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 9)])
    leave_segment(ring, 1, 10, some_rows(10, 5))
    done = bring_in(home)
    assert [(one.streams, one.rows, one.is_done) for one in done] == [(1, 15, True)]
    told = read_back(home)
    assert told.steps == list(range(1, 15))
    assert told.closes == ["crashed"]
    assert not has_remains(Home(home), NAME)


def test_a_trainer_that_closed_its_stream_did_not_crash(home, ring):
    leave_segment(ring, 0, 0, [OPEN, packed(Close(time_ns=2, status="finished", exit_code=0))])
    bring_in(home)
    assert read_back(home).closes == ["finished"]


def test_ring_and_spool_copies_are_one_stream_and_of_two_the_fuller_counts(home, ring, spool):
    leave_segment(spool, 0, 0, [OPEN, *some_rows(1, 4)])
    leave_segment(spool, 1, 5, some_rows(5, 2))
    leave_segment(ring, 1, 5, some_rows(5, 5))
    leave_segment(ring, 2, 10, some_rows(10, 3))
    bring_in(home)
    assert read_back(home).steps == list(range(1, 13))
    assert read_back(home).losses == []


def test_what_the_journal_has_already_is_left_out(home, ring):
    desk = make_desk(home)
    desk.take(opened())
    desk.take(rows(1, 6))
    desk.commit()
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 9)])
    assert bring_in(home, desk)[0].rows == 3
    assert read_back(home).steps == list(range(1, 10))


def test_a_segment_that_is_missing_between_two_stands_in_the_ledger(home, ring):
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 4)])
    leave_segment(ring, 2, 20, some_rows(20, 2))
    bring_in(home)
    assert [loss[:2] for loss in read_back(home).losses] == [(5, 19)]


def test_what_the_trainer_itself_wrote_into_the_ledger_is_named_once(home, ring):
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 4)])
    told = packed(Loss(time_ns=1, first=5, last=19, reason="memory and spool were full"))
    leave_segment(ring, 1, 20, [told, *some_rows(21, 2)])
    bring_in(home)
    assert [loss[:2] for loss in read_back(home).losses] == [(5, 19)]
    assert read_back(home).steps == [*range(1, 5), 21, 22]


def test_an_owner_that_lives_is_never_touched(home, ring, spool):
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 4)])
    spool.mkdir(parents=True)  # a trainer's spool has no lock of its own
    owner = Owner(ring)
    try:
        assert is_owned(ring)
        assert find_remains(Home(home)) == []
    finally:
        owner.die()
    assert [remains.folders for remains in find_remains(Home(home))] == [[ring, spool]]


def test_a_trainer_that_begins_between_two_looks_is_never_taken_for_dead(
    home, ring, spool, monkeypatch
):
    """Its ring (with the lock) appears after the rings were listed, its spool before spools are."""
    listing = recovery._folders
    owners = []

    def list_and_begin(root):
        if root == Home(home).spool and not owners:
            leave_segment(ring, 0, 0, [OPEN])
            owners.append(Owner(ring))
            spool.mkdir(parents=True)
        return listing(root)

    monkeypatch.setattr(recovery, "_folders", list_and_begin)
    try:
        assert find_remains(Home(home)) == []
    finally:
        owners[0].die()


def test_an_owner_that_cannot_be_asked_counts_as_living(home, ring, monkeypatch):
    leave_segment(ring, 0, 0, [OPEN])
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(24, "EMFILE")))
    assert is_owned(ring)


def test_a_damaged_segment_is_kept_and_costs_only_what_is_in_it(home, ring):
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 4)])
    leave_segment(ring, 1, 5, some_rows(5, 4)).write_bytes(b"rubbish" * 1000)
    leave_segment(ring, 2, 9, some_rows(9, 2))
    assert bring_in(home)[0].is_done
    told = read_back(home)
    assert told.steps == [1, 2, 3, 4, 9, 10]
    assert [loss[:2] for loss in told.losses] == [(5, 8)]
    kept = list((home / "quarantine").rglob("00000001.seg"))
    assert [path.read_bytes() for path in kept] == [b"rubbish" * 1000]


@pytest.mark.parametrize("tail", [b"\xc1" * 40, b"\xdb\x00\x18\x00\x00" + b"x" * (3 << 19)])
def test_a_segment_whose_items_are_damaged_is_kept_too(home, ring, tail):
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 4), tail])
    assert bring_in(home)[0].is_done
    assert read_back(home).steps[:4] == [1, 2, 3, 4]
    assert len(list((home / "quarantine").rglob("*.seg"))) == 1
    assert not has_remains(Home(home), NAME)


def test_a_second_damaged_box_of_the_same_name_is_kept_beside_the_first(home, ring):
    for _ in range(3):
        leave_segment(ring, 0, 0, [OPEN]).write_bytes(b"rubbish" * 99)
        assert bring_in(home)[0].is_done
    assert len(list((home / "quarantine").glob(f"ring-{NAME}*"))) == 3


def test_a_box_of_a_newer_version_is_left_as_it_is(home, ring):
    data = old_segment_bytes(0, 0, b"".join([OPEN, *some_rows(1, 3)]))
    memoryview(data)[:128].cast("Q")[CELL_VERSION] = 99
    leave_segment(ring, 0, 0, []).write_bytes(data)
    assert not bring_in(home)[0].is_done
    assert (ring / "00000000.seg").read_bytes() == bytes(data)
    assert not (home / "quarantine").exists()


def test_a_journal_of_a_newer_version_leaves_the_box_where_it_is(home, ring):
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 3)])
    folder = home / "runs" / RUN / "journal"
    folder.mkdir(parents=True)
    (folder / "00000001.seg").write_bytes(fragment(b"H\x63\x90", 0, salt_of(RUN, 1)))
    assert not bring_in(home)[0].is_done
    assert has_remains(Home(home), NAME)


# --- damage: all of it is in tests/torture/box_damage.py; here, what the journal and its ledger say ---

CHUNKS = [[OPEN, *some_rows(1, 3)], some_rows(4, 5), some_rows(9, 2)]


def leave_sealed(
    folder: Path, tail: list[bytes], hurt: int = -1, *, is_copy: bool = False, seal: int = -1
) -> None:
    """A segment of three chunks and a tail, in which a chunk's items, or a seal, are damaged."""
    data = sealed_segment_bytes(0, 0, CHUNKS, tail, is_copy=is_copy)
    if hurt >= 0:
        items = [item for chunk in CHUNKS[:hurt] for item in chunk]
        data[DATA_OFFSET + len(b"".join(items)) + 3] ^= 4
    if seal >= 0:
        table = cells_of(memoryview(data))[CELL_TABLE]
        data[seal_offset(table, seal) + 5] ^= 4
    leave_segment(folder, 0, 0, []).write_bytes(data)


@pytest.mark.parametrize("is_copy", [False, True])
def test_damage_costs_its_chunk_and_the_ledger_has_it(home, ring, is_copy, caplog):
    leave_sealed(ring, [], hurt=1, is_copy=is_copy)
    (done,) = bring_in(home)
    told = read_back(home)
    assert told.steps == [1, 2, 3, 9, 10]
    assert told.losses == [(4, 8, "damaged in the black box")]
    assert told.closes == ["crashed"]
    assert done.is_done
    assert (done.rows, len(list((home / "quarantine").iterdir()))) == (6, 1)


def test_what_one_copy_has_lost_the_other_gives(home, ring):
    leave_sealed(ring, some_rows(11, 3), hurt=1)
    leave_sealed(Home(home).spool / NAME, [], hurt=2, is_copy=True)
    assert bring_in(home)[0].is_done
    told = read_back(home)
    assert told.steps == list(range(1, 14))
    assert told.losses == []


def test_a_chunk_that_a_seal_vouches_for_counts_before_the_rings_own_tail(home, ring):
    flipped = packed_row(4)[:-1] + b"\x55"
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 3), flipped])
    leave_sealed(Home(home).spool / NAME, [], is_copy=True)
    assert bring_in(home)[0].is_done
    told = read_back(home)
    assert told.steps == list(range(1, 11))
    assert told.values == [{"a": step} for step in range(1, 11)]


def test_damage_at_the_end_is_counted_as_far_as_it_can_be(home, ring, caplog):
    leave_sealed(ring, some_rows(11, 4), seal=2)
    assert bring_in(home)[0].is_done
    told = read_back(home)
    assert told.steps == list(range(1, 9))
    assert told.losses == [(9, 14, "damaged in the black box")]


def test_a_tail_whose_end_nobody_knows_is_said(home, ring, caplog):
    data = sealed_segment_bytes(0, 0, CHUNKS, some_rows(11, 4))
    cells_of(memoryview(data))[CELL_HEAD] = 1 | 2 << 21 | 3 << 42
    leave_segment(ring, 0, 0, []).write_bytes(data)
    assert bring_in(home)[0].is_done
    assert read_back(home).steps == list(range(1, 11))
    assert "is not known" in caplog.text


def test_a_segment_that_cannot_be_read_is_named_as_damage_in_the_ledger(home, ring):
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 3)])
    leave_segment(ring, 1, 4, some_rows(4, 2)).write_bytes(b"?" * 5_000)
    leave_segment(ring, 2, 6, some_rows(6, 2))
    assert bring_in(home)[0].is_done
    told = read_back(home)
    assert told.steps == [1, 2, 3, 6, 7]
    assert told.losses == [(4, 5, "damaged in the black box")]


@pytest.mark.parametrize("act", ["append", "sync"])
@pytest.mark.parametrize("at", range(6))
def test_a_disk_error_at_any_step_loses_nothing_and_claims_no_loss(home, ring, act, at):
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 9)])
    leave_segment(ring, 1, 10, some_rows(10, 5))
    leave_segment(ring, 2, 15, some_rows(15, 5))
    files = _FailsAt(act, at)
    desk = make_desk(home, files)
    first = bring_in(home, desk)[0]
    if not first.is_done:
        assert has_remains(Home(home), NAME)
        assert bring_in(home, desk)[0].is_done
    told = read_back(home)
    assert told.steps == list(range(1, 20))
    assert told.losses == []
    assert told.closes == ["crashed"]
    assert desk.disk_trouble == ""


class _FailsAt(FaultyFiles):
    """The n-th act of a kind fails."""

    def __init__(self, act, at):
        super().__init__()
        self._act, self._left = act, at

    def fails(self, act):
        if act != self._act:
            return False
        self._left -= 1
        return self._left == -1


@pytest.mark.parametrize("steps", range(1, 5))
def test_a_kill_after_any_step_repeats_harmlessly(home, ring, spool, steps):
    leave_segment(spool, 0, 0, [OPEN, *some_rows(1, 9)])
    leave_segment(ring, 1, 10, some_rows(10, 5))
    killed = make_desk(home)
    round_ = recover(killed, find_remains(Home(home))[0], lambda: killed.commit() is not None)
    for _, _ in zip(range(steps), round_, strict=False):
        pass
    del round_
    bring_in(home)
    told = read_back(home)
    assert (told.steps, told.losses, told.closes) == (list(range(1, 15)), [], ["crashed"])


def test_a_kill_while_the_folders_go_repeats_harmlessly(home, ring, spool):
    leave_segment(spool, 0, 0, [OPEN, *some_rows(1, 9)])
    leave_segment(ring, 1, 10, some_rows(10, 5))
    saved = home.parent / "saved"
    shutil.copytree(spool, saved)
    bring_in(home)
    shutil.copytree(saved, spool)
    (spool / "owner.lock").unlink()
    assert bring_in(home)[0].is_done
    told = read_back(home)
    assert (told.steps, told.losses, told.closes) == (list(range(1, 15)), [], ["crashed"])


def test_an_empty_box_of_a_stream_that_was_live_closes_it(home, ring):
    desk = make_desk(home)
    desk.take(opened())
    desk.commit()
    leave_segment(ring, 0, 0, [])
    bring_in(home, desk)
    assert read_back(home).closes == ["crashed"]
    assert desk.live.all() == []


def test_a_folder_that_cannot_be_removed_is_said_to_be_there_still(home, ring, monkeypatch):
    leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 2)])
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_: (_ for _ in ()).throw(OSError(30, "EROFS")))
        assert not bring_in(home)[0].is_done
    assert read_back(home).steps == [1, 2]


def test_a_segment_that_cannot_be_read_now_is_tried_again_later(home, ring, monkeypatch):
    path = leave_segment(ring, 0, 0, [OPEN, *some_rows(1, 2)])
    kind = type(path)
    real = kind.read_bytes
    monkeypatch.setattr(kind, "read_bytes", lambda *_: (_ for _ in ()).throw(OSError(5, "EIO")))
    assert not bring_in(home)[0].is_done
    monkeypatch.setattr(kind, "read_bytes", real)
    assert bring_in(home)[0].is_done


def test_links_and_strange_names_are_no_streams(home):
    spool = Home(home).spool
    (spool / "notes").mkdir(parents=True)
    (spool / ("a" * 32)).symlink_to(home)
    (spool / ("b" * 32)).write_text("a file")
    assert find_remains(Home(home)) == []
    assert OsFiles().exists(spool / "notes")


def test_attempts_of_one_run_come_in_the_order_in_which_they_began(home):
    streams = [bytes([number]) * 16 for number in (9, 1, 5)]
    for at, stream in enumerate(streams, start=1):
        folder = Home(home).spool / stream.hex()
        leave_segment(folder, 0, 0, [OPEN, packed_row(at)], stream=stream)
        os.utime(folder / OWNER_LOCK, ns=(at * 10**9, at * 10**9))
    assert [remains.stream for remains in find_remains(Home(home))] == streams
    bring_in(home)
    assert read_back(home).steps == [1, 2, 3]
