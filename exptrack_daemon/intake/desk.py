"""The intake's desk: what is done with each frame. No sockets: bytes in, journals written, acks to give.

For every stream the journal wants the next sequence. A frame that begins there is appended; one that was seen
is acknowledged again; one that begins later is left (the trainer sends it again, in order). A frame that does
not decode is kept as far as it does, and what is refused becomes a ledger entry in its place, so that a bug
in one value never holds up a stream and never loses a neighbour.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from exptrack_daemon.clock import Clock
from exptrack_daemon.errors import JournalNewer
from exptrack_daemon.files import Files
from exptrack_daemon.home import Home
from exptrack_daemon.journal.writer import Journal, JournalConfig, StreamEnd
from exptrack_daemon.live import LiveStreams
from exptrack_proto.codec import Body, decode, encode_item, pack_frames, salvage
from exptrack_proto.errors import Malformed, ProtocolError
from exptrack_proto.frame import Frame, Kind, parse
from exptrack_proto.records import Close, Loss, Open

logger = logging.getLogger(__name__)

_MOST_JOURNALS = 256
_SAMPLE = "frame-"
_MOST_SAMPLES = 64
_SAMPLE_BYTES = 64 * 1024
_REASON_CHARS = 300
_MOST_SYNCS = 8


@dataclass(slots=True)
class Counters:
    """What the intake did since it started."""

    frames: int = 0
    rows: int = 0
    points: int = 0
    bytes: int = 0
    seen_before: int = 0
    out_of_order: int = 0
    useless_bytes: int = 0
    """Of frames seen before, that came too early, or that were left."""
    left: int = 0
    """Frames beyond what a trainer may have under way; it sends them again."""
    rejected: int = 0
    commits: int = 0
    disk_errors: int = 0


@dataclass(slots=True)
class Desk:
    """Takes frames for all runs of a home."""

    home: Home
    files: Files
    clock: Clock
    config: JournalConfig
    live: LiveStreams
    counters: Counters = field(default_factory=Counters)
    notices: dict[bytes, str] = field(default_factory=dict)
    """By stream: a word for its user, not told yet."""
    to_answer: set[tuple[str, bytes]] = field(default_factory=set)
    """(run, stream) whose trainer should hear how far we are."""
    uncommitted_bytes: int = 0
    samples_full: bool = False
    """The quarantine holds as many rejected frames as it may."""
    asked_sinks: set[str] = field(default_factory=set)
    """Sinks that some run asked for by name since the start, or was asking for before."""
    disk_trouble: str = ""
    """Why the last try to write something failed, or ""."""
    _journals: dict[str, Journal] = field(default_factory=dict)
    _unsynced: set[str] = field(default_factory=set)
    _closing: list[tuple[str, bytes]] = field(default_factory=list)
    """(run, stream) whose `close` is taken and not committed."""
    _let_go: dict[str, int] = field(default_factory=dict)
    """Runs committed on the side since the last commit, with their rows."""
    _syncers: ThreadPoolExecutor | None = None
    _refused: dict[str, str] = field(default_factory=dict)
    """Runs whose journal this version must not touch, and why."""

    def __post_init__(self) -> None:
        self.asked_sinks.update(name for live in self.live.all() for name in live.sinks)

    def take(self, data: bytes) -> None:
        """Take one frame as it came from the wire."""
        frame = self.read(data)
        if frame is not None:
            self.put(frame, data)

    def read(self, data: bytes) -> Frame | None:
        """The header of what came from the wire; None, and counted, when it is no frame."""
        try:
            frame = parse(data)
        except ProtocolError as error:
            self._reject(data, error)
            return None
        self.counters.bytes += len(data)
        return frame

    def put(self, frame: Frame, data: bytes) -> bool:
        """Take a frame whose header is right; False when the run's journal cannot take it now."""
        if frame.first == 0:
            self._forget_removed(frame.run_id)
        try:
            self._put(self.journal(frame.run_id), frame, data)
        except (OSError, JournalNewer) as error:
            return self._refuse(frame.run_id, frame.stream, error)
        return True

    def is_next(self, frame: Frame) -> bool:
        """Whether a frame begins where its stream ends, as far as that is known without opening a journal."""
        journal = self._journals.get(frame.run_id)
        return journal is None or frame.first == journal.streams.get(frame.stream, StreamEnd()).next

    def resync(
        self, run_id: str, stream: bytes, first: int, reason: str = "no longer held by the trainer"
    ) -> bool:
        """The trainer has nothing before `first` any more: what is missing until there is lost."""
        try:
            journal = self.journal(run_id)
            end = journal.streams.get(stream)
            if end is None and first > 0:
                self._append(journal, encode_item(run_id, stream, 0, self._unknown_open(run_id)))
                end = journal.streams[stream]
            if end is not None and end.next < first:
                self._lose(journal, run_id, stream, end.next, first - 1, reason)
        except (OSError, JournalNewer) as error:
            return self._refuse(run_id, stream, error)
        return True

    def close_crashed(self, run_id: str, stream: bytes) -> bool:
        """Write the `close` that a dead trainer could not."""
        try:
            journal = self.journal(run_id)
            end = journal.streams.get(stream)
            if end is None or end.closed:
                self.live.remove(stream)
                return True
            close = Close(time_ns=self.clock.now_ns(), status="crashed")
            self._append(journal, encode_item(run_id, stream, end.next, close))
        except (OSError, JournalNewer) as error:
            return self._refuse(run_id, stream, error)
        logger.info("Run %s: a trainer is gone without finishing; marked as crashed.", run_id)
        return True

    def commit(self) -> dict[str, int]:
        """Make everything taken durable; returns the runs that have news for the sinks, and their rows."""
        self.uncommitted_bytes = 0
        changed, self._let_go = self._let_go, {}
        for run_id, error in self._sync(list(self._unsynced)):
            if error is not None:
                self._trouble(run_id, error)
                continue
            self._committed(run_id, self._journals[run_id])
            changed[run_id] = self._journals[run_id].position.rows
        if changed:
            self.counters.commits += 1
        self.live.save()
        return changed

    def is_full(self, most_bytes: int) -> bool:
        """Whether so much waits for a commit, on average in each journal that would have to be synced."""
        return self.uncommitted_bytes >= most_bytes * max(1, len(self._unsynced))

    def durable(self, run_id: str, stream: bytes) -> int:
        """The sequence before which all of a stream is durable."""
        try:
            return self.journal(run_id).durable.get(stream, 0)
        except (OSError, JournalNewer) as error:
            self._refuse(run_id, stream, error)
            return 0

    def is_closed(self, run_id: str, stream: bytes) -> bool:
        """Whether all of a stream, its `close` included, is durable."""
        journal = self._journals.get(run_id)
        end = journal.streams.get(stream) if journal is not None else None
        if journal is None or end is None:
            return False
        return end.closed and journal.durable.get(stream, 0) == end.next

    def expected(self, run_id: str, stream: bytes) -> StreamEnd:
        """Where a stream stands in its journal, commits or not."""
        return self.journal(run_id).streams.get(stream, StreamEnd())

    def close(self) -> None:
        """Commit and release all journals."""
        self.commit()
        for run_id, journal in self._journals.items():
            try:
                journal.close()
            except OSError as error:
                self._trouble(run_id, error)
        self._journals.clear()
        if self._syncers is not None:
            self._syncers.shutdown()
            self._syncers = None

    def journal(self, run_id: str) -> Journal:
        """The run's journal, opened (and recovered) on first use; the longest unused is let go.

        Raises:
            OSError: the disk cannot be read or written.
            JournalNewer: a newer exptrack wrote it.
        """
        journal = self._journals.pop(run_id, None)
        if journal is None:
            journal = self._open(run_id)
            if len(self._journals) >= _MOST_JOURNALS:
                self._let_go_of_one()
        self._journals[run_id] = journal
        return journal

    def _sync(self, runs: list[str]) -> Iterator[tuple[str, OSError | None]]:
        """Commit journals; several at once, since a file system makes many syncs durable in one go."""

        def commit(run_id: str) -> tuple[str, OSError | None]:
            try:
                self._journals[run_id].commit()
            except OSError as error:
                return run_id, error
            return run_id, None

        if len(runs) < 2:
            return map(commit, runs)
        if self._syncers is None:
            self._syncers = ThreadPoolExecutor(_MOST_SYNCS, "sync")
        return self._syncers.map(commit, runs)

    def _open(self, run_id: str) -> Journal:
        if run_id in self._refused:
            raise JournalNewer(self._refused[run_id])
        try:
            return Journal(self.files, self.home.journal(run_id), run_id, self.clock, self.config)
        except (JournalNewer, ProtocolError) as error:
            self._refused[run_id] = str(error)
            logger.error("Run %s takes no rows: %s.", run_id, error)  # noqa: TRY400  # the message says it
            raise JournalNewer(str(error)) from error

    # --- one frame ------------------------------------------------------------------------------

    def _put(self, journal: Journal, frame: Frame, data: bytes) -> None:
        end = journal.streams.get(frame.stream, StreamEnd())
        self.to_answer.add((frame.run_id, frame.stream))
        if frame.end <= end.next:
            self.counters.seen_before += 1
            self.counters.useless_bytes += len(data)
            return
        if frame.first < end.next:
            self._put_rest(journal, frame, end.next)
            return
        if frame.first > end.next and frame.kind is not Kind.EVENT:
            self.counters.out_of_order += 1
            self.counters.useless_bytes += len(data)
            return
        try:
            body = decode(frame)
        except Malformed as error:
            if frame.first == end.next:
                self._salvage(journal, frame, error)
            return
        if frame.first > end.next and not _fills_the_gap(body, frame.first, end.next):
            self.counters.out_of_order += 1
            return
        self._append(journal, data, frame)
        if isinstance(body, Open):
            self.live.add(frame, body)
            self.asked_sinks.update(body.sinks or ())
        elif isinstance(body, list):
            self.counters.rows += len(body)
            self.counters.points += sum([len(row.values) for row in body])

    def _append(self, journal: Journal, data: bytes, frame: Frame | None = None) -> None:
        frame = frame or parse(data)
        journal.append(frame, data)
        if frame.kind is Kind.CLOSE:
            self._closing.append((frame.run_id, frame.stream))
        self.counters.frames += 1
        self.uncommitted_bytes += len(data)
        self._unsynced.add(frame.run_id)
        self.to_answer.add((frame.run_id, frame.stream))

    def _put_rest(self, journal: Journal, frame: Frame, sequence: int) -> None:
        """A frame of which the first rows are known: take the others."""
        try:
            rows = [row for number, row, _ in salvage(frame) if number >= sequence]
        except Malformed as error:
            self._salvage(journal, frame, error)
            return
        for data in pack_frames(frame.run_id, frame.stream, sequence, rows):
            self._put(journal, parse(data), data)

    def _salvage(self, journal: Journal, frame: Frame, error: Malformed) -> None:
        """Keep the rows that are right; put a ledger entry in the place of each that is not."""
        run_id, stream = frame.run_id, frame.stream
        self.counters.rejected += 1
        try:
            rows = list(salvage(frame)) if frame.kind is Kind.ROWS else []
        except Malformed:
            rows = []
        if not rows:
            self._lose(journal, run_id, stream, frame.first, frame.end - 1, str(error))
            return
        good: list[memoryview] = []
        for sequence, row, fault in rows:
            if fault is None:
                good.append(row)
                continue
            self._append_rows(journal, run_id, stream, sequence, good)
            good = []
            self._lose(journal, run_id, stream, sequence, sequence, f"refused: {fault}")
        self._append_rows(journal, run_id, stream, frame.end, good)

    def _append_rows(
        self, journal: Journal, run_id: str, stream: bytes, end: int, rows: list[memoryview]
    ) -> None:
        for data in pack_frames(run_id, stream, end - len(rows), rows):
            self._append(journal, data)

    def _lose(
        self, journal: Journal, run_id: str, stream: bytes, first: int, last: int, reason: str
    ) -> None:
        loss = Loss(
            time_ns=self.clock.now_ns(), first=first, last=last, reason=reason[:_REASON_CHARS]
        )
        self._append(journal, encode_item(run_id, stream, last, loss))
        self.notices[stream] = (
            f"run {run_id}: {last - first + 1} rows were lost: {reason[:_REASON_CHARS]}"
        )
        logger.error("Run %s: items %d to %d of a stream are lost: %s", run_id, first, last, reason)

    def _unknown_open(self, run_id: str) -> Open:
        return Open(time_ns=self.clock.now_ns(), project="recovered", name=run_id)

    def _reject(self, data: bytes, error: ProtocolError) -> None:
        """Bytes that are no frame: count them, and keep the first few to look at."""
        self.counters.rejected += 1
        if self.samples_full:
            return
        folder = self.home.quarantine
        try:
            kept = [name for name in self.files.names(folder) if name.startswith(_SAMPLE)]
            self.samples_full = len(kept) + 1 >= _MOST_SAMPLES
            if len(kept) < _MOST_SAMPLES:
                self._keep_sample(folder / f"{_SAMPLE}{self.clock.now_ns()}.bin", data)
        except OSError as trouble:
            logger.warning("A sample of it cannot be kept in %s: %s.", folder, trouble)
        logger.warning("Something that is no frame was received and set aside: %s.", error)

    def _keep_sample(self, path: Path, data: bytes) -> None:
        self.files.make_directory(path.parent)
        sample = self.files.open_append(path)
        try:
            sample.append(data[:_SAMPLE_BYTES])
        finally:
            sample.close()

    def _committed(self, run_id: str, journal: Journal) -> None:
        """All that the run's journal took is durable now."""
        self._unsynced.discard(run_id)
        for run, stream in self._closing:
            if run == run_id and journal.streams[stream].closed:
                self.live.remove(stream)
        self._closing = [entry for entry in self._closing if entry[0] != run_id]
        if self.disk_trouble:
            self.disk_trouble = ""
            logger.info("The home %s can be written again.", self.home.path)

    def _refuse(self, run_id: str, stream: bytes, error: OSError | JournalNewer) -> bool:
        if isinstance(error, OSError):
            self._trouble(run_id, error)
        else:
            self.to_answer.add((run_id, stream))
            self.notices[stream] = f"run {run_id} takes no rows: {error}"
        return False

    def _trouble(self, run_id: str, error: OSError) -> None:
        """The disk took nothing: nothing is acknowledged, so trainers keep it and send it again."""
        self._unsynced.discard(run_id)
        self._closing = [entry for entry in self._closing if entry[0] != run_id]
        self.counters.disk_errors += 1
        reason = error.strerror or str(error)
        if reason != self.disk_trouble:
            self.disk_trouble = reason
            logger.error(
                "The home %s cannot be written (%s); trainers keep their rows.",
                self.home.path,
                reason,
            )

    def _forget_removed(self, run_id: str) -> None:
        """A run that was removed and comes again begins anew: its open file would be in the trash."""
        journal = self._journals.get(run_id)
        if journal is None or not journal.streams or self.files.exists(self.home.journal(run_id)):
            return
        del self._journals[run_id]
        self._unsynced.discard(run_id)
        with contextlib.suppress(OSError):
            journal.close()

    def _let_go_of_one(self) -> None:
        """Close the journal that was not used for longest; if the disk refuses, its rows come again."""
        run_id = next(iter(self._journals))
        journal = self._journals.pop(run_id)
        unsynced = run_id in self._unsynced
        try:
            journal.close()
        except OSError as error:
            self._trouble(run_id, error)
            return
        if unsynced:
            self._committed(run_id, journal)
            self._let_go[run_id] = journal.position.rows


def _fills_the_gap(body: Body, sequence: int, expected: int) -> bool:
    """A ledger entry that accounts for everything between `expected` and its own `sequence`."""
    return (
        isinstance(body, Loss) and body.first <= expected and body.last in (sequence - 1, sequence)
    )
