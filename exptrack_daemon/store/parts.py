"""A part of a run's series: one Parquet file of sorted points, and one of cells for what is long.

runs/RUN_ID/series/
  START-END.parquet         the points of ordinals START to END - 1, sorted by SeriesKey, step, ordinal
  START-END.cells           cells of its long series at several widths (`pyramid`); of merged parts only

Plain Parquet, to be read by anybody: role, rank, name, attempt, step, time, value, ordinal, kind, text.
`value` is null for a text or a missing value, `text` has what float64 cannot hold (texts, ints beyond 2**53),
`kind` is a number of `columns`. Row groups have at most 65,536 rows. What stands where is in the footer, as
JSON under `exptrack`. Pages carry checksums. Bytes are a function of the points alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from exptrack_daemon.store.arrow import array_of, column_of, words_of
from exptrack_daemon.store.columns import BIG, TEXT, Points, SeriesKey
from exptrack_daemon.store.pieces import (
    Level,
    PartName,
    PartUnusable,
    Raw,
    Slice,
    Wanted,
    by_name,
    slices_of,
)
from exptrack_daemon.store.pyramid import CellRows, levels_of
from exptrack_daemon.store.row_groups import FORMAT, META, RowGroups, Span, reading
from exptrack_daemon.store.series import Array, Axis

GROUP_ROWS = 1 << 16
_CELL_GROUP_ROWS = 1 << 13
_LABELS = ("role", "rank", "name", "attempt", "kind", "text")
_DELTAS = ("step", "time", "ordinal")
_POINT = ("step", "time", "value")
_AXES: tuple[Axis, ...] = ("step", "time")
_SCHEMA = pa.schema(
    [
        ("role", pa.string()),
        ("rank", pa.int32()),
        ("name", pa.string()),
        ("attempt", pa.int32()),
        ("step", pa.int64()),
        ("time", pa.timestamp("ns", tz="UTC")),
        ("value", pa.float64()),
        ("ordinal", pa.int64()),
        ("kind", pa.uint8()),
        ("text", pa.string()),
    ]
)
_REAL_CELLS = frozenset(("min", "max", "sum", "last"))
_CELL_SCHEMA = pa.schema(
    [
        (field.name, pa.float64() if field.name in _REAL_CELLS else pa.int64())
        for field in fields(CellRows)
    ]
)
_CELL_KINDS = {field.name: field.type.to_pandas_dtype() for field in _CELL_SCHEMA}


def part_bytes(points: Points) -> bytes:
    """The file of sorted points, whose ordinals have no gap."""
    slices = slices_of(points)
    start = int(points.ordinals.min())
    meta = {
        "format": FORMAT,
        "start": start,
        "end": start + len(points),
        "series": [[*key, *place] for key, place in slices.items()],
    }
    table = table_of(points)
    return _parquet(table, meta, GROUP_ROWS, labels=_LABELS, deltas=_DELTAS, reals=("value",))


def table_of(points: Points) -> Any:
    """Points as a `pyarrow.Table` of the columns that the files have."""
    keys, series = points.keys, points.series
    columns = [
        *(_labels([getattr(key, field) for key in keys], series) for field in _LABELS[:4]),
        column_of(points.steps, pa.int64()),
        column_of(points.times_ns, _SCHEMA.field("time").type),
        column_of(points.values, pa.float64(), points.kinds >= TEXT),
        column_of(points.ordinals, pa.int64()),
        column_of(points.kinds, pa.uint8()),
        _texts(points),
    ]
    order = [*_LABELS[:4], "step", "time", "value", "ordinal", "kind", "text"]
    return pa.Table.from_arrays(columns, order)


def _labels(words: Sequence[Any], series: Array) -> Any:
    """One word (or small number) a point, as a dictionary: nothing is copied a point."""
    distinct = list(dict.fromkeys(words))
    numbers = {word: number for number, word in enumerate(distinct)}
    indices = np.array([numbers[word] for word in words], np.int32)[series]
    if distinct and isinstance(distinct[0], int):
        told = column_of(np.array(distinct, np.int32), pa.int32())
    else:
        told = words_of(distinct)
    return pa.DictionaryArray.from_arrays(column_of(indices, pa.int32()), told)


def _texts(points: Points) -> Any:
    if not points.texts:
        return pa.nulls(len(points), pa.string())
    column: list[str | None] = [None] * len(points)
    for at in np.flatnonzero((points.kinds == BIG) | (points.kinds == TEXT)).tolist():
        column[at] = points.texts[int(points.ordinals[at])]
    return words_of(column)


def cells_bytes(points: Points, least: int) -> bytes:
    """The file of the cells of every numeric series of at least `least` points."""
    pieces: list[CellRows] = []
    levels: list[list[Any]] = []
    held = 0
    # those of one axis and level beside each other: a chart of many series is one short read
    found = sorted(_levels_of_series(points, least), key=lambda level: level[:3])
    for axis, _, number, shift, rows in found:
        levels.append([number, axis, shift, held, len(rows)])
        pieces.append(rows)
        held += len(rows)
    columns_of = {
        field.name: np.concatenate(
            [
                np.empty(0, _CELL_SCHEMA.field(field.name).type.to_pandas_dtype()),
                *(getattr(piece, field.name) for piece in pieces),
            ]
        )
        for field in fields(CellRows)
    }
    reals = tuple(_REAL_CELLS)
    deltas = tuple(name for name in columns_of if name not in _REAL_CELLS)
    meta = {"format": FORMAT, "levels": levels}
    columns = [
        column_of(found, _CELL_SCHEMA.field(name).type) for name, found in columns_of.items()
    ]
    table = pa.Table.from_arrays(columns, list(columns_of))
    return _parquet(table, meta, _CELL_GROUP_ROWS, deltas=deltas, reals=reals)


_LevelOf: TypeAlias = tuple[Axis, int, int, int, CellRows]


def _levels_of_series(points: Points, least: int) -> Iterator[_LevelOf]:
    """Axis, how many levels are finer, the series' number, the power of the width, and the cells."""
    for number, (key, place) in enumerate(slices_of(points).items()):
        if not key.is_number or place.length < least:
            continue
        which = slice(place.first, place.first + place.length)
        columns = points.steps[which], points.times_ns[which], points.values[which]
        for axis in _AXES:
            for finer, (shift, rows) in enumerate(levels_of(*columns, axis)):
                yield axis, finer, number, shift, rows


def _parquet(
    table: Any,
    meta: Mapping[str, Any],
    group_rows: int,
    *,
    labels: Sequence[str] = (),
    deltas: Sequence[str],
    reals: Sequence[str],
) -> bytes:
    encodings = dict.fromkeys(deltas, "DELTA_BINARY_PACKED") | dict.fromkeys(
        reals, "BYTE_STREAM_SPLIT"
    )
    stream = pa.BufferOutputStream()
    with pq.ParquetWriter(
        stream,
        table.schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=list(labels),
        column_encoding=encodings,
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        writer.add_key_value_metadata({META: msgspec.json.encode(meta)})
        writer.write_table(table, row_group_size=group_rows)
    return bytes(stream.getvalue())


class DiskPart:
    """A part as it stands on the disk. Keeps its footers, and no file open."""

    def __init__(self, folder: Path, name: PartName) -> None:
        """Read its footers.

        Raises:
            FileNotFoundError: it is not there (any more).
            PartUnusable: it is damaged, or a newer exptrack wrote it.
        """
        self.name = name
        self.path = folder / name.file
        self._rows = RowGroups(self.path)
        with reading(self.path):
            about = self._rows.about
            if (about["start"], about["end"]) != name[:2] or len(self._rows) != len(self):
                raise PartUnusable(f"{self.path.name} is not the part that it is called")
            self.slices = {SeriesKey(*row[:5]): Slice(*row[5:]) for row in about["series"]}
        self._by_name = by_name(self.slices)
        self._levels: dict[tuple[SeriesKey, Axis], list[Level]] = {}
        if name.level:
            self._cells = RowGroups(folder / name.cells_file)
            keys = list(self.slices)
            with reading(self._cells.path):
                for number, axis, shift, first, count in self._cells.about["levels"]:
                    held = self._levels.setdefault((keys[number], axis), [])
                    held.append(Level(first, count, shift))

    def __len__(self) -> int:
        return self.name.end - self.name.start

    @property
    def end(self) -> int:
        """The ordinal after its last point."""
        return self.name.end

    def series(self, role: str, rank: int, name: str) -> Sequence[tuple[SeriesKey, Slice]]:
        """The numbers of one rank's metric, attempt by attempt."""
        return self._by_name.get((role, rank, name), ())

    def levels(self, key: SeriesKey, axis: Axis) -> Sequence[Level]:
        """The widths at which there are cells of a series, finest first."""
        return self._levels.get((key, axis), ())

    def raw(self, key: SeriesKey) -> Raw:
        """All points of a series."""
        place = self.slices[key]
        table, (where,) = self._rows.read([Span(*place[:2])], _POINT)
        return _raw_of(table.slice(where.start, where.stop - where.start))

    def raws(self, wanted: Sequence[Wanted]) -> Iterator[tuple[int, Raw]]:
        """At least what is wanted of each series, in pieces; with each, which of them it belongs to.

        The pieces of a series come by step. The file is read once, and little of it is held at a time.
        """
        spans = [Span(*self.slices[key][:2], axis, lo, hi) for key, axis, lo, hi in wanted]
        for table, found in self._rows.each(spans, _POINT):
            raw = _raw_of(table)
            for at, where in found:
                yield at, Raw(raw.steps[where], raw.times_ns[where], raw.values[where])

    def cells(self, wanted: Sequence[tuple[Level, int, int]]) -> tuple[CellRows, list[int]]:
        """Cells of several levels, at least those whose numbers lie from lo to hi; and how many of each."""
        spans = [Span(level.first, level.length, "cell", lo, hi) for level, lo, hi in wanted]
        table, places = self._cells.read(spans)
        rows = CellRows(
            *(array_of(table.column(name), _CELL_KINDS[name]) for name in _CELL_SCHEMA.names)
        )
        which = [np.arange(place.start, place.stop) for place in places]
        return rows.take(np.concatenate(which)), [len(one) for one in which]

    def points(self) -> Points:
        """All points, sorted; every checksum is checked.

        Raises:
            FileNotFoundError, PartUnusable: as for opening.
        """
        table, _ = self._rows.read([Span(0, len(self))], _SCHEMA.names[4:])
        kinds = array_of(table.column("kind"), np.uint8)
        ordinals = array_of(table.column("ordinal"), np.int64)
        texts: dict[int, str] = {}
        column = table.column("text")
        if column.null_count < len(column):
            odd = np.flatnonzero((kinds == BIG) | (kinds == TEXT))
            words = column.take(column_of(odd, pa.int64())).to_pylist()
            texts = dict(zip(ordinals[odd].tolist(), words, strict=True))
        counts = [place.length for place in self.slices.values()]
        series = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        raw = _raw_of(table)
        return Points(
            *(tuple(self.slices), series, raw.steps, raw.times_ns, raw.values),
            *(ordinals, kinds, texts),
        )


def _raw_of(table: Any) -> Raw:
    steps, times, values = (table.column(name) for name in _POINT)
    return Raw(array_of(steps, np.int64), array_of(times, np.int64), array_of(values, np.float64))
