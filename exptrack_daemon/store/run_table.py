"""Columns of all runs of a home: fields, metrics and config keys, from the catalogue and from journals.

Names, tags and notes are as people changed them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from exptrack_daemon.store.annotations import Annotation
from exptrack_daemon.store.catalog_list import (
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

    `fields` are columns of the catalogue that were read before.
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

    def column(self, on: Reference, only: Sequence[str] | None = None) -> Column:
        """Values by run, of `only` these runs when given; a run without one may be left out."""
        known = self._columns.get(on)
        if known is not None:
            return known
        found = self._read(on, only)
        if only is None:
            self._columns[on] = found
        return found

    def aligned(self, references: Iterable[Reference]) -> dict[Reference, list[Any]]:
        """The columns of these references, each in the order of `ids`; None where a run has no value."""
        columns = {on: self.column(on) for on in references}
        return {on: list(map(column.get, self.ids)) for on, column in columns.items()}

    def _read(self, on: Reference, only: Sequence[str] | None) -> Column:
        if on.kind == "field":
            return self._field(on.name, only)
        if on.kind == "config":
            return self._config(on.name, only)
        found = self._summary(on.name, only)
        if on.kind == "value" and not found:
            found = self._config(on.name, only)
        if not found and only is None:
            self.unknown[on.name] = on
        return found

    def _field(self, name: str, only: Sequence[str] | None) -> Column:
        if name == "age":
            created = self.column(Reference("field", "created"), only)
            return {run: (self._now_ns - at) / 1e9 for run, at in created.items() if at}
        if name == "duration":
            begun = self.column(Reference("field", "created"), only)
            ended = self.column(Reference("field", "updated"), only)
            return {run: (at - begun[run]) / 1e9 for run, at in ended.items() if at and begun[run]}
        if name == "archived":
            return {run: self._is_archived(run) for run in only or self.ids}
        if name == "lost":
            found: Column = dict.fromkeys(self._lines, 0)
            found |= read_lost(self._connection) if self._connection else {}
        else:
            found = self._stored(name, only)
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

    def _summary(self, name: str, only: Sequence[str] | None) -> Column:
        catalog = self._connection
        found = {} if catalog is None else read_values(catalog, name, only)
        for run, view in self._views.items():
            found.pop(run, None)
            value = _summary_value(view.facts, name)
            if value is not None:
                found[run] = value
        return found

    def _config(self, name: str, only: Sequence[str] | None) -> Column:
        texts, find = self._stored("config", only), config_finder(name)
        found = {run: find(text) for run, text in texts.items()}
        found |= {
            run: nested_value(view.facts.run.config, name) for run, view in self._views.items()
        }
        return {run: value for run, value in found.items() if value is not None}

    def _stored(self, name: str, only: Sequence[str] | None) -> Column:
        """A field in the catalogue, which may name runs that are gone."""
        if name in self._fields:
            return dict(self._fields[name])
        if self._connection is None:
            return {}
        return read_fields(self._connection, [name], only)[name]


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
