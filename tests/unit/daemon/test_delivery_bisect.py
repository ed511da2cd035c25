"""Halving a batch loses nothing, doubles nothing, and ends at single entries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exptrack_daemon.delivery.bisect import halves
from exptrack_daemon.journal.entries import Event, Rows, RunInfo, Stream
from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks.base import Batch
from exptrack_proto.records import Row, TextItem

RUN = RunInfo("r", "p", "n", 1)
ONE = Stream("00" * 16, 0, 1, 1, "trainer", "h", 1, 1)


def batch_of(sizes):
    """Entries: a number is an entry of so many rows, 0 an event."""
    entries, sequence, ordinal = [], 0, 0
    for size in sizes:
        if size:
            rows = [Row(sequence + n, 1, {"a": 1}) for n in range(size)]
            entries.append(Rows(ONE, sequence, ordinal, rows))
        else:
            item = TextItem(name="t", step=1, time_ns=1, text="")
            entries.append(Event(ONE, sequence, ordinal, item))
        sequence += size or 1
        ordinal += size
    return Batch(RUN, tuple(entries), Position(), Position(1, 99))


def atoms(batch):
    """All single rows and events with their numbers, by halving to the end."""
    parts = halves(batch)
    if parts is None:
        (entry,) = batch.entries
        if isinstance(entry, Rows):
            assert len(entry.rows) == 1
            assert entry.rows[0].step == entry.first
            return [(entry.first, entry.ordinal)]
        return [(entry.sequence, entry.ordinal)]
    assert all(part.entries and part.end == batch.end for part in parts)
    return [atom for part in parts for atom in atoms(part)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_halving_to_the_end_gives_every_row_and_event_once_in_order(sizes):
    batch = batch_of(sizes)
    found = atoms(batch)
    assert [sequence for sequence, _ in found] == list(range(len(found)))
    assert len(found) == sum(size or 1 for size in sizes)
    ordinals = [ordinal for _, ordinal in found]
    assert ordinals == sorted(ordinals)


def test_a_single_row_or_event_has_no_halves():
    assert halves(batch_of([1])) is None
    assert halves(batch_of([0])) is None
