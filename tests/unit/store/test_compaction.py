from __future__ import annotations

import pytest

from exptrack_daemon.store.compaction import Sizes, to_finish, to_merge
from exptrack_daemon.store.pieces import PartName

SIZES = Sizes(chunk_points=10, merge_parts=3, merged_points=50, cells_from=4)


def parts(*sizes: tuple[int, int]) -> list[PartName]:
    """Parts of so many points and such a level."""
    made, start = [], 0
    for points, level in sizes:
        made.append(PartName(start, start + points, level))
        start += points
    return made


def test_parts_are_merged_once_enough_of_them_have_come() -> None:
    assert to_merge(parts((10, 0), (10, 0)), SIZES) == ()
    assert to_merge(parts((10, 0), (10, 0), (10, 0)), SIZES) == parts((10, 0), (10, 0), (10, 0))


def test_what_was_merged_stays_as_it_is_while_the_run_goes_on() -> None:
    held = parts((30, 1), (10, 0), (10, 0))
    assert to_merge(held, SIZES) == ()
    held = parts((30, 1), (10, 0), (10, 0), (10, 0))
    assert to_merge(held, SIZES) == held[1:]


def test_at_the_end_the_last_parts_become_one_as_far_as_memory_allows() -> None:
    held = parts((30, 1), (30, 1), (10, 0), (3, 0))
    assert to_finish(held, SIZES) == held[1:]
    assert to_finish(parts((3, 0)), SIZES) == parts((3, 0)), "it gets its cells"
    assert to_finish(parts((30, 1)), SIZES) == ()
    assert to_finish((), SIZES) == ()


def test_a_part_larger_than_allowed_is_finished_alone() -> None:
    assert to_finish(parts((10, 0), (60, 0)), SIZES) == parts((10, 0), (60, 0))[1:]


def test_sizes_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one"):
        Sizes(merge_parts=1)
