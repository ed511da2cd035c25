"""One run on its way into one sink.

A step reads a batch from the cursor, hands it over, and moves the cursor to what the sink calls settled. The
cursor is the only thing that is remembered; everything else can be built again from it and the journal:

- `SinkUnavailable`: the same batch again after a pause, for ever.
- `BatchRejected`: halves, until the poison is alone; it becomes a dead letter of this sink, the rest goes on.
- a kill: the next worker begins at the cursor, with the state that the sink saved there.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from exptrack_daemon.clock import Clock
from exptrack_daemon.delivery.bisect import halves
from exptrack_daemon.delivery.dead_letters import set_aside
from exptrack_daemon.delivery.retry import Retry
from exptrack_daemon.errors import BatchRejected, SinkBroken, SinkUnavailable
from exptrack_daemon.files import Files
from exptrack_daemon.home import Home
from exptrack_daemon.journal.cursor import Cursor, load_cursor, save_cursor
from exptrack_daemon.journal.position import Position
from exptrack_daemon.journal.reader import JournalReader
from exptrack_daemon.journal.replay import Replay
from exptrack_daemon.sinks.base import Batch, Entry, OpenSink, Sink, SinkContext
from exptrack_proto.errors import ProtocolError

logger = logging.getLogger(__name__)

_ASK_BROKEN_EVERY_S = 600.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the journal can be taken up again after the batch that ended at `end`."""

    end: Position
    position: Position
    delivered: int
    rows: int
    replay: dict[str, object]
    ended: bool


class RestartWorker(Exception):
    """The sink says that only a new process can go on."""


@dataclass(frozen=True, slots=True)
class LaneParts:
    """What every lane of a worker shares."""

    name: str
    home: Home
    files: Files
    clock: Clock
    open_sink: OpenSink
    batch_bytes: int
    batch_age_s: float


class Lane:
    """One run's delivery to one sink."""

    def __init__(self, run_id: str, parts: LaneParts, context: SinkContext) -> None:
        self.run_id = run_id
        self._parts = parts
        self._context = context
        self._path = parts.home.cursor(run_id, parts.name)
        self.cursor: Cursor = load_cursor(parts.files, self._path)
        self._reader = JournalReader(parts.files, parts.home.journal(run_id), run_id)
        self._replay = Replay(run_id)
        if self.cursor.replay is not None:
            self._replay.load(self.cursor.replay)
        self._position = self.cursor.position
        self._delivered = self.cursor.delivered
        self._sink: Sink | None = None
        self._to_write: deque[Batch] = deque()
        self._accepted: Position | None = None
        self._poisoned: set[Position] = set()
        self._checkpoints: deque[Checkpoint] = deque()
        self._retry = Retry()
        self._read_at = float("-inf")
        self._settle_at = float("-inf")
        self.rows_in_journal = self.cursor.rows
        self.has_news = True
        """The journal may hold more than was read."""

    @property
    def lag_rows(self) -> int:
        """Rows in the journal that are not settled in the sink."""
        return max(0, self.rows_in_journal - self.cursor.rows)

    @property
    def is_open(self) -> bool:
        """Whether it holds the sink open."""
        return self._sink is not None

    def step(self, now: float) -> bool:
        """Do one thing that is due; True when there may be more to do at once.

        Raises:
            RestartWorker: this process cannot go on.
        """
        if not self._retry.is_due(now):
            return False
        try:
            moved = self._step(now)
        except SinkUnavailable as error:
            self._pause(error, now)
            return False
        except SinkBroken as error:
            self._status("broken", str(error))
            self._retry.not_before = now + _ASK_BROKEN_EVERY_S
            return False
        except RestartWorker:
            raise
        except Exception as error:  # a bug of this sink, met by one run: the others go on
            logger.exception("Run %s: %s has a fault.", self.run_id, self._parts.name)
            self._forget()
            self._pause(SinkUnavailable(f"unexpected {type(error).__name__}: {error}"), now)
            return False
        if moved and self._retry.failures:
            logger.info("Run %s is on its way to %s again.", self.run_id, self._parts.name)
            self._retry.succeeded()
            self._status("live", "")
        return moved

    def close(self) -> None:
        """Release the sink; what it settles by that still counts."""
        if self._sink is None:
            return
        try:
            self._sink.close()
            self._settle()
        except Exception as error:  # noqa: BLE001  # a sink that is being left must not stop the others
            logger.warning("Run %s: closing %s: %s", self.run_id, self._parts.name, error)
        finally:
            self._forget()

    # --- inside ---------------------------------------------------------------------------------

    def _step(self, now: float) -> bool:
        if not self._to_write and not self._read(now):
            return self._idle(now)
        self._open()
        self._write_next()
        if not self._to_write:
            self._settle()
        return True

    def _read(self, now: float) -> bool:
        """Read the next batch; a small one only after its time, so that batches grow under load."""
        if not self.has_news or now - self._read_at < self._parts.batch_age_s:
            return False
        start = self._position
        reading = self._reader.read(start, self._parts.batch_bytes)
        for flaw in reading.flaws:
            logger.error(
                "Run %s: journal segment %d at %d: %s.",
                self.run_id,
                flaw.segment,
                flaw.offset,
                flaw.reason,
            )
        entries: list[Entry] = []
        size = 0
        for found in reading.frames:
            size += len(found.frame)
            try:
                entry = self._replay.entries(found)
            except ProtocolError as error:
                logger.warning("Run %s: a frame does not decode: %s.", self.run_id, error)
                continue
            if entry is not None and found.start.record >= self._delivered:
                entries.append(entry)
        self._position = reading.next
        self.has_news = bool(reading.frames)
        if size < self._parts.batch_bytes // 2:
            self._read_at = now
        if not entries:
            return False
        end = reading.next
        self._checkpoints.append(self._checkpoint(end))
        self._to_write.append(Batch(self._replay.run, tuple(entries), start, end))
        return True

    def _checkpoint(self, end: Position) -> Checkpoint:
        return Checkpoint(
            end=end,
            position=self._replay.safe(end),
            delivered=end.record,
            rows=end.rows,
            replay=self._replay.dump(),
            ended=self._replay.has_ended,
        )

    def _idle(self, now: float) -> bool:
        """Nothing new: see what has settled meanwhile, and let go of a run that has ended."""
        if self._sink is None or now - self._settle_at < 1.0:
            return False
        self._settle_at = now
        self._settle()
        if self._replay.has_ended and not self._to_write:
            self.close()
        return False

    def _open(self) -> None:
        if self._sink is None:
            self._sink = self._parts.open_sink(self._replay.run, self._context, self.cursor.state)

    def _write_next(self) -> None:
        """Hand over the next batch; one that is refused is halved, or set aside when it is single."""
        assert self._sink is not None
        batch = self._to_write[0]
        try:
            self._sink.write(batch)
        except BatchRejected as error:
            self._to_write.popleft()
            parts = halves(batch)
            if parts is not None:
                self._to_write.extendleft(reversed(parts))
                return
            self._set_aside(batch, str(error))
        else:
            self._to_write.popleft()
            self._accepted = batch.end

    def _set_aside(self, batch: Batch, reason: str) -> None:
        folder = self._parts.home.dead_letters(self.run_id, self._parts.name)
        path = set_aside(self._parts.files, folder, batch, reason)
        self.cursor.dead_letters += 1
        logger.error(
            "Run %s: %s refused an entry for good (%s); it is kept in %s.",
            self.run_id,
            self._parts.name,
            reason,
            path,
        )
        if not self._to_write and self._accepted != batch.end:
            self._poisoned.add(batch.end)

    def _settle(self) -> None:
        """Move the cursor to what the sink says is safe, and over batches of which it refused everything."""
        assert self._sink is not None
        settled = self._sink.settled()
        end = settled.end if settled is not None else None
        passed: Checkpoint | None = None
        while self._checkpoints and self._is_passed(self._checkpoints[0], end):
            passed = self._checkpoints.popleft()
            self._poisoned.discard(passed.end)
        if passed is not None:
            self._save(passed, settled.state if settled is not None else self.cursor.state)

    def _is_passed(self, checkpoint: Checkpoint, settled: Position | None) -> bool:
        return checkpoint.end in self._poisoned or (
            settled is not None and checkpoint.end <= settled
        )

    def _save(self, checkpoint: Checkpoint, state: dict[str, object] | None) -> None:
        cursor = self.cursor
        cursor.position, cursor.delivered = checkpoint.position, checkpoint.delivered
        cursor.rows, cursor.replay = checkpoint.rows, dict(checkpoint.replay)
        cursor.ended, cursor.state = checkpoint.ended, state
        cursor.status, cursor.reason = "live", ""
        self._write_cursor()

    def _write_cursor(self) -> None:
        self.cursor.updated_ns = self._parts.clock.now_ns()
        try:
            save_cursor(self._parts.files, self._path, self.cursor)
        except OSError as error:
            raise SinkUnavailable(
                f"the cursor cannot be saved: {error.strerror or error}"
            ) from error

    def _status(self, status: str, reason: str) -> None:
        if (self.cursor.status, self.cursor.reason) == (status, reason):
            return
        self.cursor.status, self.cursor.reason = status, reason
        try:
            self._write_cursor()
        except SinkUnavailable:
            logger.warning(
                "Run %s: the state of %s cannot be saved.", self.run_id, self._parts.name
            )

    def _pause(self, error: SinkUnavailable, now: float) -> None:
        pause = self._retry.failed(now)
        self._status("unavailable", str(error))
        if self._retry.failures == 1:
            logger.warning(
                "Run %s: %s is unavailable (%s); asking again in %.1f s.",
                self.run_id,
                self._parts.name,
                error,
                pause,
            )
        if getattr(error, "restart_worker", False):
            raise RestartWorker(str(error)) from error

    def _forget(self) -> None:
        """Back to the cursor: whatever was in flight is read again."""
        self._sink = None
        self._to_write.clear()
        self._checkpoints.clear()
        self._poisoned.clear()
        self._accepted = None
        self.has_news = True
        self._replay = Replay(self.run_id)
        if self.cursor.replay is not None:
            self._replay.load(self.cursor.replay)
        self._position, self._delivered = self.cursor.position, self.cursor.delivered
