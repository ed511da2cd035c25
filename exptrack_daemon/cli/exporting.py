"""`exptrack export`: a run's points as CSV, JSON lines or Parquet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from exptrack_daemon.store.export import export_to, write_parquet_columns, writer_for
from exptrack_daemon.store.reader import HomeReader, Point, RunView

if TYPE_CHECKING:
    from exptrack_daemon.store.columns import Points

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
    if chosen is Format.PARQUET and output != "-":
        done = _export_columns(reader, view, Path(output), system=system)
        if done is not None:
            _say_done(done, output)
            return
    expected = view.facts.points + (view.facts.system_points if system else 0)
    counted = _Counted(reader.points(view, system=system), expected)
    if output == "-":
        write(counted, sys.stdout.buffer)
        return
    export_to(Path(output), write, counted)
    _say_done(counted.done, output)


def _export_columns(reader: HomeReader, view: RunView, path: Path, *, system: bool) -> int | None:
    """From the store, by whole columns: how many points; None when most of a long run is in no part yet."""
    from exptrack_daemon.store.live import TailTooLong

    done, known = 0, len(reader.notices)

    def counted() -> Iterator[Points]:
        nonlocal done
        for chunk in reader.columns(view, system=system):
            done += len(chunk)
            yield chunk

    try:
        export_to(path, write_parquet_columns, counted())
    except TailTooLong:
        return None
    for notice in reader.notices[known:]:
        warn(notice)
    return done


def _say_done(points: int, output: str) -> None:
    error_console().print(f"{plural(points, 'point')} written to {clean(output, 4_096)}")


def _by_ending(output: str) -> Format:
    endings = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".parquet": Format.PARQUET}
    return endings.get(Path(output).suffix.lower(), Format.CSV)


class _Counted:
    """Passes points on and counts them; shows a bar when it takes long and a person is watching."""

    def __init__(self, points: Iterable[Point], expected: int) -> None:
        self._points = points
        self._expected = expected
        self.done = 0

    def __iter__(self) -> Iterator[Point]:
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
