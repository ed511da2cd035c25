"""Counting one run in the journal and in each sink, each by its own reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Event, Rows
from exptrack_daemon.store import open_home
from exptrack_daemon.store.audit import read_store
from exptrack_daemon.store.journals import walk_all
from exptrack_proto.records import Histogram, Image, Table, TextItem

_MEDIA = (Histogram, Image, Table, TextItem)


@dataclass(frozen=True, slots=True)
class Tally:
    """What stands in one place; None: that place does not tell."""

    where: str
    rows: int | None
    points: int | None
    media: int | None
    note: str = ""

    def agrees_with(self, other: Tally) -> bool:
        """Whether all numbers that both have are equal."""
        pairs = ((self.rows, other.rows), (self.points, other.points), (self.media, other.media))
        return not self.note and all(a == b for a, b in pairs if a is not None and b is not None)


def tally_of(home: Path, run_id: str) -> list[Tally]:
    """The run as it stands in journal, catalogue, store, TensorBoard and W&B."""
    return [
        _journal(home, run_id),
        _catalog(home, run_id),
        _store(home, run_id),
        _tensorboard(home, run_id),
        _wandb(home, run_id),
    ]


def _journal(home: Path, run_id: str) -> Tally:
    rows = points = media = 0
    for _, entry in walk_all(OsFiles(), Home(home), run_id).entries():
        if isinstance(entry, Rows) and entry.stream.role == "trainer":
            rows += len(entry.rows)
            points += sum(len(row.values) for row in entry.rows)
        elif isinstance(entry, Event) and isinstance(entry.item, _MEDIA):
            media += 1
    return Tally("journal (durable)", rows, points, media)


def _catalog(home: Path, run_id: str) -> Tally:
    facts = open_home(home).find(run_id).facts
    return Tally("catalogue", facts.rows, facts.points, None)


def _store(home: Path, run_id: str) -> Tally:
    audit = read_store(open_home(home), run_id)
    if audit is None:
        return Tally("store (Parquet)", None, 0, None, "no parts")
    points = sum(count for (role, *_), count in audit.held.items() if role == "trainer")
    return Tally("store (Parquet)", None, points, None, audit.problem)


def _tensorboard(home: Path, run_id: str) -> Tally:
    from exptrack_daemon.sinks.tensorboard.folders import find_folder
    from exptrack_daemon.sinks.tensorboard.readback import event_files, read_events

    folder = find_folder(Home(home).tensorboard, open_home(home).find(run_id).facts.run)
    if folder is None:
        return Tally("TensorBoard files", 0, 0, 0, "no folder")
    rows = points = media = 0
    for event in (event for path in event_files(folder) for event in read_events(path)):
        values = [value for value in event.summary.value if not _is_beside(value.tag)]
        scalars = [value for value in values if value.WhichOneof("value") == "simple_value"]
        rows += bool(scalars)
        points += len(scalars)
        media += len(values) - len(scalars)
    return Tally("TensorBoard files", rows, points, media)


def _is_beside(tag: str) -> bool:
    """What the sink writes beside what was logged: hyperparameters, captions."""
    return tag.startswith(("_hparams_/", "hparam")) or tag.endswith("/caption")


def _wandb(home: Path, run_id: str) -> Tally:
    """The `.wandb` log: one line a row or media item; the sampler's lines do not count here."""
    from exptrack_daemon.sinks.wandb.offline_log import LogFile, line_of
    from exptrack_daemon.sinks.wandb.readback import fragments_of

    rows = points = media = 0
    lines: list[int] = []
    for path in fragments_of(Home(home).run(run_id) / "wandb"):
        for record in LogFile(path).read_on():
            number = line_of(record)
            if number is None:
                continue
            lines.append(number)
            values, objects = _values_of(record.history)
            rows += values > 0
            points += values
            media += objects
    note = (
        ""
        if len(lines) == len(set(lines)) == max(lines, default=-1) + 1
        else "lines doubled or missing"
    )
    return Tally("W&B (offline)", rows, points, media, note)


def _values_of(history: Any) -> tuple[int, int]:
    """Numbers and media objects in one history line of the training's own metrics."""
    from exptrack_daemon.sinks.wandb.names import OWN_STEP, STEP, TIMESTAMP

    own = {"_step", "_runtime", TIMESTAMP, STEP, OWN_STEP}
    numbers: set[str] = set()
    objects: set[str] = set()
    for item in history.item:
        name = item.nested_key[0] if item.nested_key else item.key
        if name in own or name.startswith("system/"):
            continue
        is_object = len(item.nested_key) > 1 or item.value_json.startswith("{")
        (objects if is_object else numbers).add(name)
    return len(numbers), len(objects)
