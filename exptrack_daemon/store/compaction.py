"""Where parts end, and which become one. Pure: a function of the parts alone, so of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exptrack_daemon.store.pieces import PartName


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes of a store. Tests make them small."""

    chunk_points: int = 1 << 17
    """A part ends after the row that fills it."""
    merge_parts: int = 16
    """So many parts as they were gathered become one."""
    merged_points: int = 1 << 22
    """At a run's end the last parts become one, if it has at most so many points."""
    cells_from: int = 1 << 13
    """A series of so many points gets cells."""

    def __post_init__(self) -> None:
        if self.chunk_points < 1 or self.merge_parts < 2 or self.cells_from < 1:
            raise ValueError(f"parts need points, and merges more than one part: {self}")


def to_merge(parts: Sequence[PartName], sizes: Sizes) -> Sequence[PartName]:
    """The last parts that are to become one now; none while the run goes on and few have come."""
    last = parts[-sizes.merge_parts :]
    is_due = len(last) == sizes.merge_parts and all(part.level == 0 for part in last)
    return last if is_due else ()


def to_finish(parts: Sequence[PartName], sizes: Sizes) -> Sequence[PartName]:
    """The last parts that are to become one where the run ends; a single one only gets its cells."""
    chosen: list[PartName] = []
    points = 0
    for part in reversed(parts):
        points += part.end - part.start
        if points > sizes.merged_points and chosen:
            break
        chosen.append(part)
    chosen.reverse()
    return chosen if len(chosen) > 1 or any(part.level == 0 for part in chosen) else ()
