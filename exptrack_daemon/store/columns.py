"""Points as columns: what the parts of the series store are made of. Pure.

Rows of a journal are gathered into chunks whose borders are a function of the rows alone: a chunk ends after
the row that fills it, and where every trainer that began has closed its stream. Whoever gathers a
journal, in whatever batches and from whatever border on, gets the same chunks.

A series is named by a `SeriesKey`. Texts and missing values of a name are a series of their own beside its
numbers: charts never meet them, and an export loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from exptrack_daemon.journal.entries import Entry, Rows, Stream
from exptrack_daemon.store.series import Array
from exptrack_proto.records import Close, Scalar

FLOAT, INT, BOOL, BIG, TEXT, NONE = range(6)
"""What a value was. BIG is an int beyond 2**53: its digits stand in `texts`, rounded in `values`."""
_KINDS: Mapping[type, int] = {float: FLOAT, int: INT, bool: BOOL, str: TEXT, type(None): NONE}
_NUMBERS = frozenset((float, int, bool))
_EXACT = 2**53
_PIECE_POINTS = 1 << 14


class SeriesKey(NamedTuple):
    """One metric of one rank's attempt; sorts as the store does."""

    role: str
    rank: int
    name: str
    attempt: int
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class Points:
    """Points of several series. All arrays have one length."""

    keys: tuple[SeriesKey, ...]
    series: Array
    """int32: index into `keys`"""
    steps: Array
    """int64"""
    times_ns: Array
    """int64"""
    values: Array
    """float64; NaN for a text and a missing value"""
    ordinals: Array
    """int64: how many points of the run's journal stand before this one"""
    kinds: Array
    """uint8"""
    texts: Mapping[int, str]
    """By ordinal: texts, and the digits of BIG integers."""

    def __len__(self) -> int:
        return len(self.series)

    def scalar(self, at: int) -> Scalar:
        """The value at one place, exactly as it was logged."""
        kind = int(self.kinds[at])
        if kind in (TEXT, BIG):
            text = self.texts[int(self.ordinals[at])]
            return int(text) if kind == BIG else text
        value = float(self.values[at])
        if kind == NONE:
            return None
        if kind == BOOL:
            return bool(value)
        return int(value) if kind == INT else value


class Chunk(NamedTuple):
    """What lies between two borders."""

    points: Points | None
    """None when a run ends right at a border."""
    row: int
    """Rows of the journal before the border at its end."""
    is_end: bool
    """Every trainer that had begun closed its stream there."""


class Gathering:
    """Takes a run's entries in journal order, and gives a chunk at each border."""

    def __init__(self, chunk_points: int, *, row: int = 0, ordinal: int = 0) -> None:
        self.row = row
        """Rows before this one were taken; they may come again."""
        self.ordinal = ordinal
        self.streams: dict[str, Stream] = {}
        self.closed: set[str] = set()
        self._limit = chunk_points
        self._keys: dict[SeriesKey, int] = {}
        self._shapes: dict[tuple[str, int, int], dict[tuple[str, ...], int]] = {}
        self._numbers: list[Array] = []
        self._pieces: list[Points] = []
        self._held = 0
        self._clear()

    def __len__(self) -> int:
        """Points since the last border."""
        return self._held + len(self._values)

    @property
    def waiting(self) -> int:
        """Points that have no ordinal yet."""
        return len(self._values)

    def take(self, entry: Entry) -> list[Chunk]:
        """The chunks that end in this entry, if any."""
        self.streams.setdefault(entry.stream.stream_id, entry.stream)
        if isinstance(entry, Rows):
            return self._take_rows(entry)
        if not isinstance(entry.item, Close):
            return []
        self.closed.add(entry.stream.stream_id)
        # what the sampler still says after that is little, and waits in the journal for the next chunk
        trainers = (key for key, stream in self.streams.items() if stream.role == "trainer")
        if entry.stream.role != "trainer" or not self.closed.issuperset(trainers):
            return []
        return [Chunk(self._cut() if len(self) else None, self.row, is_end=True)]

    def open_points(self) -> Points:
        """What was taken since the last border, sorted; it stays."""
        self._fold()
        return sort(concat(self._pieces))

    def _take_rows(self, entry: Rows) -> list[Chunk]:
        known = max(0, self.row - entry.ordinal)
        chunks: list[Chunk] = []
        rows, first = entry.rows[known:] if known else entry.rows, entry.ordinal + known
        stream = entry.stream
        shapes = self._shapes.setdefault((stream.role, stream.rank, stream.attempt), {})
        self.row = max(self.row, first + len(rows))
        room = self._limit - self._held
        values, steps, times, shape_of = self._values, self._steps, self._times, self._row_shapes
        for number, row in enumerate(rows, 1):
            names = tuple(row.values)
            shape = shapes.get(names)
            if shape is None:
                shape = shapes[names] = self._shape(stream, names)
            shape_of.append(shape)
            steps.append(row.step)
            times.append(row.time_ns)
            values.extend(row.values.values())
            if len(values) >= room:
                chunks.append(Chunk(self._cut(), first + number, is_end=False))
                room = self._limit
                values, steps, times = self._values, self._steps, self._times
                shape_of = self._row_shapes
        if len(values) >= _PIECE_POINTS:
            self._fold()
        return chunks

    def _shape(self, stream: Stream, names: Sequence[str]) -> int:
        """The number of a row's shape: which series its values belong to, in their order."""
        keys = (SeriesKey(stream.role, stream.rank, name, stream.attempt) for name in names)
        numbers = [self._keys.setdefault(key, len(self._keys)) for key in keys]
        self._numbers.append(np.array(numbers, np.int32))
        return len(self._numbers) - 1

    def _cut(self) -> Points:
        self._fold()
        points = sort(concat(self._pieces))
        self._pieces, self._held = [], 0
        return points

    def _clear(self) -> None:
        self._row_shapes: list[int] = []
        self._steps: list[int] = []
        self._times: list[int] = []
        self._values: list[Scalar] = []

    def _fold(self) -> None:
        """Make arrays of what came as Python objects: a tenth of the memory."""
        n = len(self._values)
        if not n:
            self._clear()  # rows without values
            return
        shapes = np.array(self._row_shapes, np.int64)
        widths = np.array([len(numbers) for numbers in self._numbers])[shapes]
        flat = np.concatenate(self._numbers)
        starts = np.cumsum([0, *(len(numbers) for numbers in self._numbers)])[shapes]
        before = np.cumsum(widths) - widths
        series = flat[np.repeat(starts - before, widths) + np.arange(n)]
        ordinals = np.arange(self.ordinal, self.ordinal + n)
        values, kinds, texts = _typed(self._values, self.ordinal)
        steps, times = (
            np.repeat(np.array(column, np.int64), widths) for column in (self._steps, self._times)
        )
        keys = tuple(self._keys)
        points = Points(keys, series, steps, times, values, ordinals, kinds, texts)
        self._pieces.append(_apart(points))
        self._held += n
        self.ordinal += n
        self._clear()


def _typed(column: list[Scalar], first: int) -> tuple[Array, Array, dict[int, str]]:
    """Values as float64, what they were, and by ordinal the exact text of what float64 cannot hold."""
    types = set(map(type, column))
    if types == {float}:
        return np.array(column, np.float64), np.zeros(len(column), np.uint8), {}
    kinds = np.fromiter(map(_KINDS.__getitem__, map(type, column)), np.uint8, len(column))
    try:
        if not types <= _NUMBERS:
            raise OverflowError
        values = np.array(column, np.float64)
    except OverflowError:
        values = np.array([_as_float(value) for value in column], np.float64)
    for at in np.flatnonzero((kinds == INT) & (np.abs(values) >= _EXACT)).tolist():
        value = column[at]
        if isinstance(value, int) and abs(value) > _EXACT:
            kinds[at] = BIG
    odd = np.flatnonzero((kinds == BIG) | (kinds == TEXT))
    return values, kinds, {first + int(at): str(column[at]) for at in odd}


def _as_float(value: Scalar) -> float:
    if value is None or isinstance(value, str):
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _apart(points: Points) -> Points:
    """Texts and missing values as series of their own."""
    odd = points.kinds >= TEXT
    if not odd.any():
        return points
    used = np.unique(points.series[odd])
    others = np.zeros(len(points.keys), np.int32)
    others[used] = len(points.keys) + np.arange(len(used))
    more = tuple(points.keys[number]._replace(is_number=False) for number in used)
    series = np.where(odd, others[points.series], points.series).astype(np.int32)
    return replace(points, keys=points.keys + more, series=series)


def concat(pieces: Sequence[Points]) -> Points:
    """Pieces, one after the other, under one set of keys."""
    if len(pieces) == 1:
        return pieces[0]
    numbers: dict[SeriesKey, int] = {}
    series: list[Array] = [np.empty(0, np.int32)]
    texts: dict[int, str] = {}
    for piece in pieces:
        mapped = [numbers.setdefault(key, len(numbers)) for key in piece.keys]
        series.append(np.array(mapped, np.int32)[piece.series])
        texts |= piece.texts
    columns = {
        name: np.concatenate([np.empty(0, kind), *(getattr(piece, name) for piece in pieces)])
        for name, kind in _COLUMNS
    }
    return Points(keys=tuple(numbers), series=np.concatenate(series), texts=texts, **columns)


_COLUMNS = (
    ("steps", np.int64),
    ("times_ns", np.int64),
    ("values", np.float64),
    ("ordinals", np.int64),
    ("kinds", np.uint8),
)


def sort(points: Points) -> Points:
    """By (key, step, ordinal), with only the keys that have points. Points of a key come by ordinal."""
    used = np.flatnonzero(np.bincount(points.series, minlength=len(points.keys)))
    keys = sorted((points.keys[number], int(number)) for number in used)
    places = np.zeros(len(points.keys), np.uint16 if len(keys) < 1 << 16 else np.int32)
    places[[number for _, number in keys]] = np.arange(len(keys))
    placed = places[points.series]
    order = np.argsort(placed, kind="stable")
    sorted_steps, sorted_places = points.steps[order], placed[order]
    goes_back = (np.diff(sorted_steps) < 0) & (np.diff(sorted_places.astype(np.int32)) == 0)
    if goes_back.any():
        order = np.lexsort((points.ordinals, points.steps, placed))
        sorted_places = placed[order]
    columns = {name: getattr(points, name)[order] for name, _ in _COLUMNS}
    return Points(
        keys=tuple(key for key, _ in keys),
        series=sorted_places.astype(np.int32),
        texts=points.texts,
        **columns,
    )


def in_journal_order(points: Points, since: int, until: int) -> Points:
    """The points of these ordinals in the order in which they were logged."""
    order = np.argsort(points.ordinals, kind="stable")
    ordinals = points.ordinals[order]
    return _taken(points, order[(ordinals >= since) & (ordinals < until)])


def without_sampler(points: Points) -> Points:
    """Only what trainers logged."""
    is_wanted = np.array([key.role == "trainer" for key in points.keys], np.bool_)
    return _taken(points, np.flatnonzero(is_wanted[points.series]))


def _taken(points: Points, which: Array) -> Points:
    columns = {name: getattr(points, name)[which] for name, _ in _COLUMNS}
    return replace(points, series=points.series[which], **columns)
