"""A run that is open at MLflow: what is new goes in, what MLflow is known to hold is passed over."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

from exptrack_daemon.errors import BatchRejected
from exptrack_daemon.sinks.mlflow.files import File
from exptrack_daemon.sinks.mlflow.said import MAX_TEXT_CHARS, Place, Point
from exptrack_daemon.sinks.mlflow.store import Known, Store, pairs_in_calls, points_in_calls

logger = logging.getLogger(__name__)

PLACE_TAG = "exptrack.place"
_TABLES_TAG = "mlflow.loggedArtifacts"
_PICTURES_TAG = "mlflow.loggedImages"
_PARAM_CHARS = (6_000, 500)
"""What MLflow takes of a param's value: today, and before 2.8."""


class Opened:
    """One MLflow run. Its calls may be repeated with the same things."""

    def __init__(self, store: Store, known: Known, held: Place) -> None:
        self._store = store
        self.run_id = known.run_id
        self.held = held
        self._params = dict(known.params)
        self._tags = dict(known.tags)
        self._tables = _paths(known.tags.get(_TABLES_TAG, "[]"))

    def put_points(self, points: Iterable[Point]) -> None:
        """Each call carries the place that it reaches, which MLflow commits after the call's metrics."""
        new = (point for point in points if point.place > self.held)
        for call in points_in_calls(new):
            place = call[-1].place
            self._store.log(self.run_id, points=call, tags={PLACE_TAG: place_text(place)})
            self.held = place

    def put_best(self, points: Iterable[Point]) -> None:
        for call in points_in_calls(points):
            self._store.log(self.run_id, points=call)

    def put_params(self, params: dict[str, str]) -> None:
        """MLflow never changes a param; what is said later of a known one becomes a tag."""
        new = {name: value for name, value in params.items() if name not in self._params}
        for call in pairs_in_calls(new):
            self._put_params(call)
        self.put_tags(
            {
                f"changed/{name}": _cut(value, MAX_TEXT_CHARS)
                for name, value in params.items()
                if name not in new and self._is_changed(name, value)
            }
        )
        self._params |= new

    def _is_changed(self, name: str, value: str) -> bool:
        known = self._params[name]
        is_same = value == known or any(_cut(value, most) == known for most in _PARAM_CHARS)
        return not is_same or f"changed/{name}" in self._tags

    def _put_params(self, params: dict[str, str]) -> None:
        """A param that MLflow does not take must not cost the run its points."""
        refusal = ""
        for most in _PARAM_CHARS:
            cut = {name: _cut(value, most) for name, value in params.items()}
            try:
                self._store.log(self.run_id, params=cut)
                return
            except BatchRejected as error:
                refusal = str(error)
        if len(params) == 1:
            logger.warning("Param %s was not taken: %s", *params, refusal)
            return
        for name, value in params.items():
            self._put_params({name: value})

    def put_tags(self, tags: dict[str, str]) -> None:
        new = {name: value for name, value in tags.items() if self._tags.get(name) != value}
        for call in pairs_in_calls(new):
            self._store.log(self.run_id, tags=call)
        self._tags |= new

    def put_files(self, files: Iterable[File]) -> None:
        for file in files:
            self._store.put_file(self.run_id, file)
            if file.is_picture:
                self.put_tags({_PICTURES_TAG: "True"})
            elif file.is_table and file.path not in self._tables:
                self._tables.append(file.path)
                self.put_tags({_TABLES_TAG: self._list_of_tables()})

    def _list_of_tables(self) -> str:
        """What makes MLflow's pages show a file as a table: the newest ones, as many as a tag holds."""
        while True:
            text = json.dumps([{"path": path, "type": "table"} for path in self._tables])
            if len(text) <= MAX_TEXT_CHARS:
                return text
            del self._tables[0]

    def set_status(self, status: str, ended_ms: int) -> None:
        self._store.set_status(self.run_id, status, ended_ms)


def place_text(place: Place) -> str:
    return f"{place.row}+{place.value}"


def place_in(text: str | None) -> Place:
    """The beginning for what is no place."""
    row, _, value = (text or "").partition("+")
    return Place(int(row), int(value)) if row.isdecimal() and value.isdecimal() else Place()


def _paths(text: str) -> list[str]:
    try:
        return [str(table["path"]) for table in json.loads(text)]
    except (ValueError, KeyError, TypeError):
        return []


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
