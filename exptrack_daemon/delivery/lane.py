"""One run on its way into one sink.

A step reads a batch from the cursor, hands it over, and moves the cursor to what the sink calls settled. The
cursor is the only thing that is remembered; everything else can be built again from it and the journal:

- `SinkUnavailable`: the same batch again after a pause, for ever.
- `BatchRejected`: halves, until the poison is alone; it becomes a dead letter of this sink, the rest goes on.
- `SinkBroken`, `ConfigInvalid`, something of a newer version: shown, nothing touched, asked again seldom.
- any other exception is a fault of this sink: it is opened anew from the cursor, after a pause.
- a kill: the next worker begins at the cursor, with the state that the sink saved there.

The cursor only ever passes whole batches: while a part of one is still to be written, the sink's word that
it is safe up to that batch's end cannot mean the part that it has not seen.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import msgspec

from exptrack_daemon.clock import Clock
from exptrack_daemon.delivery.bisect import halves
from exptrack_daemon.delivery.dead_letters import set_aside
from exptrack_daemon.delivery.retry import Retry
from exptrack_daemon.errors import (
    BatchRejected,
    ConfigInvalid,
    JournalNewer,
    SinkBroken,
    SinkUnavailable,
)
from exptrack_daemon.files import Files
from exptrack_daemon.home import Home
from exptrack_daemon.journal.cursor import CURSOR_VERSION, Cursor, load_cursor, save_cursor
from exptrack_daemon.journal.position import Position
from exptrack_daemon.journal.reader import Found, JournalReader
from exptrack_daemon.journal.replay import Replay
from exptrack_daemon.sinks.base import Batch, Entry, OpenSink, Settled, Sink, SinkContext
from exptrack_proto.errors import ProtocolError
from exptrack_proto.frame import Kind

logger = logging.getLogger(__name__)

_ASK_BROKEN_EVERY_S = 600.0
_SETTLE_EVERY_S = 1.0
_QUIET_S = 5.0
_KIND_AT = 3  # where a frame says its kind (exptrack_proto.frame)


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
        self._is_newer = is_newer(parts.files, self._path)
        self.cursor: Cursor = load_cursor(parts.files, self._path)
        self._is_saved = True
        journal = parts.home.journal(run_id)
        self._reader = JournalReader(parts.files, journal, run_id, remembers=True)
        self._replay = Replay(run_id)
        self._position = self.cursor.position
        self._sink: Sink | None = None
        self._to_write: deque[Batch] = deque()
        self._is_accepted = False
        self._checkpoints: deque[Checkpoint] = deque()
        self._poisoned: set[Position] = set()
        self._dead: dict[Position, int] = {}
        self._retry = Retry()
        self._read_at = float("-inf")
        self._settle_at = float("-inf")
        self._news_at = float("-inf")
        self.rows_in_journal = self.cursor.rows
        self.has_news = True
        """The journal may hold more than was read."""
        self._rewind()

    @property
    def lag_rows(self) -> int:
        """Rows in the journal that are not settled in the sink."""
        return max(0, self.rows_in_journal - self.cursor.rows)

    @property
    def dead_letters(self) -> int:
        """Entries that the sink refused for good."""
        return self.cursor.dead_letters + sum(self._dead.values())

    @property
    def is_open(self) -> bool:
        """Whether it holds the sink open."""
        return self._sink is not None

    @property
    def is_done(self) -> bool:
        """Nothing is left to do unless the run goes on."""
        is_idle = not (self.is_open or self.has_news or self._to_write or self._checkpoints)
        is_well = self.cursor.status == "live" and self._is_saved
        return is_idle and is_well and self.cursor.ended and self.lag_rows == 0

    def step(self, now: float) -> bool:
        """Do one thing that is due; True when there may be more to do at once.

        Raises:
            RestartWorker: this process cannot go on.
        """
        if not self._retry.is_due(now):
            return False
        try:
            asked, moved = self._step(now)
        except SinkUnavailable as error:
            self._pause(error, now)
            return False
        except (SinkBroken, ConfigInvalid, JournalNewer) as error:
            self._give_up(error, now)
            return False
        except Exception as error:  # a bug of this sink, met by one run: the others go on
            if not self._retry.failures:
                logger.exception("Run %s: %s has a fault.", self.run_id, self._parts.name)
            self._abandon()
            self._pause(SinkUnavailable(f"unexpected {type(error).__name__}: {error}"), now)
            return False
        if asked and self.cursor.status != "live":
            self._status("live", "")
        return moved

    def hurry(self) -> None:
        """Read what there is now, however little: the worker is about to stop."""
        self.has_news = True
        self._read_at = float("-inf")

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
            self._rewind()

    # --- inside ---------------------------------------------------------------------------------

    def _step(self, now: float) -> tuple[bool, bool]:
        """Returns whether the sink was asked something, and whether there may be more to do."""
        if self._is_newer:
            raise SinkBroken(f"{self._path.name} was written by a newer exptrack")
        if not self._to_write and not self._read(now):
            return self._idle(now), False
        if not self._to_write:
            return False, True
        self._open()
        self._write_next()
        if not self._to_write:
            self._settle()
        return True, True

    def _read(self, now: float) -> bool:
        """Read the next batch; a small one only after its time, so that batches grow under load.

        True when something was read, even if it makes no batch (pieces of a large image).
        """
        if not self.has_news or now - self._read_at < self._parts.batch_age_s:
            return False
        start = self._position
        try:
            reading = self._reader.read(start, self._parts.batch_bytes)
        except OSError as error:
            raise SinkUnavailable(
                f"the journal cannot be read: {error.strerror or error}"
            ) from error
        for flaw in reading.flaws:
            logger.error(
                "Run %s: journal segment %d at %d: %s.",
                self.run_id,
                flaw.segment,
                flaw.offset,
                flaw.reason,
            )
        entries = [entry for found in reading.frames if (entry := self._entry(found)) is not None]
        self._position = reading.next
        self.rows_in_journal = max(self.rows_in_journal, reading.next.rows)
        self.has_news = bool(reading.frames)
        if self.has_news:
            self._news_at = now
        if sum(len(found.frame) for found in reading.frames) < self._parts.batch_bytes // 2:
            self._read_at = now
        if entries:
            self._checkpoints.append(self._checkpoint(reading.next))
            self._to_write.append(Batch(self._replay.run, tuple(entries), start, reading.next))
            self._is_accepted = False
        return self.has_news

    def _entry(self, found: Found) -> Entry | None:
        """What to hand over of a frame. Before the cursor, only pieces of media are still wanted."""
        is_known = found.start.record < self.cursor.delivered
        if is_known and found.frame[_KIND_AT] in (Kind.OPEN, Kind.ROWS):
            return None
        try:
            entry = self._replay.entries(found)
        except ProtocolError as error:
            logger.warning("Run %s: a frame does not decode: %s.", self.run_id, error)
            return None
        return None if is_known else entry

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
        if self._sink is None or now - self._settle_at < _SETTLE_EVERY_S:
            return False
        self._settle_at = now
        self._settle()
        if self.has_news or not self._replay.has_ended:
            return True  # another attempt may stand in what was not read yet
        if self._is_all_closed() or now - self._news_at >= _QUIET_S:
            self._end()
        return True

    def _is_all_closed(self) -> bool:
        """Not only the trainers' streams: the sampler's last rows come after those."""
        return self._replay.closed.issuperset(self._replay.streams)

    def _end(self) -> None:
        """The run has ended and everything was handed over: close the sink, which may settle the rest."""
        assert self._sink is not None
        self._sink.close()
        self._settle()
        is_settled = not self._checkpoints
        self._rewind()
        if not is_settled:
            raise SinkUnavailable("closed before everything was safe there; it is sent again")
        self.has_news = False

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
            parts = halves(batch)
            if parts is None:
                self._set_aside(batch, str(error))
            self._to_write.popleft()
            self._to_write.extendleft(reversed(parts or ()))
        else:
            self._to_write.popleft()
            self._is_accepted = True
        if not self._to_write and not self._is_accepted:
            self._poisoned.add(batch.end)

    def _set_aside(self, batch: Batch, reason: str) -> None:
        folder = self._parts.home.dead_letters(self.run_id, self._parts.name)
        try:
            path = set_aside(self._parts.files, folder, batch, reason)
        except OSError as error:
            raise SinkUnavailable(f"a dead letter cannot be kept: {error.strerror}") from error
        self._dead[batch.end] = self._dead.get(batch.end, 0) + 1
        if self.dead_letters & (self.dead_letters - 1) == 0:  # the 1st, 2nd, 4th, 8th …
            logger.error(
                "Run %s: %s has refused %d entries for good (%s); see %s.",
                self.run_id,
                self._parts.name,
                self.dead_letters,
                reason,
                path,
            )

    def _settle(self) -> None:
        """Move the cursor to what the sink says is safe, and over batches of which it refused everything."""
        assert self._sink is not None
        if not self._is_saved:
            self._write_cursor()
        settled = self._sink.settled()
        if settled is not None and self._to_write and settled.end >= self._to_write[0].end:
            return  # it knows nothing of the part that is still to be written
        passed = self._pass(settled)
        if passed is not None:
            self._save(passed, settled.state if settled is not None else self.cursor.state)

    def _pass(self, settled: Settled | None) -> Checkpoint | None:
        """The last checkpoint that is reached now."""
        passed: Checkpoint | None = None
        while self._checkpoints and self._is_passed(self._checkpoints[0], settled):
            passed = self._checkpoints.popleft()
            self._poisoned.discard(passed.end)
            self.cursor.dead_letters += self._dead.pop(passed.end, 0)
        return passed

    def _is_passed(self, checkpoint: Checkpoint, settled: Settled | None) -> bool:
        return checkpoint.end in self._poisoned or (
            settled is not None and checkpoint.end <= settled.end
        )

    def _save(self, checkpoint: Checkpoint, state: dict[str, object] | None) -> None:
        cursor = self.cursor
        cursor.position, cursor.delivered = checkpoint.position, checkpoint.delivered
        cursor.rows, cursor.replay = checkpoint.rows, dict(checkpoint.replay)
        cursor.ended, cursor.state = checkpoint.ended, state
        cursor.status, cursor.reason = "live", ""
        self._write_cursor()
        if (
            self._retry.failures
        ):  # only progress counts: one that takes and never keeps is no better
            logger.info("Run %s is on its way to %s again.", self.run_id, self._parts.name)
            self._retry.succeeded()

    def _write_cursor(self) -> None:
        self.cursor.updated_ns = self._parts.clock.now_ns()
        self._is_saved = False
        try:
            save_cursor(self._parts.files, self._path, self.cursor)
        except OSError as error:
            raise SinkUnavailable(
                f"the cursor cannot be saved: {error.strerror or error}"
            ) from error
        self._is_saved = True

    def _status(self, status: str, reason: str) -> None:
        if (self.cursor.status, self.cursor.reason) == (status, reason):
            return
        self.cursor.status, self.cursor.reason = status, reason
        if self._is_newer:
            return
        try:
            self._write_cursor()
        except SinkUnavailable:
            logger.warning(
                "Run %s: the state of %s cannot be saved.", self.run_id, self._parts.name
            )

    def _give_up(self, error: Exception, now: float) -> None:
        """It cannot work as things are; somebody has to act."""
        if self.cursor.reason != str(error):
            logger.error("Run %s is not delivered to %s: %s", self.run_id, self._parts.name, error)
        self._abandon()
        self._status("broken", str(error))
        self._retry.not_before = now + _ASK_BROKEN_EVERY_S

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

    def _abandon(self) -> None:
        """Let go of a sink that has a fault, and go back to the cursor."""
        sink = self._sink
        self._rewind()
        if sink is None:
            return
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001  # it was at fault already
            logger.debug("Run %s: closing %s: %s", self.run_id, self._parts.name, error)

    def _rewind(self) -> None:
        """Back to the cursor: whatever was in flight is read again."""
        self._sink = None
        self._to_write.clear()
        self._checkpoints.clear()
        self._poisoned.clear()
        self._dead.clear()
        self.has_news = True
        self._replay = Replay(self.run_id)
        if self.cursor.replay is not None:
            try:
                self._replay.load(self.cursor.replay)
            except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
                logger.warning(
                    "Run %s: the cursor of %s is damaged (%r); it begins anew.",
                    self.run_id,
                    self._parts.name,
                    error,
                )
                self.cursor = Cursor()
                self._replay = Replay(self.run_id)
        self._position = self.cursor.position


class _Version(msgspec.Struct):
    version: int = 1


def is_newer(files: Files, path: Path) -> bool:
    """Whether a cursor was written by a newer exptrack: then it is neither used nor changed."""
    try:
        return msgspec.json.decode(files.read(path), type=_Version).version > CURSOR_VERSION
    except (FileNotFoundError, msgspec.DecodeError):
        return False
