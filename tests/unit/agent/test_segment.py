"""Segments: what the courier has noted is sealed, and what is read from disk is what was copied."""

from __future__ import annotations

import msgpack
import pytest

from exptrack_agent.segment import SpanGone, map_file
from exptrack_proto.ring_reader import RingSegment, read_segment
from tests.unit.agent.boxes import MIB, make_log, stored

WIDE = {f"metric/{number}": float(number) for number in range(1_000)}


def ring_of(tmp_path) -> list[RingSegment]:
    found = [read_segment(path.read_bytes()) for path in (tmp_path / "ring").glob("*.seg")]
    return sorted((one for one in found if one is not None), key=lambda one: one.number)


def take(log) -> list:
    """A round of the courier, as far as the box is concerned."""
    log.close_rows()
    return list(log._box.take())


def test_what_is_closed_is_sealed_in_steps_and_the_rest_waits(tmp_path):
    log = make_log(tmp_path)
    for step in range(9):
        log.log(WIDE, step=step)
        take(log)
    (segment,) = ring_of(tmp_path)
    sealed = [part for part in segment.parts if part.is_sealed]
    assert len(sealed) == 4
    assert min(part.items.nbytes for part in sealed) >= 32 * 1024
    assert len(segment.parts) == 5
    assert [item.sequence for item in stored(tmp_path / "ring")] == list(range(9))


def test_a_segment_that_was_left_is_sealed_to_its_end(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB)
    while log._box._next_number < 3:
        log.log(WIDE)
        take(log)
    first, second, active = ring_of(tmp_path)
    assert all(part.is_sealed for part in first.parts + second.parts)
    assert not active.parts[-1].is_sealed
    assert len(stored(tmp_path / "ring")) == log.sequence


def test_a_segment_that_is_used_again_has_no_seals_of_its_past(tmp_path):
    log = make_log(tmp_path, segment_bytes=4_096)
    for step in range(3_000):
        log.log({"loss": float(step)}, step=step)
        for span in take(log):
            log._box.acknowledge(span)
        log._box.give_back()
        log._box.refill()
    assert log._box._next_number > 20
    assert log.dropped == 0
    assert not any(segment.is_damaged for segment in ring_of(tmp_path))


@pytest.mark.parametrize("size", [1, 300, 3_000])
def test_a_segment_has_room_for_its_seals_whatever_the_spans(tmp_path, size):
    log = make_log(tmp_path, segment_bytes=8_192, burst_segments=99)
    while log._box._next_number < 4:
        log.put_item(msgpack.packb({"kind": "note", "time_ns": 1, "text": "x" * size}))
        take(log)
    assert all(part.is_sealed for segment in ring_of(tmp_path)[:-1] for part in segment.parts)


def test_a_copy_that_was_damaged_is_not_sent_as_if_it_were_right(tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB)
    while log._box._next_number < 2:
        log.log(WIDE)
    spans = take(log)
    log._box.spool()
    span = spans[0]
    assert span.segment.memory is None
    assert span.frame("a-run", log._box.stream)
    data = bytearray(span.segment.copy.read_bytes())
    data[span.start + 100] ^= 1
    span.segment.copy.write_bytes(data)
    with pytest.raises(SpanGone, match="is damaged"):
        span.frame("a-run", log._box.stream)
    assert spans[1].frame("a-run", log._box.stream)


def test_a_mapped_file_has_a_place_for_each_byte(tmp_path):
    memory = map_file(tmp_path / "a", 64 * 1024)
    assert len(memory) == 64 * 1024
    assert (tmp_path / "a").stat().st_blocks * 512 >= 64 * 1024
