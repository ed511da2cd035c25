"""Columns of all runs of a home: fields, metrics and config keys, from the catalogue and from journals.

Names, tags and notes are as people changed them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from exptrack_daemon.store.annotations import Annotation
from exptrack_daemon.store.catalog_list import (
    MOST_ASKED,
    config_finder,
    nested_value,
    read_fields,
    read_lost,
    read_values,
)
from exptrack_daemon.store.facts import RunFacts
from exptrack_daemon.store.filters import Reference

if TYPE_CHECKING:
    from exptrack_daemon.store.reader import RunView

Column = dict[str, Any]
_ANNOTATED = ("name", "tags", "notes")


class Table:
    """Columns, read as they are asked for; of `lines` from the catalogue, of `views` from their journals.

    `fields` are columns of the catalogue that were read before. A column may name other runs too.
    """

    def __init__(
        self,
        connection: sqlite3.Connection | None,
        lines: Sequence[str],
        fields: Mapping[str, Column],
        views: Mapping[str, RunView],
        annotations: Mapping[str, Annotation],
        now_ns: int,
    ) -> None:
        self.ids = [*lines, *views]
        self.unknown: dict[str, Reference] = {}
        """Names that no run has a value for."""
        self._connection = connection
        self._lines = lines
        self._fields = fields
        self._views = views
        self._annotations = {run: annotations[run] for run in self.ids if run in annotations}
        self._now_ns = now_ns
        self._columns: dict[Reference, Column] = {}
        self._only: Sequence[str] | None = None
        """The runs that the catalogue is asked for; None: all."""

    def narrowed(self, ids: Sequence[str], fields: Sequence[str]) -> Table:
        """A table of some of the runs, with these fields of the catalogue read at once."""
        lines = [run for run in ids if run not in self._views]
        views = {run: self._views[run] for run in ids if run in self._views}
        only = lines if len(lines) <= MOST_ASKED else None
        read = {} if self._connection is None else read_fields(self._connection, fields, only)
        table = Table(self._connection, lines, read, views, self._annotations, self._now_ns)
        table._columns, table._only = dict(self._columns), only
        return table

    def column(self, on: Reference) -> Column:
        """Values by run; a run without one may be left out."""
        if on not in self._columns:
            self._columns[on] = self._read(on)
        return self._columns[on]

    def aligned(self, references: Iterable[Reference]) -> dict[Reference, list[Any]]:
        """The columns of these references, each in the order of `ids`; None where a run has no value."""
        columns = {on: self.column(on) for on in references}
        return {on: list(map(column.get, self.ids)) for on, column in columns.items()}

    def _read(self, on: Reference) -> Column:
        if on.kind == "field":
            return self._field(on.name)
        if on.kind == "config":
            return self._config(on.name)
        found = self._summary(on.name)
        if on.kind == "value" and not found:
            found = self._config(on.name)
        if not found:
            self.unknown[on.name] = on
        return found

    def _field(self, name: str) -> Column:
        if name == "age":
            created = self.column(Reference("field", "created"))
            return {run: (self._now_ns - at) / 1e9 for run, at in created.items() if at}
        if name == "duration":
            begun = self.column(Reference("field", "created"))
            ended = self.column(Reference("field", "updated"))
            return {
                run: (at - begun[run]) / 1e9 for run, at in ended.items() if at and begun.get(run)
            }
        if name == "archived":
            return {run: self._is_archived(run) for run in self.ids}
        if name == "lost":
            found: Column = dict.fromkeys(self._lines, 0)
            found |= read_lost(self._connection) if self._connection else {}
        else:
            found = self._stored(name)
        found |= {run: _fact(view, name) for run, view in self._views.items()}
        if name in _ANNOTATED:
            self._overlay(name, found)
        return found

    def _is_archived(self, run: str) -> bool:
        return run in self._annotations and self._annotations[run].archived

    def _overlay(self, name: str, found: Column) -> None:
        for run, annotation in self._annotations.items():
            if run not in found:
                continue
            if name == "tags":
                found[run] = annotation.tags(found[run])
            elif (changed := getattr(annotation, name)) is not None:
                found[run] = changed

    def _summary(self, name: str) -> Column:
        catalog = self._connection
        found = {} if catalog is None else read_values(catalog, name, self._only)
        for run, view in self._views.items():
            found.pop(run, None)
            value = _summary_value(view.facts, name)
            if value is not None:
                found[run] = value
        return found

    def _config(self, name: str) -> Column:
        texts, find = self._stored("config"), config_finder(name)
        found = {run: find(text) for run, text in texts.items()}
        found |= {
            run: nested_value(view.facts.run.config, name) for run, view in self._views.items()
        }
        return {run: value for run, value in found.items() if value is not None}

    def _stored(self, name: str) -> Column:
        """A field in the catalogue, which may name runs that are gone."""
        if name in self._fields:
            return dict(self._fields[name])
        if self._connection is None:
            return {}
        return read_fields(self._connection, [name], self._only)[name]


def _fact(view: RunView, name: str) -> Any:
    """A field of a run that was read from its journal."""
    facts, run = view.facts, view.facts.run
    if name in ("created", "updated"):
        return run.created_ns if name == "created" else facts.updated_ns
    if name == "status":
        return view.status.name
    if name == "exit_code":
        return view.status.exit_code
    if name == "id":
        return run.run_id
    if name == "lost":
        return facts.lost_items
    return getattr(run if hasattr(run, name) else facts, name)


def _summary_value(facts: RunFacts, name: str) -> Any:
    values = facts.values
    for written in (values.user, values.rank0, values.ranks, values.system):
        if name in written:
            return written[name]
    return None
