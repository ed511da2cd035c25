"""The run list: which runs fit a filter, in which order, and one page of them. For the CLI and the web.

Runs that have ended are taken from the catalogue by columns, so that ten thousand cost no more than a person
notices; a run is read from its journal when

- its line says that a stream is open, or a trainer of it is alive (`live.json`),
- the catalogue does not know it, or can't be used,
- it stands on the page that is asked for, and its journal is longer than its line says; and for all runs
  when streams have begun or ended since the catalogue was last written (its sink is not running).
"""

from __future__ import annotations

import itertools
import json
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exptrack_daemon.store.catalog_list import (
    COLUMNS,
    LISTED,
    flatten,
    read_closed,
    read_fields,
    read_lines,
    read_names,
)
from exptrack_daemon.store.currency import has_more, is_behind
from exptrack_daemon.store.filters import Filter, Reference, nearest, reference
from exptrack_daemon.store.run_table import Column, Table

if TYPE_CHECKING:
    from exptrack_daemon.store.reader import HomeReader

_FIXED = tuple(name for name in COLUMNS if name != "config")
_CREATED = Reference("field", "created")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run in the list."""

    id: str
    name: str
    project: str
    group: str | None
    job_type: str | None
    status: str
    tags: tuple[str, ...]
    notes: str
    created_ns: int
    updated_ns: int
    last_step: int | None
    rows: int
    points: int
    lost_items: int
    attempts: int
    ranks: int
    exit_code: int | None
    archived: bool
    values: dict[str, Any]
    """By column that was asked for, as it was asked for; None where the run has none."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of the list."""

    rows: list[RunRow]
    total: int
    """How many runs fit the filter."""
    notes: list[str] = field(default_factory=list)
    """What a person should know: a name that no run has, and what may have been meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of the list."""

    filter: Filter
    sort: Sequence[tuple[Reference, bool]]
    """What to sort by, and whether the largest comes first; what is missing comes last."""
    columns: Mapping[str, Reference]

    @staticmethod
    def of(given: Filter, sort: str, columns: Iterable[str]) -> Question:
        """`sort` holds names, separated by commas; a minus before one turns its order round."""
        names = [name.strip() for name in sort.split(",")]
        order = [(reference(name.lstrip("-")), name.startswith("-")) for name in names if name]
        return Question(
            filter=given, sort=order, columns={name: reference(name) for name in columns}
        )

    def listed(self) -> list[str]:
        """Those of `LISTED` that are needed of every run."""
        wanted = (*self.filter.references(), *(on for on, _ in self.sort), _CREATED)
        return sorted({on.name for on in wanted if on.kind == "field" and on.name in LISTED})


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """What runs have values for, and how many runs have each."""

    summary: dict[str, int]
    """Metrics and what users set, by name."""
    config: dict[str, int]
    """Keys of configs, nested ones joined by dots."""


def list_runs(
    reader: HomeReader, question: Question, *, limit: int | None, offset: int, now_ns: int
) -> RunPage:
    """Answer the question, with the catalogue as far as it can be used."""

    def answer(connection: sqlite3.Connection | None) -> RunPage:
        listing = _Listing(reader, connection, now_ns, question.listed())
        return listing.page(question, limit, offset)

    return reader.ask(answer) or answer(None)


def count_names(reader: HomeReader) -> ColumnNames:
    """What the runs of the home have values for."""
    return (
        reader.ask(lambda catalog: _Listing(reader, catalog, 0).names())
        or _Listing(reader, None, 0).names()
    )


class _Listing:
    """One answer: which runs are taken from the catalogue, and which from their journals."""

    def __init__(
        self,
        reader: HomeReader,
        connection: sqlite3.Connection | None,
        now_ns: int,
        fields: Sequence[str] = (_CREATED.name,),
    ) -> None:
        self._reader = reader
        self._connection = connection
        self._now_ns = now_ns
        self._annotations = reader.annotations()
        self._names = reader.folder_names()
        self._is_checked = is_behind(reader.home)
        self._fields: dict[str, Column] = {}
        if connection is not None:
            self._fields = read_closed(connection, fields)
        self._lines = self._find_lines()
        """The runs whose line of the catalogue is taken as it is, newest first."""
        others = reader.views(sorted(self._names.difference(self._lines)))
        self._views = {view.id: view for view in others}

    def _find_lines(self) -> list[str]:
        known = self._names - self._reader.live_runs()
        lines = [run for run in self._fields.get(_CREATED.name, ()) if run in known]
        if not self._is_checked:
            return lines
        stale = self._behind(lines)
        return [run for run in lines if run not in stale]

    def _behind(self, runs: Iterable[str]) -> set[str]:
        if self._connection is None:
            return set()
        lines = read_lines(self._connection, list(runs))
        return {line.id for line in lines if has_more(self._reader.home, line)}

    def page(self, question: Question, limit: int | None, offset: int) -> RunPage:
        end = None if limit is None else offset + limit
        while True:
            table = self._table()
            ids = select(table, question)
            shown = ids[offset:end]
            known = [run for run in shown if run not in self._views]
            stale = set() if self._is_checked else self._behind(known)
            if not stale:
                break
            self._lines = [run for run in self._lines if run not in stale]
            self._views |= {view.id: view for view in self._reader.views(sorted(stale))}
        notes = unknown_notes(table, self._known_names)
        return RunPage(rows_of(table, shown, question.columns), len(ids), notes)

    def names(self) -> ColumnNames:
        """What there are values for, of all runs."""
        summary: Counter[str] = Counter()
        config: Counter[str] = Counter()
        if self._connection is not None:
            summary.update(read_names(self._connection, but=list(self._views)))
            texts = read_fields(self._connection, ["config"])["config"]
            for run in self._lines:
                config.update(list(flatten(json.loads(texts[run]))))
        for view in self._views.values():
            summary.update({**view.facts.values.system, **view.facts.summary}.keys())
            config.update(list(flatten(view.facts.run.config)))
        return ColumnNames(dict(sorted(summary.items())), dict(sorted(config.items())))

    def _table(self) -> Table:
        known = self._fields
        return Table(
            self._connection, self._lines, known, self._views, self._annotations, self._now_ns
        )

    def _known_names(self) -> list[str]:
        names = self._reader.column_names()
        return [*names.summary, *names.config]


def select(table: Table, question: Question) -> list[str]:
    """The ids of the runs that fit, in the order that was asked for."""
    wanted = question.filter.references()
    ids = table.ids
    if wanted:
        fits = question.filter.fits(table.aligned(wanted))
        ids = list(itertools.compress(ids, fits))
    return _sorted(table, ids, question.sort)


def _sorted(table: Table, ids: Sequence[str], order: Sequence[tuple[Reference, bool]]) -> list[str]:
    """Newest first where nothing else decides."""
    done = sorted(ids, key=table.column(_CREATED).__getitem__, reverse=True)
    if list(order) == [(_CREATED, True)]:
        return done
    for on, is_down in reversed(order):
        done = _sorted_by(table.column(on), done, is_down=is_down)
    return done


def _sorted_by(column: Column, ids: Sequence[str], *, is_down: bool) -> list[str]:
    """Numbers, then texts, then what has no value or NaN, whichever way round."""
    numbers, texts, missing = [], [], []
    for run in ids:
        value = column.get(run)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            missing.append(run)
        elif isinstance(value, int | float):
            numbers.append(run)
        else:
            texts.append(run)
    numbers.sort(key=column.__getitem__, reverse=is_down)
    texts.sort(key=lambda run: str(column[run]).casefold(), reverse=is_down)
    return [*numbers, *texts, *missing]


def rows_of(table: Table, ids: Sequence[str], columns: Mapping[str, Reference]) -> list[RunRow]:
    """These runs as the list shows them."""
    needs_config = any(on.kind in ("config", "value") for on in columns.values())
    page = table.narrowed(ids, list(COLUMNS) if needs_config else _FIXED)
    fields = {name: page.column(Reference("field", name)) for name in _FIXED}
    lost = page.column(Reference("field", "lost"))
    archived = page.column(Reference("field", "archived"))
    values = {name: page.column(on) for name, on in columns.items()}
    return [
        RunRow(
            id=run,
            name=fields["name"][run],
            project=fields["project"][run],
            group=fields["group"][run],
            job_type=fields["job_type"][run],
            status=fields["status"][run],
            tags=fields["tags"][run],
            notes=fields["notes"][run],
            created_ns=fields["created"][run],
            updated_ns=fields["updated"][run],
            last_step=fields["last_step"][run],
            rows=fields["rows"][run],
            points=fields["points"][run],
            lost_items=lost[run],
            attempts=fields["attempts"][run],
            ranks=fields["ranks"][run],
            exit_code=fields["exit_code"][run],
            archived=archived[run],
            values={name: column.get(run) for name, column in values.items()},
        )
        for run in ids
    ]


def unknown_notes(table: Table, known: Callable[[], Sequence[str]]) -> list[str]:
    """Names that no run has, and what may have been meant."""
    notes = []
    for name in table.unknown:
        near = " or ".join(nearest(name, known()))
        hint = f"; did you mean {near}?" if near else ""
        notes.append(f"no run has a metric or config key {name!r}{hint}")
    return notes
