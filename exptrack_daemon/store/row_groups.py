"""Rows of a Parquet file by their numbers: its footer is kept, and each row group is read once a question.

All row groups but the last have one size, so where a row stands is a division.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from exptrack_daemon.store.pieces import PartUnusable

META = b"exptrack"
FORMAT = 1
_MANY_GROUPS = 8


class Span(NamedTuple):
    """Rows that follow each other; with bounds, at least those whose column lies from lo to hi."""

    first: int
    length: int
    column: str = ""
    lo: int | None = None
    hi: int | None = None
    """Included, as `lo` is."""


class RowGroups:
    """One file's row groups. No file stays open."""

    def __init__(self, path: Path) -> None:
        """Read the footer.

        Raises:
            FileNotFoundError: it is not there (any more).
            PartUnusable: it is damaged, or a newer exptrack wrote it.
        """
        self.path = path
        with reading(path):
            self._meta: Any = pq.read_metadata(path)
            self.about: dict[str, Any] = msgspec.json.decode((self._meta.metadata or {})[META])
            if self.about["format"] > FORMAT:
                raise PartUnusable(f"{path.name} was written by a newer exptrack; update it")
            self._size = self._meta.row_group(0).num_rows if self._meta.num_row_groups else 1

    def __len__(self) -> int:
        return int(self._meta.num_rows)

    def numbers(self, span: Span) -> list[int]:
        """The row groups that hold the span's rows; those outside its bounds are passed over."""
        found = range(span.first // self._size, -(-(span.first + span.length) // self._size))
        if span.lo is None or span.hi is None:
            return list(found)
        at = self._meta.schema.names.index(span.column)
        return [number for number in found if self._may_hold(number, at, span.lo, span.hi)]

    def _may_hold(self, number: int, at: int, lo: int, hi: int) -> bool:
        held = self._meta.row_group(number).column(at).statistics
        return held is None or (held.max_raw >= lo and held.min_raw <= hi)

    def read(
        self, spans: Sequence[Span], columns: Sequence[str] | None = None
    ) -> tuple[Any, list[slice]]:
        """One `pyarrow.Table`, and where in it each span's rows stand (and others between them)."""
        with reading(self.path):
            needed = [self.numbers(span) for span in spans]
            union = sorted({number for numbers in needed for number in numbers})
            with self._open() as file:
                table = _groups_of(file, union, columns)
            begins = {number: place * self._size for place, number in enumerate(union)}
            return table, [
                self._within(span, numbers, begins)
                for span, numbers in zip(spans, needed, strict=True)
            ]

    def each(
        self, spans: Sequence[Span], columns: Sequence[str]
    ) -> Iterator[tuple[Any, list[tuple[int, slice]]]]:
        """Group by group: the table, and which span's rows stand where in it. Little is held at a time."""
        with reading(self.path):
            wanted: dict[int, list[int]] = {}
            for at, span in enumerate(spans):
                for number in self.numbers(span):
                    wanted.setdefault(number, []).append(at)
            with self._open() as file:
                for number in sorted(wanted):
                    table = _groups_of(file, [number], columns)
                    begins = {number: 0}
                    yield (
                        table,
                        [(at, self._within(spans[at], [number], begins)) for at in wanted[number]],
                    )

    def _within(self, span: Span, numbers: Sequence[int], begins: dict[int, int]) -> slice:
        if not numbers:
            return slice(0, 0)
        first, last = numbers[0], numbers[-1]
        begin = begins[first] + max(0, span.first - first * self._size)
        rows = min(self._size, span.first + span.length - last * self._size)
        return slice(begin, begins[last] + rows)

    def _open(self) -> Any:
        # without reading ahead in a thread: a chart of many runs is many short reads
        return pq.ParquetFile(
            self.path, metadata=self._meta, page_checksum_verification=True, pre_buffer=False
        )


def _groups_of(file: Any, numbers: Sequence[int], columns: Iterable[str] | None) -> Any:
    chosen = None if columns is None else list(columns)
    return file.read_row_groups(
        list(numbers), columns=chosen, use_threads=len(numbers) > _MANY_GROUPS
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What a damaged file raises, as one exception."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError, pa.ArrowException) as error:
        raise PartUnusable(f"{path.name} cannot be read: {error}") from error
