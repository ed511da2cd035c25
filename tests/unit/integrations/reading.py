"""What a run left, read back by the store as a user would: offline runs are brought in first."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exptrack_daemon import supervisor
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Event
from exptrack_daemon.store import Point, RunView, open_home
from exptrack_daemon.store.journals import walk_all


@dataclass
class Kept:
    """Everything that stands in the journal of one run."""

    view: RunView
    points: list[Point]
    items: list[Any] = field(default_factory=list)

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.view.facts.run.config)

    @property
    def summary(self) -> dict[str, Any]:
        return self.view.facts.summary

    @property
    def names(self) -> set[str]:
        return {point.name for point in self.points}

    def series(self, name: str) -> list[tuple[int, Any]]:
        """(step, value) of one metric, in the order of the journal."""
        return [(point.step, point.value) for point in self.points if point.name == name]

    def media(self, kind: str, name: str | None = None) -> list[Any]:
        """Items of a kind, such as "Image", perhaps of one name."""
        found = [item for item in self.items if type(item).__name__ == kind]
        return [item for item in found if name is None or item.name == name]

    def texts(self, name: str) -> list[str]:
        return [item.text for item in self.media("TextItem", name)]

    def table(self, name: str) -> tuple[list[str], list[list[Any]]]:
        (item,) = self.media("Table", name)
        return item.columns, json.loads(item.rows)


def recovered(home: Path) -> list[Kept]:
    """All runs of a home, the oldest first, once what dead or offline trainers left is brought in."""
    supervisor.recover(home)
    return [kept(home, view) for view in reversed(open_home(home).runs())]


def kept(home: Path, view: RunView) -> Kept:
    reader = open_home(home)
    entries = walk_all(OsFiles(), Home(home), view.id).entries()
    items = [entry.item for _, entry in entries if isinstance(entry, Event)]
    return Kept(view, list(reader.points(view)), items)
