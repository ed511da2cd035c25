"""An intake's desk on a real folder, frames as a trainer would send them, and what the journal then says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from exptrack_daemon.files import Files, OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.intake.desk import Desk
from exptrack_daemon.journal.entries import Event, Rows
from exptrack_daemon.journal.reader import JournalReader
from exptrack_daemon.journal.replay import Replay
from exptrack_daemon.journal.writer import JournalConfig
from exptrack_daemon.live import LiveStreams
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.records import Close, Item, Loss, Open, Row
from tests.support.clocks import FakeClock

RUN = "run1"
STREAM = b"stream-number-01"


def make_desk(home: Path, files: Files | None = None) -> Desk:
    files = files or OsFiles()
    where = Home(home)
    return Desk(
        home=where,
        files=files,
        clock=FakeClock(),
        config=JournalConfig(),
        live=LiveStreams(files, where.live),
    )


def opened(run: str = RUN, stream: bytes = STREAM, **fields: object) -> bytes:
    """Item 0 of a trainer's stream."""
    fields = {"project": "p", "name": run, "host": "here", "pid": 1} | fields
    return encode_item(run, stream, 0, Open(time_ns=1, **fields))  # type: ignore[arg-type]


def rows(first: int, count: int, run: str = RUN, stream: bytes = STREAM) -> bytes:
    """Rows whose step is their sequence."""
    return encode_rows(
        run, stream, first, [Row(n, n, {"a": n}) for n in range(first, first + count)]
    )


def item(sequence: int, what: Item, run: str = RUN, stream: bytes = STREAM) -> bytes:
    return encode_item(run, stream, sequence, what)


def closed(sequence: int, run: str = RUN, stream: bytes = STREAM) -> bytes:
    return item(sequence, Close(time_ns=2, status="finished", exit_code=0), run, stream)


@dataclass
class Told:
    """What a run's journal says."""

    steps: list[int] = field(default_factory=list)
    values: list[dict[str, object]] = field(default_factory=list)
    losses: list[tuple[int, int, str]] = field(default_factory=list)
    closes: list[str] = field(default_factory=list)
    sequences: list[tuple[str, int]] = field(default_factory=list)
    replay: Replay = field(default_factory=lambda: Replay(RUN))


def read_back(home: Path, run: str = RUN) -> Told:
    """Replay the run's durable journal from its beginning."""
    told = Told(replay=Replay(run))
    for reading in JournalReader(OsFiles(), Home(home).journal(run), run).read_all():
        assert not reading.flaws
        for found in reading.frames:
            entry = told.replay.entries(found)
            if isinstance(entry, Rows):
                told.steps += [row.step for row in entry.rows]
                told.values += [row.values for row in entry.rows]
                told.sequences += [
                    (entry.stream.stream_id, entry.first + n) for n in range(len(entry.rows))
                ]
            elif isinstance(entry, Event):
                told.sequences.append((entry.stream.stream_id, entry.sequence))
                if isinstance(entry.item, Loss):
                    told.losses.append((entry.item.first, entry.item.last, entry.item.reason))
                elif isinstance(entry.item, Close):
                    told.closes.append(entry.item.status)
    return told
