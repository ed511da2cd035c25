"""The half of `HomeReader` that reads points: rows, metrics, series, cells, media; several runs at once; SQL.

What stands in the store's parts is read from there, what came after from the journal's tail, which is kept
between questions. A run without a store is read from its journal. numpy, pyarrow and DuckDB are loaded when
first needed. Series, cells and metrics may be asked for by several threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import msgspec

from exptrack_daemon.files import Files, OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.cursor import CURSOR_VERSION, Cursor
from exptrack_daemon.journal.entries import Entry, Rows
from exptrack_daemon.store.journals import walk_all
from exptrack_proto.records import Scalar

if TYPE_CHECKING:  # numpy is only loaded once series are asked for
    from exptrack_daemon.store.columns import Points
    from exptrack_daemon.store.joining import Part
    from exptrack_daemon.store.scanning import MediaEntry
    from exptrack_daemon.store.series import Axis, Cells, Metric, Series
    from exptrack_daemon.store.series_cache import SeriesCache

Answer = TypeVar("Answer")


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    step: int
    time_ns: int
    value: Scalar
    rank: int


class HasId(Protocol):
    """Anything that stands for a run (a `RunView`)."""

    @property
    def id(self) -> str: ...


class PointsDoor:
    """What of a home folder's runs can be charted and exported."""

    def __init__(self, home: Home, files: Files | None = None) -> None:
        self.home = home
        self.notices: list[str] = []
        self._files = files or OsFiles()
        self._first: PointsDoor | None = None

    def share_series(self, first: PointsDoor) -> None:
        """Answer from what another reader of the same home keeps of series, and add to its notices.

        To be called before the first question. Both may be asked at the same time.
        """
        self._first, self.notices = first, first.notices

    def points(self, run: str | HasId, *, system: bool = False) -> Iterator[Point]:
        """Every value of the run exactly once, in journal order; with `system` also the sampler's."""
        for entry in self.rows(run, system=system):
            rank = entry.stream.rank
            for row in entry.rows:
                step, time_ns = row.step, row.time_ns
                for name, value in row.values.items():
                    yield Point(name, step, time_ns, value, rank)

    def rows(self, run: str | HasId, *, system: bool = False) -> Iterator[Rows]:
        """Every row of the run exactly once, in journal order."""
        for entry in self._entries(run):
            if isinstance(entry, Rows) and (system or entry.stream.role == "trainer"):
                yield entry

    def columns(self, run: str | HasId, *, system: bool = False) -> Iterator[Points]:
        """The same values as `points`, in the same order, as columns of up to 4 million.

        Raises:
            TailTooLong: too much of the run is in no part yet; take `points`.
        """
        from exptrack_daemon.store.joining import end_of_parts, points_after, without_sampler

        held = self.series_cache.run(_id(run))
        reached, end = 0, held.ask(end_of_parts)
        while reached < end:  # part by part: a long run is never in memory whole
            reached, points = held.ask(functools.partial(points_after, since=reached, until=end))
            yield points if system else without_sampler(points)

    def metrics(self, run: str | HasId) -> list[Metric]:
        """The run's metrics, the sampler's after the trainers'."""
        from exptrack_daemon.store.joining import metrics_of_parts
        from exptrack_daemon.store.scanning import metrics_of

        return self._answer(run, metrics_of_parts, metrics_of)

    def series(
        self, run: str | HasId, names: Sequence[str], *, rank: int = 0, system: bool = False
    ) -> dict[str, Series]:
        """All points of the named series of one rank, by name; empty where there are none."""
        from exptrack_daemon.store.joining import series_of_parts
        from exptrack_daemon.store.scanning import series_of

        role = "sampler" if system else "trainer"
        return self._answer(
            run,
            lambda parts: {name: series_of_parts(parts, name, rank, role) for name in names},
            lambda entries: series_of(entries, names, rank=rank, system=system),
        )

    def cells(  # noqa: PLR0913 - the window is three numbers
        self,
        run: str | HasId,
        names: Sequence[str],
        *,
        width: int,
        lo: int,
        hi: int,
        axis: Axis = "step",
        rank: int = 0,
        system: bool = False,
    ) -> dict[str, Cells]:
        """The named series between lo and hi on the grid of this width (`series.width_for`), by name."""
        from exptrack_daemon.store.joining import Window, cells_of_parts
        from exptrack_daemon.store.scanning import series_of
        from exptrack_daemon.store.series import cells_of

        role = "sampler" if system else "trainer"
        window = Window(axis, lo, hi, width)
        return self._answer(
            run,
            lambda parts: cells_of_parts(parts, names, rank, role, window),
            lambda entries: {
                name: cells_of(series, axis=axis, lo=lo, hi=hi, width=width)
                for name, series in series_of(entries, names, rank=rank, system=system).items()
            },
        )

    def media(self, run: str | HasId) -> Iterator[MediaEntry]:
        """The run's images, histograms, texts and tables, in journal order."""
        from exptrack_daemon.store.scanning import media_of

        return media_of(self._entries(run))

    def frame(
        self, runs: Sequence[str | HasId], names: Sequence[str] | None = None, *, rank: int = 0
    ) -> Any:
        """Several runs as one long `pyarrow.Table`: run, name, rank, step, time, value.

        As charts show them: later attempts win. Without `names`, all of the trainers' metrics.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        from exptrack_daemon.store.query import long_table

        return long_table(self, [_id(run) for run in runs], names, rank)

    def sql(self, question: str, *, runs: Sequence[str | HasId] | None = None) -> Any:
        """Ask DuckDB; the answer is a relation (`.df()`, `.pl()`, `.arrow()`, `.fetchall()`).

        Tables: `points` (run, role, rank, name, attempt, step, time, value, ordinal, kind, text: every point
        of every attempt exactly once) and `runs` (what is listed). `runs=` says which to look at; else all.

        Raises:
            MissingExtra: DuckDB is not installed.
        """
        from exptrack_daemon.store.query import ask_duckdb

        chosen = None if runs is None else [_id(run) for run in runs]
        return ask_duckdb(self, question, chosen)

    def run_ids(self) -> list[str]:
        """The runs that have a journal."""
        raise NotImplementedError

    def runs(self, *, values: bool = False) -> Sequence[Any]:
        """All runs, newest first."""
        raise NotImplementedError

    def parts(self, run_id: str) -> list[Part]:
        """A run's points as they stand now, part by part; the last ones are in memory."""
        return self.series_cache.run(run_id).ask(list)

    def cursor(self, run_id: str, sink: str) -> Cursor | None:
        """A sink's cursor as it stands; None when it cannot be read."""
        try:
            cursor = msgspec.json.decode(
                self._files.read(self.home.cursor(run_id, sink)), type=Cursor
            )
        except (OSError, msgspec.DecodeError):
            return None
        return cursor if cursor.version <= CURSOR_VERSION else None

    @functools.cached_property
    def series_cache(self) -> SeriesCache:
        if self._first is not None:
            return self._first.series_cache
        from exptrack_daemon.store.series_cache import RunSeries, SeriesCache

        return SeriesCache(
            lambda run_id: RunSeries(self._files, self.home, run_id, self.cursor, self._note)
        )

    def _answer(
        self,
        run: str | HasId,
        ask: Callable[[Sequence[Part]], Answer],
        scan: Callable[[Iterator[Entry]], Answer],
    ) -> Answer:
        """From parts and tail; from the whole journal when most of a long run is in no part."""
        from exptrack_daemon.store.live import TailTooLong

        try:
            return self.series_cache.run(_id(run)).ask(ask)
        except TailTooLong:
            return scan(self._entries(run))

    def _entries(self, run: str | HasId) -> Iterator[Entry]:
        for _, entry in walk_all(self._files, self.home, _id(run)).entries():
            if entry is not None:
                yield entry

    def _note(self, notice: str) -> None:
        if notice not in self.notices:
            self.notices.append(notice)


def _id(run: str | HasId) -> str:
    return run if isinstance(run, str) else run.id
