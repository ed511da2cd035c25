"""`exptrack export`: a run's points as CSV, JSON lines or Parquet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from exptrack_daemon.cli.exits import UsageWrong
from exptrack_daemon.cli.frame import (
    HomeOption,
    RunArgument,
    app,
    reading,
    show_notices,
    verb,
)
from exptrack_daemon.cli.render import clean, error_console, plural, warn
from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.store.export import (
    OnePoint,
    export_to,
    points_by_columns,
    write_parquet_columns,
    writer_for,
)
from exptrack_daemon.store.reader import HomeReader, RunView

if TYPE_CHECKING:
    from exptrack_daemon.store.columns import Points

Source = TypeVar("Source")

_LONG_POINTS = 200_000
_STEP_POINTS = 16_384


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


@verb(
    app,
    examples=[
        "exptrack export latest -o run.csv",
        "exptrack export mnist/baseline --format parquet -o run.parquet",
        "exptrack export 3f2a --format jsonl | head",
    ],
)
def export(
    run: RunArgument,
    home: HomeOption = None,
    kind: Annotated[
        Format | None,
        typer.Option(
            "--format", "-f", help="Default: from the file's ending, else csv.", show_default=False
        ),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="`-`: standard output.")
    ] = "-",
    system: Annotated[bool, typer.Option("--system", help="The sampler's values too.")] = False,
) -> None:
    """Write every value of a run, exactly once.

    Rows of: name, step, time, value, rank; as CSV, JSON lines or Parquet.
    """
    chosen = kind or _by_ending(output)
    is_terminal = output == "-" and sys.stdout.isatty()
    if is_terminal and chosen is Format.PARQUET:
        raise UsageWrong("Parquet is no text for a terminal; give a file: -o FILE.parquet")
    write = writer_for(chosen, clean=clean if is_terminal else None)
    reader = reading(home)
    view = reader.find(run)
    show_notices(reader)
    for problem in view.problems:
        warn(f"run {view.id}: {problem}; what can be read is exported")
    known = len(reader.notices)
    done = (
        _export_columns(reader, view, output, system=system) if chosen is Format.PARQUET else None
    )
    if done is None:
        expected = view.facts.points + (view.facts.system_points if system else 0)
        counted = _Counted(points_by_columns(reader, view, system=system), expected)
        _put(output, write, counted)
        done = counted.done
    for notice in reader.notices[known:]:
        warn(notice)
    if output != "-":
        error_console().print(f"{plural(done, 'point')} written to {clean(output, 4_096)}")


def _put(output: str, write: Callable[[Source, IO[bytes]], None], points: Source) -> None:
    if output == "-":
        write(points, sys.stdout.buffer)
    else:
        export_to(Path(output), write, points)


def _export_columns(reader: HomeReader, view: RunView, output: str, *, system: bool) -> int | None:
    """Parquet by whole columns: how many points; None when most of a long run is in no part yet."""
    from exptrack_daemon.store.live import TailTooLong

    done = 0
    chunks = reader.columns(view, system=system)
    try:
        first = next(chunks, None)  # before anything is written
    except TailTooLong:
        return None

    def counted() -> Iterator[Points]:
        nonlocal done
        for chunk in chain(() if first is None else (first,), chunks):
            done += len(chunk)
            yield chunk

    try:
        _put(output, write_parquet_columns, counted())
    except TailTooLong as error:
        if output == "-":
            raise ExptrackError(
                f"run {view.id} grew faster than it was exported; give a file: -o FILE.parquet"
            ) from error
        return None
    return done


def _by_ending(output: str) -> Format:
    endings = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".parquet": Format.PARQUET}
    return endings.get(Path(output).suffix.lower(), Format.CSV)


class _Counted:
    """Passes points on and counts them; shows a bar when it takes long and a person is watching."""

    def __init__(self, points: Iterable[OnePoint], expected: int) -> None:
        self._points = points
        self._expected = expected
        self.done = 0

    def __iter__(self) -> Iterator[OnePoint]:
        shown = self._expected >= _LONG_POINTS and sys.stderr.isatty() and not sys.stdout.isatty()
        columns = (TextColumn("exporting"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        with Progress(
            *columns,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not shown,
        ) as progress:
            task = progress.add_task("", total=self._expected)
            for point in self._points:
                self.done += 1
                if self.done % _STEP_POINTS == 0:
                    progress.advance(task, _STEP_POINTS)
                yield point
