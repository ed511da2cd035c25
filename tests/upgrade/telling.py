"""What a home says when it is opened: digests of every row, by each way there is to read them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.intake.recovery import find_remains, recover
from exptrack_daemon.journal.cursor import load_cursor
from exptrack_daemon.journal.entries import Rows
from exptrack_daemon.journal.reader import JournalReader
from exptrack_daemon.journal.replay import Replay
from exptrack_daemon.store import open_home
from exptrack_daemon.store.verify import verify_run
from tests.support.desks import make_desk
from tests.support.readback import tensorboard_steps


def told_by(home: Path) -> dict[str, Any]:
    """Bring in what dead trainers left, then read everything. JSON values; the home is changed by it."""
    desk = make_desk(home)
    remains = find_remains(Home(home))
    recovered = [
        list(recover(desk, one, lambda: bool(desk.commit()) or True))[-1] for one in remains
    ]
    desk.close()
    runs = sorted(path.name for path in Home(home).runs.iterdir())
    return {
        "recovered": [[one.streams, one.rows, one.is_done] for one in recovered],
        "runs": {run: _run(home, run) for run in runs},
    }


def _run(home: Path, run: str) -> dict[str, Any]:
    reader = open_home(home)
    view = reader.find(run)
    cursors = {
        name: load_cursor(OsFiles(), Home(home).cursor(run, name)) for name in reader.sinks_of(run)
    }
    names = sorted({point.name for point in reader.points(view)})
    series = {
        (rank, name): found
        for rank in (0, 1)
        for name, found in reader.series(view, names, rank=rank).items()
        if len(found)
    }
    return {
        "entries": _digest(_entries(home, run)),
        "points": _digest(map(repr, reader.points(view))),
        "series": _digest(
            f"{key} {found.steps.tolist()} {found.values.tolist()}"
            for key, found in sorted(series.items())
        ),
        "cursors": {
            name: [list(one.position), one.rows, one.ended] for name, one in cursors.items()
        },
        "facts": [
            view.run.name,
            view.run.project,
            view.facts.rows,
            view.facts.values.user,
            view.run.config,
        ],
        "ledger": [[loss.first, loss.last, loss.reason] for loss in reader.ledger(view)],
        "tensorboard": _shown(home, run),
        "problems": list(verify_run(reader, run).problems),
    }


def _entries(home: Path, run: str) -> Iterable[str]:
    replay = Replay(run)
    for reading in JournalReader(OsFiles(), Home(home).journal(run), run).read_all():
        assert not reading.flaws
        for found in reading.frames:
            entry = replay.entries(found)
            if isinstance(entry, Rows):
                for number, row in enumerate(entry.rows, entry.first):
                    yield f"{entry.stream.stream_id} {number} {row.step} {row.time_ns} {row.values!r}"
            elif entry is not None:
                item = msgspec.to_builtins(entry.item)
                yield f"{entry.stream.stream_id} {entry.sequence} {item!r}"


def _shown(home: Path, run: str) -> list[list[int]]:
    folder = Home(home).path / "tensorboard" / "demo" / run
    if not folder.is_dir():
        return []
    return [list(pair) for pair in sorted(tensorboard_steps(folder, "loss").items())][:3]


def _digest(lines: Iterable[str]) -> str:
    """How many lines, and a checksum of them all."""
    total, count = hashlib.sha256(), 0
    for count, line in enumerate(lines, 1):  # noqa: B007  # the number of the last one is wanted
        total.update(line.encode() + b"\n")
    return f"{count} {total.hexdigest()[:32]}"
