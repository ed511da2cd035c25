"""Places in a journal."""

from exptrack_daemon.journal.position import START, Position


def test_places_are_ordered_by_segment_and_offset():
    assert START < Position(1, 40, 1, 9) < Position(1, 80, 1, 9) < Position(2, 0, 1, 9)
