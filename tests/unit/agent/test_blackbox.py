"""The black box: what was stored stays readable, memory and disk stay bounded, nothing is freed too early."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import stat
from pathlib import Path

import msgpack
import pytest

from exptrack_agent import blackbox
from exptrack_agent.blackbox import Span, SpanGone, make_private_folder
from exptrack_agent.rows import RowLog
from exptrack_proto.codec import decode
from exptrack_proto.frame import Kind, parse
from exptrack_proto.records import Alert, Loss, Row
from exptrack_proto.ring import DATA_OFFSET, OWNER_LOCK, SEAL_BYTES
from exptrack_proto.ring_reader import read_segment
from tests.unit.agent.boxes import MIB, event, make_box, make_log, rows_in, sent, stored

BIG = {f"metric/{number}": float(number) for number in range(1_000)}


def fill(log: RowLog, segments: int) -> None:
    """Log until the box has turned so many segments."""
    step = 0
    while log._box._next_number <= segments:
        log.log(BIG, step=step)
        step += 1


def acknowledge_all(log: RowLog) -> None:
    log.close_rows()
    box = log._box
    while box.spans:
        box.acknowledge(box.spans.popleft())
    box.give_back()


def test_rows_stand_in_the_ring_as_soon_as_they_are_logged(tmp_path):
    log = make_log(tmp_path)

    log.log({"loss": 0.5}, step=3)

    assert [(row.step, row.values) for row in rows_in(log)] == [(3, {"loss": 0.5})]


def test_a_span_becomes_the_same_frame_each_time(tmp_path):
    log = make_log(tmp_path)
    for step in range(3):
        log.log({"loss": float(step)}, step=step)
    log.close_rows()
    (span,) = log._box.spans

    first, again = (span.frame("a-run", log._box.stream) for _ in range(2))

    assert first == again
    frame = parse(first)
    assert (frame.kind, frame.first, frame.items) == (Kind.ROWS, 0, 3)
    assert [row.step for row in decode(frame)] == [0, 1, 2]


def test_rows_and_events_keep_their_order_in_spans_of_their_own(tmp_path):
    log = make_log(tmp_path)
    log.log({"a": 1})
    log.put_item(event("one"))
    log.put_item(event("two"))
    log.log({"a": 2})
    log.close_rows()

    kinds = [(span.kind, span.first, span.items) for span in log._box.spans]

    assert kinds == [
        (Kind.ROWS, 0, 1),
        (Kind.EVENT, 1, 1),
        (Kind.EVENT, 2, 1),
        (Kind.ROWS, 3, 1),
    ]
    assert [type(item) for item in sent(log._box)] == [Row, Alert, Alert, Row]
    assert [item.sequence for item in stored(tmp_path / "ring")] == [0, 1, 2, 3]


def test_the_open_span_is_closed_at_a_fence_so_that_frames_stay_small(tmp_path):
    log = make_log(tmp_path)
    for step in range(20_000):
        log.log({"loss": 1.0}, step=step)
    log.close_rows()

    spans = list(log._box.spans)

    assert len(spans) > 3
    assert max(span.size for span in spans) <= blackbox.FENCE_BYTES
    assert [span.first for span in spans[1:]] == [span.end for span in spans[:-1]]
    assert [row.step for row in sent(log._box)] == list(range(20_000))


def test_turning_segments_loses_nothing_and_keeps_sequences_consecutive(tmp_path):
    log = make_log(tmp_path, segment_bytes=2 * MIB, segments=64)
    fill(log, 4)
    log.close_rows()

    items = stored(tmp_path / "ring")

    assert [item.sequence for item in items] == list(range(log.sequence))
    assert [row.step for row in sent(log._box)] == list(range(log.sequence))


def test_a_segment_is_used_again_only_after_its_last_span_was_acknowledged(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB)
    fill(log, 2)
    log.close_rows()
    box = log._box
    spans = [span for span in box.spans if span.segment.number == 0]
    for span in spans[:-1]:
        box.acknowledge(span)
    box.give_back()
    assert not box._spares
    assert decode(parse(spans[-1].frame("a-run", box.stream)))

    box.acknowledge(spans[-1])
    box.give_back()

    assert len(box._spares) == 1
    assert box._spares[0].head == 0


def test_an_event_that_is_not_acknowledged_keeps_its_segment(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB)
    log.put_item(event("kept"))
    fill(log, 1)
    log.close_rows()
    box = log._box
    first, *others = box.spans
    for span in others:
        box.acknowledge(span)
    box.give_back()
    assert decode(parse(first.frame("a-run", box.stream))).title == "kept"
    box.acknowledge(first)
    assert [segment.open_spans for segment in (*box._full, box.active)] == [0, 0]


def test_a_recycled_segment_holds_only_what_is_new(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB)
    for _ in range(5):
        fill(log, log._box._next_number)
        acknowledge_all(log)
    before = log.sequence
    log.log({"new": 1}, step=1)

    assert len(list((tmp_path / "ring").glob("*.seg"))) <= 4
    items = stored(tmp_path / "ring")
    assert items[-1].sequence == before
    assert items[-1].item.values == {"new": 1}


def test_memory_stays_within_its_bound_in_a_burst_and_the_rest_is_counted(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB, burst_segments=3, spool=False)
    for step in range(1_000):
        log.log(BIG, step=step)
    box = log._box

    assert box.memory_bytes <= 4 * MIB
    assert log.rows + log.dropped == 1_000
    assert log.dropped > 0
    log.close_rows()
    assert [row.step for row in sent(box)] == list(range(log.rows))


def test_the_first_item_after_a_loss_says_exactly_what_is_missing(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB, burst_segments=2, spool=False)
    while not log.dropped:
        log.log(BIG, step=log.sequence)
    first_lost = log.sequence - 1
    log.log(BIG, step=log.sequence)
    log.put_item(event("lost too"))
    acknowledge_all(log)

    log.log({"after": 1}, step=0)
    log.close_rows()

    loss, row = sent(log._box)
    assert isinstance(loss, Loss)
    assert (loss.first, loss.last) == (first_lost, first_lost + 2)
    span = log._box.spans[0]
    assert (span.first, span.since) == (first_lost + 3, first_lost)
    assert row.values == {"after": 1}
    assert log.dropped == 3
    assert log.rows + log.dropped + log._other_items == log.sequence


def test_a_run_that_ends_during_a_loss_still_says_what_is_missing(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB, burst_segments=1, spool=False)
    while log.dropped < 5:
        log.log(BIG)
    close = msgpack.packb({"kind": "close", "time_ns": 1, "status": "finished", "exit_code": 0})

    box = log.end(close, "over")

    loss, last = sent(box)[-2:]
    assert (loss.last - loss.first + 1, last.status) == (5, "finished")
    assert stored(tmp_path / "ring")[-1].item == last


def test_shared_memory_that_is_full_costs_no_row_while_this_process_lives(tmp_path, monkeypatch):
    log = make_log(tmp_path, segment_bytes=MIB, burst_segments=4)

    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    log._box.refill()
    assert not log._box._spares
    fill(log, 2)
    log.close_rows()

    assert log.dropped == 0
    assert log._box.state.memory_refused == "No space left on device"
    assert [row.step for row in sent(log._box)] == list(range(log.sequence))
    assert not list((tmp_path / "ring").glob("*.seg"))[1:]  # the failed ones left nothing

    monkeypatch.undo()
    log._box.spool()
    assert {item.sequence for item in stored(tmp_path / "ring", tmp_path / "spool")} == set(
        range(log.sequence)
    )


def test_a_box_that_cannot_be_made_leaves_nothing_behind(tmp_path, monkeypatch):
    gc.collect()  # what other tests left mapped holds descriptors too
    before = list(Path("/proc/self/fd").iterdir())

    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        make_box(tmp_path)

    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)


# --- the spool ------------------------------------------------------------------------------------


def test_the_spool_holds_a_readable_copy_and_full_segments_give_their_memory_back(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB)
    fill(log, 6)
    log.close_rows()
    box = log._box
    before = box.memory_bytes

    box.spool()

    assert box.memory_bytes < before
    assert box.memory_bytes <= 4 * MIB
    items = stored(tmp_path / "spool")
    assert [item.sequence for item in items] == list(range(log.sequence))
    assert [row.step for row in sent(box)] == list(range(log.sequence))
    copies = [read_segment(path.read_bytes()) for path in (tmp_path / "spool").glob("*.seg")]
    assert box.spooled_bytes == sum(
        2 * DATA_OFFSET + sum(SEAL_BYTES + part.items.nbytes for part in copy.parts)
        for copy in copies
    )


def test_what_stands_on_disk_does_not_count_against_memory(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB, segments=2, burst_segments=4)
    for _ in range(
        6
    ):  # far more than four segments in all, never more than three between two spoolings
        fill(log, 2)
        log.close_rows()
        log._box.spool()
        log._box.refill()

    assert log.dropped == 0
    assert len(log._box._spares) == 2
    assert [item.sequence for item in stored(tmp_path / "spool")] == list(range(log.sequence))


def test_the_spool_takes_far_more_than_memory_would(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB, segments=2, burst_segments=3)
    for turn in range(20):
        fill(log, turn)
        log.close_rows()
        log._box.spool()
        log._box.refill()
    assert log.dropped == 0
    assert log._box.memory_bytes <= 4 * MIB
    assert log._box.spooled_bytes > 15 * MIB
    assert [item.sequence for item in stored(tmp_path / "spool")] == list(range(log.sequence))
    assert [row.step for row in sent(log._box)] == [
        item.item.step for item in stored(tmp_path / "spool")
    ]

    acknowledge_all(log)
    assert len(list((tmp_path / "spool").glob("*.seg"))) <= 1
    assert log._box.spooled_bytes <= MIB


def test_the_active_segment_is_copied_bit_by_bit(tmp_path):
    log = make_log(tmp_path)
    for step in range(5):
        log.log({"a": step}, step=step)
        log.close_rows()
        log._box.spool()
        assert [item.item.step for item in stored(tmp_path / "spool")] == list(range(step + 1))


def test_acknowledged_segments_leave_the_spool(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB)
    fill(log, 3)
    log.close_rows()
    log._box.spool()

    acknowledge_all(log)

    assert log._box.spooled_bytes <= MIB
    assert len(list((tmp_path / "spool").glob("*.seg"))) == 1  # the active one's


def test_the_spool_keeps_to_its_budget_and_says_so(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB, spool_bytes=2 * MIB, burst_segments=4)
    for _ in range(400):
        log.log(BIG)
        log.close_rows()
    log._box.spool()

    assert log._box.spooled_bytes <= 2 * MIB
    assert "2097152 bytes" in log._box.state.spool_refused


def test_an_almost_full_disk_is_left_alone(tmp_path):
    log = make_log(tmp_path, keep_free_bytes=2**60)
    log.log({"a": 1})
    log.close_rows()

    log._box.spool()

    assert log._box.state.spool_refused == "the disk is almost full"
    assert stored(tmp_path / "spool") == []
    assert len(rows_in(log)) == 1


def test_a_disk_that_refuses_is_tried_again(tmp_path, monkeypatch):
    log = make_log(tmp_path)
    log.log({"a": 1})
    log.close_rows()

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    log._box.spool()
    assert log._box.state.spool_refused == "Input/output error"
    assert stored(tmp_path / "spool") == []
    monkeypatch.undo()

    log._box.spool()
    assert log._box.state.spool_refused == ""
    assert len(stored(tmp_path / "spool")) == 1


def test_a_spool_folder_that_was_removed_is_made_again_and_owned(tmp_path):
    log = make_log(tmp_path)
    log.log({"a": 1})
    log.close_rows()
    log._box.spool()
    for path in (tmp_path / "spool").iterdir():
        path.unlink()
    (tmp_path / "spool").rmdir()
    log.log({"a": 2})
    log.close_rows()

    log._box.spool()

    assert [item.item.values for item in stored(tmp_path / "spool")] == [{"a": 1}, {"a": 2}]
    assert (tmp_path / "spool" / OWNER_LOCK).exists()
    assert log._box.spooled_bytes == log._box.active.copy_bytes > 0


def test_what_was_removed_from_the_spool_is_gone_and_said_so(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB)
    fill(log, 1)
    log.close_rows()
    log._box.spool()
    span: Span = log._box.spans[0]
    path = span.segment.copy

    path.write_bytes(path.read_bytes()[: span.stop - 1])
    with pytest.raises(SpanGone, match="too short"):
        span.frame("a-run", log._box.stream)
    path.unlink()
    with pytest.raises(SpanGone, match="is gone"):
        span.frame("a-run", log._box.stream)


def test_a_copy_that_cannot_be_removed_does_not_stop_the_courier(tmp_path, monkeypatch):
    log = make_log(tmp_path, segment_bytes=MIB)
    fill(log, 2)
    log.close_rows()
    log._box.spool()

    def read_only(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", read_only)
    acknowledge_all(log)

    assert log._box.spooled_bytes <= MIB


# --- places ---------------------------------------------------------------------------------------


def test_both_folders_have_an_owner_of_their_own_and_are_private(tmp_path):
    box = make_box(tmp_path)

    for name in ("ring", "spool"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / name / OWNER_LOCK).stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".*"))
    box.close(keep=False)


@pytest.mark.parametrize("name", ["ring", "spool"])
def test_another_process_sees_the_lock_until_the_box_is_closed(tmp_path, name):
    log = make_log(tmp_path)
    log.log({"a": 1})
    log.close_rows()
    box = log._box
    lock = (tmp_path / name / OWNER_LOCK).rename(tmp_path / "lock")

    def is_free() -> bool:
        pid = os.fork()
        if pid == 0:
            descriptor = os.open(lock, os.O_RDWR)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os._exit(1)
            os._exit(0)
        return os.waitpid(pid, 0)[1] == 0

    assert not is_free()
    box.close(keep=True)
    assert is_free()


def test_a_copy_that_was_only_begun_is_none(tmp_path, monkeypatch):
    log = make_log(tmp_path)
    log.log({"a": 1})
    log.close_rows()
    real = os.pwrite

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        if offset > 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return (
            real(descriptor, data[:100], offset)
            if len(data) > 100
            else real(descriptor, data, offset)
        )

    monkeypatch.setattr(os, "pwrite", full)
    log._box.spool()
    assert log._box.state.spool_refused == "No space left on device"
    assert list((tmp_path / "spool").glob("*.seg")) == []
    monkeypatch.undo()

    log._box.spool()
    assert len(stored(tmp_path / "spool")) == 1


@pytest.mark.parametrize(("ring", "spool"), [(False, True), (True, False), (False, False)])
def test_a_box_works_without_its_places(tmp_path, ring, spool):
    log = RowLog(make_box(tmp_path, ring=ring, spool=spool, segment_bytes=MIB), strict=False)
    fill(log, 2)
    log.close_rows()
    log._box.spool()

    assert [row.step for row in sent(log._box)] == list(range(log.sequence))


def test_closing_an_empty_box_leaves_nothing_and_a_full_one_all(tmp_path):
    log = make_log(tmp_path / "a")
    log.log({"a": 1})
    acknowledge_all(log)
    assert log._box.close(keep=False)
    assert list((tmp_path / "a").iterdir()) == []

    log = make_log(tmp_path / "b")
    log.log({"a": 1})
    log.close_rows()
    assert log._box.close(keep=True)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["spool"]
    assert len(stored(tmp_path / "b" / "spool")) == 1


def test_closing_says_when_rows_end_with_the_process(tmp_path):
    log = RowLog(make_box(tmp_path, ring=False, spool=False), strict=False)
    log.log({"a": 1})
    log.close_rows()
    assert log._box.close(keep=True) is False


def test_a_box_whose_spool_refuses_stays_in_the_ring(tmp_path):
    log = make_log(tmp_path, keep_free_bytes=2**60)
    log.log({"a": 1})
    log.close_rows()

    assert log._box.close(keep=True)

    assert len(stored(tmp_path / "ring")) == 1


def test_every_new_folder_of_a_home_is_private(tmp_path):
    make_private_folder(tmp_path / "a" / "b" / "c")
    make_private_folder(tmp_path / "a" / "b" / "c")
    for folder in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


def test_an_interrupt_anywhere_while_a_segment_is_turned_leaves_the_box_whole(
    tmp_path, monkeypatch
):
    log = make_log(tmp_path, segment_bytes=MIB)
    for name in ("_prepare", "_new_segment"):
        original = getattr(log._box, name)

        def interrupted(*args: object, original=original, **options: object) -> object:
            original(*args, **options)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(log._box, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                fill(log, log._box._next_number)
        log.log({"after": 1}, step=-1)
    log.close_rows()

    rows = sent(log._box)
    assert len(rows) == log.sequence
    assert [row.values for row in rows if row.step == -1] == [{"after": 1}, {"after": 1}]
    assert [item.sequence for item in stored(tmp_path / "ring")] == list(range(log.sequence))


def test_a_full_segment_keeps_its_memory_until_the_whole_of_it_stands_on_disk(tmp_path):
    """A part was copied while it was written; then the spool takes no more."""
    log = make_log(tmp_path, segment_bytes=4_096, spool_bytes=2_000)
    box = log._box
    log.log({"a": 0.0})
    log.close_rows()
    box.spool()
    first = box.active
    assert DATA_OFFSET < first.copied < 2_000
    count = 1
    while box.active is first:
        log.log({"a": float(count)})
        count += 1
    log.close_rows()
    box.spool()
    assert box.state.spool_refused
    assert [row.values["a"] for row in sent(box)] == [float(n) for n in range(count)]
