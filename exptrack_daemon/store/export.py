"""A run's points as a file that other tools read: CSV, JSON lines, Parquet. Every value exactly once.

Columns: name, step, time, value, rank; one line a point, in journal order.

- time: in CSV and JSON lines Unix seconds with nine decimals (exact as text), in Parquet timestamp[ns, UTC].
- value: numbers as Python writes them (`repr`: a float64 reads back to the same bits, an int stays exact).
  NaN and infinities are `nan`, `inf`, `-inf` in CSV and `NaN`, `Infinity`, `-Infinity` in JSON lines, which
  Python's json and pandas read. true and false are `true` and `false`; a missing value is empty or null.
- CSV: a text that begins with = + - @ ' tab or return gets a ' in front, so that no spreadsheet runs it.
- Parquet: `value` is float64; a text, or an int that float64 can't hold, stands exactly in column `text`.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeGuard, TypeVar

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.store.door import HasId, PointsDoor
from exptrack_proto.records import Scalar

if TYPE_CHECKING:
    from exptrack_daemon.store.columns import Points

COLUMNS = ("name", "step", "time", "value", "rank")
FORMATS = ("csv", "jsonl", "parquet")
_BATCH_POINTS = 65_536
_EXACT_INT = 2**53
_SPECIAL = re.compile(r'[,"\r\n]')
_DANGEROUS = ("=", "+", "-", "@", "'", "\t", "\r")

Source = TypeVar("Source")
OnePoint: TypeAlias = tuple[str, int, int, Scalar, int]
"""As `store.door.Point`: name, step, time in nanoseconds, value, rank."""
Writer: TypeAlias = Callable[[Iterable[OnePoint], IO[bytes]], None]


class MissingExtra(ExptrackError):
    """A library that an optional part needs is not installed."""


def export_to(path: Path, write: Callable[[Source, IO[bytes]], None], points: Source) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        ExptrackError: the file can't be written there.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:  # a pipe or a terminal: nothing to rename
                write(points, stream)
            return
        with _replacing(path) as stream:
            write(points, stream)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ExptrackError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            yield stream
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def points_by_columns(
    door: PointsDoor, run: str | HasId, *, system: bool = False
) -> Iterator[OnePoint]:
    """The points of `door.points(run)`, in the same order, from the store's columns: several times as fast.

    Where the libraries of the store are missing, or too much of the run is in no part, from its journal.
    """
    done = 0
    try:
        from exptrack_daemon.store.live import TailTooLong
    except ImportError:
        yield from door.points(run, system=system)
        return
    try:
        for chunk in door.columns(run, system=system):
            for first in range(0, len(chunk), _BATCH_POINTS):
                yield from _rows_of(chunk, slice(first, first + _BATCH_POINTS))
            done += len(chunk)
    except TailTooLong:
        yield from islice(door.points(run, system=system), done, None)


def _rows_of(chunk: Points, which: slice) -> Iterator[OnePoint]:
    """Some of the points as Python values."""
    keys = [chunk.keys[number] for number in chunk.series[which].tolist()]
    values: list[Scalar] = chunk.values[which].tolist()
    start = which.start
    for at in chunk.kinds[which].nonzero()[0].tolist():  # all that are no floats
        values[at] = chunk.scalar(start + at)
    steps, times = chunk.steps[which].tolist(), chunk.times_ns[which].tolist()
    names, ranks = (key.name for key in keys), (key.rank for key in keys)
    return zip(names, steps, times, values, ranks, strict=True)


def writer_for(kind: str, *, clean: Callable[[str], str] | None = None) -> Writer:
    """The writer of a format; `clean` is applied to texts that go to a terminal.

    Raises:
        MissingExtra: Parquet without pyarrow.
    """
    if kind == "csv":
        return lambda points, stream: write_csv(points, stream, clean=clean)
    if kind == "jsonl":
        return write_jsonl
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            "Parquet needs pyarrow, which is not installed: pip install 'exptrack[export]'"
        ) from error
    return write_parquet


def write_csv(
    points: Iterable[OnePoint], stream: IO[bytes], *, clean: Callable[[str], str] | None = None
) -> None:
    cells = _Cells(clean)
    stream.write(f"{','.join(COLUMNS)}\n".encode())
    rest = iter(points)
    while batch := list(islice(rest, _BATCH_POINTS)):
        times = _times(batch)
        lines = [
            f"{cells.name(name)},{step},{times[time_ns]},{cells.value(value)},{rank}\n"
            for name, step, time_ns, value, rank in batch
        ]
        stream.write("".join(lines).encode("utf-8"))


def write_jsonl(points: Iterable[OnePoint], stream: IO[bytes]) -> None:
    rest = iter(points)
    while batch := list(islice(rest, _BATCH_POINTS)):
        times = _times(batch)
        names = {name: json.dumps(name) for name in {point[0] for point in batch}}
        lines = [
            f'{{"name": {names[name]}, "step": {step}, "time": {times[time_ns]},'
            f' "value": {_json(value)}, "rank": {rank}}}\n'
            for name, step, time_ns, value, rank in batch
        ]
        stream.write("".join(lines).encode("ascii"))


def json_line(point: OnePoint) -> str:
    """One point as a line of JSON. Control characters and all but ASCII are escaped."""
    line = io.BytesIO()
    write_jsonl([point], line)
    return line.getvalue().decode("ascii")


def write_parquet(points: Iterable[OnePoint], stream: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _parquet_schema()
    rest = iter(points)
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        while batch := list(islice(rest, _BATCH_POINTS)):
            names, steps, times, values, ranks = zip(*batch, strict=True)
            columns: list[Any] = [
                pa.array(names, pa.string()).dictionary_encode(),
                pa.array(steps, pa.int64()),
                pa.array(times, pa.timestamp("ns", tz="UTC")),
                pa.array(_as_floats(values), pa.float64(), from_pandas=False),
                pa.array(ranks, pa.int32()),
                pa.array(_exact_texts(values), pa.string()),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _parquet_schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            ("name", pa.dictionary(pa.int32(), pa.string())),
            ("step", pa.int64()),
            ("time", pa.timestamp("ns", tz="UTC")),
            ("value", pa.float64()),
            ("rank", pa.int32()),
            ("text", pa.string()),
        ]
    )


def write_parquet_columns(chunks: Iterable[Points], stream: IO[bytes]) -> None:
    """The same file as `write_parquet`, from whole columns: many times as fast."""
    import pyarrow.parquet as pq

    from exptrack_daemon.store.parts import table_of

    schema = _parquet_schema()
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for chunk in chunks:
            found = table_of(chunk)
            found = found.select(schema.names).cast(schema)
            writer.write_table(found, _BATCH_POINTS)


def seconds(time_ns: int) -> str:
    """Unix seconds, exact."""
    return f"{time_ns // 1_000_000_000}.{time_ns % 1_000_000_000:09d}"


def _times(batch: list[OnePoint]) -> dict[int, str]:
    """The times of a batch as texts; the values of a row share theirs."""
    return {time_ns: seconds(time_ns) for time_ns in {point[2] for point in batch}}


def _json(value: Scalar) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return json.dumps(value)


def _as_floats(values: tuple[Scalar, ...]) -> Sequence[float | None]:
    return values if _all_floats(values) else [as_float(value) for value in values]


def _exact_texts(values: tuple[Scalar, ...]) -> list[str | None]:
    if _all_floats(values):
        return [None] * len(values)
    return [exact_text(value) for value in values]


def _all_floats(values: tuple[Scalar, ...]) -> TypeGuard[tuple[float, ...]]:
    return all(type(value) is float for value in values)


def as_float(value: Scalar) -> float | None:
    """The value as float64 holds it; None for a text or a missing value."""
    return None if value is None or isinstance(value, str) else float(value)


def exact_text(value: Scalar) -> str | None:
    """What float64 cannot hold: texts, and integers beyond 2^53."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and abs(value) > _EXACT_INT:
        return str(value)
    return None


def unguarded(cell: str) -> str:
    """A text cell of our CSV as it was logged."""
    return cell.removeprefix("'")


class _Cells:
    """Writes CSV cells. Names repeat: each is looked at once."""

    def __init__(self, clean: Callable[[str], str] | None) -> None:
        self._clean = clean
        self._names: dict[str, str] = {}

    def name(self, name: str) -> str:
        cell = self._names.get(name)
        if cell is None:
            if len(self._names) >= _BATCH_POINTS:
                self._names.clear()
            cell = self._names[name] = self._text(name)
        return cell

    def value(self, value: Scalar) -> str:
        if isinstance(value, float):
            return repr(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    def _text(self, text: str) -> str:
        if self._clean is not None:
            text = self._clean(text)
        if text.startswith(_DANGEROUS):
            text = f"'{text}"
        if text and not _SPECIAL.search(text):
            return text
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
