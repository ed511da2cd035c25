"""A place between two records of a run's journal."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """Where a record begins, and how much of the run stands before it.

    Ordered by (segment, offset). `record` counts frames and `rows` counts rows before this place, so they
    are ordinals that stay the same whoever reads the journal, and whenever.
    """

    segment: int = 1
    offset: int = 0
    record: int = 0
    rows: int = 0


START = Position()
