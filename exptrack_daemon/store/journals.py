"""Walking a run's journal for readers: entries from any known facts on, to the durable end.

A frame that does not decode is passed over and reported: a reader shows what there is. `verify` judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from exptrack_daemon.files import Files
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Entry, RunInfo
from exptrack_daemon.journal.position import START, Position
from exptrack_daemon.journal.reader import (
    Found,
    JournalReader,
    read_header,
    segment_numbers,
)
from exptrack_daemon.journal.replay import Replay
from exptrack_daemon.store.facts import RunFacts, fresh, take_info
from exptrack_proto.errors import ProtocolError

_FIRST_BYTES = 256 * 1024


@dataclass(slots=True)
class Walk:
    """One pass over a journal, from `position` on; may be continued when more has come."""

    reader: JournalReader
    replay: Replay
    position: Position = START
    flaws: list[str] = field(default_factory=list)

    def entries(self) -> Iterator[tuple[Found, Entry | None]]:
        """Everything up to the journal's durable end; None for a frame that is no entry of its own."""
        for reading in self.reader.read_all(self.position):
            self.flaws += [
                f"segment {flaw.segment}, bytes {flaw.offset} to {flaw.end}: {flaw.reason}"
                for flaw in reading.flaws
            ]
            for found in reading.frames:
                yield found, self._entry(found)
                self.position = found.end
            self.position = reading.next

    def _entry(self, found: Found) -> Entry | None:
        try:
            return self.replay.entries(found)
        except ProtocolError as error:
            self.flaws.append(f"frame {found.start.record} does not decode: {error}")
            return None


def walk_from(files: Files, home: Home, facts: RunFacts) -> Walk:
    """A walk that goes on where the facts end."""
    run_id = facts.run.run_id
    walk = walk_all(files, home, run_id)
    streams = facts.streams.values()
    walk.replay.run = facts.run
    walk.replay.streams = {bytes.fromhex(s.stream.stream_id): s.stream for s in streams}
    walk.replay.closed = {bytes.fromhex(s.stream.stream_id) for s in streams if s.status != "open"}
    walk.position = facts.position
    return walk


def walk_all(files: Files, home: Home, run_id: str) -> Walk:
    """A walk over the whole journal."""
    return Walk(JournalReader(files, home.journal(run_id), run_id), Replay(run_id))


def fold_tail(files: Files, home: Home, facts: RunFacts, until: int | None = None) -> list[str]:
    """Fold what stands in the journal after the facts' position (before frame `until`); its flaws."""
    walk = walk_from(files, home, facts)
    for found, entry in walk.entries():
        if until is not None and found.start.record >= until:
            return walk.flaws
        if entry is not None:
            fold_entry(facts, entry, walk.replay.run)
        facts.position = found.end
    if until is None:
        facts.position = walk.position
    return walk.flaws


def fold_entry(facts: RunFacts, entry: Entry, run: RunInfo) -> None:
    """Fold one entry of a run that calls itself `run`."""
    take_info(facts, run)
    facts.fold(entry)


def first_info(files: Files, home: Home, run_id: str) -> RunInfo:
    """What a run is, from the beginning of its journal alone."""
    reader = JournalReader(files, home.journal(run_id), run_id)
    replay = Replay(run_id)
    position = START
    while replay.run.created_ns == 0:
        reading = reader.read(position, _FIRST_BYTES)
        for found in reading.frames:
            try:
                replay.entries(found)
            except ProtocolError:
                continue  # the next frame may still say what the run is
        if not reading.frames:
            break
        position = reading.next
    return replay.run


def walk_last_rows(files: Files, home: Home, facts: RunFacts, rows: int) -> Walk:
    """A walk that begins early enough to meet the last `rows` rows, at a segment's start.

    A segment's header names the streams that were known before it, so the walk knows who is writing.
    """
    run_id = facts.run.run_id
    directory = home.journal(run_id)
    wanted = max(0, facts.position.rows - rows)
    for number in reversed(segment_numbers(files, directory)):
        segment = read_header(files, directory, run_id, number)
        if segment is None or segment.header.rows > wanted:
            continue
        known = {stream.hex() for stream, _, _ in segment.header.streams}
        before = fresh(run_id)
        before.run = facts.run
        before.streams = {key: facts.streams[key] for key in facts.streams if key in known}
        before.position = Position(number, 0, segment.header.record, segment.header.rows)
        return walk_from(files, home, before)
    return walk_all(files, home, run_id)
