"""How long does a page of the run list take, when the home holds very many runs?

All of them have ended and stand in the catalogue, with 20 metrics and 12 keys of configuration. A question is
asked as the command line and the web UI ask it: filtered by a metric and a tag, sorted by another metric, 100
rows with five columns. Set against a SELECT that somebody would write by hand for this very question, on the
same catalogue, by turns. The first question also opens the home.
"""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.harness import Plan, main
from benchmarks.homes import temporary_home
from benchmarks.results import Goal, Report
from exptrack_daemon.clock import SystemClock
from exptrack_daemon.files import OsAppendFile, OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.writer import Journal, JournalConfig
from exptrack_daemon.store import open_home
from exptrack_daemon.store.catalog import open_writing
from exptrack_daemon.store.catalog_rows import Saved, save
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.frame import parse
from exptrack_proto.records import Close, Open, Row

QUESTION = "How long does a page of the run list take?"
PAGE, SELECT = "page of 100: metric and tag", "plain SELECT of the same"
CONFIG, ALL, LIST = "page of 100: config key", "all rows, no filter", "page of 100, no filter"
GOALS = [
    Goal(measure=PAGE, at_most=50, baseline=SELECT),
    Goal(measure=CONFIG, at_most=50, baseline=SELECT),
    Goal(measure=LIST, at_most=50, baseline=SELECT),
]
COLUMNS = ("loss", "val/accuracy", "metric/3", "config.lr", "config.optimizer.name")
_PLAIN = """
SELECT r.id, r.name, r.project, r.status, r.created_ns, r.updated_ns, r.last_step, r.rows, r.points,
  loss.value, accuracy.value, third.value, r.config
FROM runs r
JOIN summary loss ON loss.run = r.id AND loss.kind = 'rank0' AND loss.name = 'loss'
LEFT JOIN summary accuracy
  ON accuracy.run = r.id AND accuracy.kind = 'rank0' AND accuracy.name = 'val/accuracy'
LEFT JOIN summary third ON third.run = r.id AND third.kind = 'rank0' AND third.name = 'metric/3'
WHERE CAST(loss.value AS REAL) < 0.5
  AND EXISTS (SELECT 1 FROM json_each(r.tags) WHERE json_each.value = 'baseline')
ORDER BY CAST(accuracy.value AS REAL) DESC LIMIT 100
"""


def run(plan: Plan, report: Report) -> None:
    runs, repeats = plan.pick(10_000, 1_000), plan.pick(15, 5)
    with temporary_home() as home:
        plan.say(f"making {runs:,} runs")
        fill(home, runs)
        for repeat in range(repeats):
            plan.say(f"repeat {repeat + 1} of {repeats}")
            for name, ask in questions(home).items():
                begun = time.perf_counter()
                ask()
                report.add(name, "ms", (time.perf_counter() - begun) * 1_000)
    report.notes.append(f"{runs:,} runs, {runs * 20:,} last values")


def questions(home: Home) -> dict[str, Callable[[], Any]]:
    def page(filter_: str, sort: str = "-created", limit: int | None = 100) -> Any:
        return open_home(home.path).query(filter_, sort, COLUMNS, limit=limit)

    return {
        PAGE: lambda: page("loss<0.5 and tag:baseline", "-val/accuracy"),
        SELECT: lambda: plain(home),
        CONFIG: lambda: page("config.lr>=1e-3 and not project:p1", "loss"),
        LIST: lambda: page(""),
        ALL: lambda: page("", limit=None),
        "names of all columns": open_home(home.path).column_names,
    }


def plain(home: Home) -> list[Any]:
    """The same question, by hand."""
    with closing(sqlite3.connect(f"file:{home.catalog}?mode=ro", uri=True)) as connection:
        rows = connection.execute(_PLAIN).fetchall()
    return [(*row[:-1], json.loads(row[-1])) for row in rows]


class UnsyncedFile(OsAppendFile):
    """What a benchmark makes in its thousands need not survive a power cut."""

    def sync(self) -> None:
        pass


class UnsyncedFiles(OsFiles):
    def open_append(self, path: Path) -> UnsyncedFile:
        return UnsyncedFile(path)

    def sync_directory(self, path: Path) -> None:
        pass


def fill(home: Home, runs: int) -> None:
    """Runs with journals of a few hundred bytes, and the catalogue's sink's lines of all of them."""
    dice, files, clock = random.Random(7), UnsyncedFiles(), SystemClock()
    for number in range(runs):
        run_id = f"run{number:05d}"
        journal = Journal(files, home.journal(run_id), run_id, clock, JournalConfig())
        for frame in frames(run_id, number, dice):
            journal.append(parse(frame), frame)
        journal.close()
    catalogue(home)


def frames(run_id: str, number: int, dice: random.Random) -> list[bytes]:
    stream = number.to_bytes(16, "big")
    begun_ns = 1_700_000_000_000_000_000 + number * 1_000_000_000
    config: dict[str, Any] = {f"option_{at}": dice.random() for at in range(9)}
    config |= {"lr": 10 ** dice.uniform(-5, -1), "optimizer": {"name": "adam", "eps": 1e-8}}
    values = {f"metric/{at}": dice.random() for at in range(18)}
    values |= {"loss": dice.random(), "val/accuracy": dice.random()}
    opened = Open(
        time_ns=begun_ns,
        project=f"p{number % 5}",
        name=f"net-{number}",
        tags=["baseline"] if number % 3 else ["wide", "baseline"],
        config=json.dumps(config),
    )
    return [
        encode_item(run_id, stream, 0, opened),
        encode_rows(run_id, stream, 1, [Row(100, begun_ns + 60_000_000_000, values)]),
        encode_item(run_id, stream, 2, Close(time_ns=begun_ns + 61_000_000_000, status="finished")),
    ]


def catalogue(home: Home) -> None:
    connection, _ = open_writing(home)
    with closing(connection):
        connection.execute("PRAGMA synchronous=OFF")
        reader = open_home(home.path)
        for run_id in reader.run_ids():
            save(connection, reader.view(run_id).facts, Saved())


if __name__ == "__main__":
    main(__file__)
