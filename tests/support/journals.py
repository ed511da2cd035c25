"""Journals in memory: frames that say which they are, and what a reader gives back of them."""

from __future__ import annotations

from exptrack_daemon.files import Files
from exptrack_daemon.journal.position import START, Position
from exptrack_daemon.journal.reader import Flaw, Found, JournalReader
from exptrack_daemon.journal.writer import Journal, JournalConfig
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.frame import parse
from exptrack_proto.records import Close, Open, Row
from tests.support.homes import TurnedClock
from tests.support.memory_files import RUNS

RUN = "run-1"
STREAM = b"stream-of-16-byt"
DIRECTORY = RUNS / RUN / "journal"


def rows_frame(first: int, count: int = 1, *, stream: bytes = STREAM, pad: int = 0) -> bytes:
    """A frame of rows that begin at sequence `first`."""
    rows = [Row(first + i, 0, {"n": first + i, "pad": "x" * pad}) for i in range(count)]
    return encode_rows(RUN, stream, first, rows)


def open_frame(stream: bytes = STREAM, **fields: object) -> bytes:
    values: dict[str, object] = {"time_ns": 1, "project": "p", "name": "n"}
    return encode_item(RUN, stream, 0, Open(**values | fields))  # type: ignore[arg-type]


def close_frame(sequence: int, stream: bytes = STREAM) -> bytes:
    return encode_item(RUN, stream, sequence, Close(time_ns=1, status="finished"))


def open_journal(files: Files, *, segment_bytes: int = 1 << 20, run_id: str = RUN) -> Journal:
    """The journal; with segments smaller than a config allows, where a test asks for them."""
    config = JournalConfig()
    object.__setattr__(config, "segment_bytes", segment_bytes)
    return Journal(files, DIRECTORY, run_id, TurnedClock(), config)


def append(journal: Journal, *frames: bytes) -> None:
    for data in frames:
        journal.append(parse(data), data)


def commit(journal: Journal, *frames: bytes) -> None:
    append(journal, *frames)
    journal.commit()


def read_found(
    files: Files, position: Position = START, max_bytes: int = 1 << 22
) -> tuple[list[Found], list[Flaw], Position]:
    """Everything that a new reader finds from `position` on."""
    reader = JournalReader(files, DIRECTORY, RUN)
    found: list[Found] = []
    flaws: list[Flaw] = []
    while True:
        reading = reader.read(position, max_bytes)
        found += reading.frames
        flaws += reading.flaws
        position = reading.next
        if not reading.frames:
            return found, flaws, position


def read_frames(files: Files, position: Position = START, max_bytes: int = 1 << 22) -> list[bytes]:
    """The frames of a journal that has no flaw, whose ordinals are checked."""
    found, flaws, _ = read_found(files, position, max_bytes)
    assert flaws == []
    rows = position.rows
    for record, item in enumerate(found, position.record):
        frame = parse(item.frame)
        assert (item.start.record, item.end.record) == (record, record + 1)
        assert item.start.rows == rows
        rows += frame.items if frame.kind.name == "ROWS" else 0
        assert item.end.rows == rows
    return [bytes(item.frame) for item in found]
