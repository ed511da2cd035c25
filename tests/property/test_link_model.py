"""Agents' boxes and couriers, a bad link, the intake's desk: every row ends in the journal or in the ledger.

All of it is the production code but the link: frames are lost, doubled and overtaken, acknowledgements are
lost, late, and from a daemon that is gone; the daemon is killed, its disk is full, and so is the spool's;
clocks jump; memory is short. Trainers are killed and recovered, fork (a child that does not `init` writes
nothing, one that does has a stream of its own), and the machine goes down: shared memory is gone then, of the
daemon's files only what was synced is there, and what was acknowledged or stood in the spool must come back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exptrack_agent import rows
from exptrack_agent.blackbox import BlackBox, Places
from exptrack_agent.courier import Lane
from exptrack_agent.rows import RowLog
from exptrack_agent.settings import BoxLimits
from exptrack_daemon.home import Home
from exptrack_daemon.intake.desk import Desk
from exptrack_daemon.intake.recovery import Remains, recover
from exptrack_daemon.journal.entries import Event, Rows
from exptrack_daemon.journal.reader import JournalReader
from exptrack_daemon.journal.replay import Replay
from exptrack_daemon.journal.writer import JournalConfig
from exptrack_daemon.live import LiveStreams
from exptrack_proto.control import Ack
from exptrack_proto.frame import Kind
from exptrack_proto.records import Loss, Open, to_msgpack
from tests.support.clocks import FakeClock
from tests.support.memory_files import RUNS, Failure, MemoryFiles

EXAMPLES, MOST_ACTS = (2_000, 50) if os.environ.get("EXPTRACK_TORTURE") else (60, 40)
RUN = "a-run"
HOME = Home(RUNS.parent)
LIMITS = BoxLimits(segment_bytes=8_192, segments=2, burst_segments=3, keep_free_bytes=0)
CHILD_ROWS = 150
ACTS = st.one_of(
    st.tuples(st.just("log"), st.integers(1, 400)),
    st.tuples(st.just("send"), st.integers(0, 2**16)),
    st.tuples(st.just("arrive"), st.integers(0, 2**16)),
    st.tuples(st.just("commit"), st.just(0)),
    st.tuples(st.just("hear"), st.integers(0, 2**16)),
    st.tuples(st.just("ask"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.3, 1.5, 10.0, 4_000.0])),
    st.tuples(st.sampled_from(["kill_daemon", "spool", "fail"]), st.integers(0, 6)),
    st.tuples(st.just("jump"), st.sampled_from([-(10**18), -3_600 * 10**9, 10**9, 10**18])),
    st.tuples(st.just("fill_spool"), st.booleans()),
    st.tuples(st.sampled_from(["fork", "kill_trainer", "reboot"]), st.integers(0, 2**16)),
)


@dataclass
class Trainer:
    """One stream: its box, its lane, and what it was told to log."""

    stream: bytes
    folder: Path
    logged: int = 0
    numbers: dict[int, int] = field(default_factory=dict)
    """By sequence, the row that has it."""
    promised: set[int] | None = None
    """Rows that must be there although the machine went down; None: it did not, so all."""
    log: RowLog = field(init=False)
    lane: Lane = field(init=False)

    def start(self, now: float) -> Trainer:
        box = BlackBox(RUN, self.stream, Places(*self.places), LIMITS)
        self.log = RowLog(box, strict=False)
        self.log.put_item(to_msgpack(Open(time_ns=1, project="p", name="n")), Kind.OPEN)
        self.lane = Lane(self.log, box, now=now)
        return self

    @property
    def places(self) -> tuple[Path, Path]:
        return self.folder / "ring", self.folder / "spool"

    def write(self, count: int) -> None:
        for _ in range(count):
            dropped = self.log.dropped
            self.log.log({"n": self.logged}, step=self.logged)
            if self.log.dropped == dropped:
                self.numbers[self.log.sequence - 1] = self.logged
            self.logged += 1

    def die(self) -> None:
        """The process ends: its locks and its memory are gone, its files are left."""
        box = self.log._box
        while box._owners:
            os.close(box._owners.pop())

    def survivors(self) -> set[int]:
        """Rows that a power cut must leave: acknowledged ones, and those that the box takes for copied."""
        lane = self.lane
        copied = {
            sequence
            for span in (*lane.under_way, *lane.to_send, *lane.box.spans)
            if span.stop <= span.segment.copied
            for sequence in range(span.first, span.end)
        }
        return {
            row
            for sequence, row in self.numbers.items()
            if sequence < lane.acknowledged or sequence in copied
        }

    def remains(self) -> Remains:
        return Remains(self.stream, [folder for folder in self.places if folder.is_dir()])


class World:
    """A trainer, those before it, the daemon's desk, and what is between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock, self.files = FakeClock(), MemoryFiles()
        self.frames: list[bytes] = []
        self.acks: list[Ack] = []
        self.boots = 0
        self.gone: list[Trainer] = []
        self.children: list[Trainer] = []
        """Forked ones that began a stream, and were killed with rows in their rings."""
        self.streams = 0
        self.trainer = self._new_trainer().start(0.0)
        self.desk = self._new_desk()

    def _new_desk(self) -> Desk:
        self.boots += 1
        live = LiveStreams(self.files, HOME.live)
        return Desk(
            home=HOME, files=self.files, clock=self.clock, config=JournalConfig(), live=live
        )

    def _new_trainer(self) -> Trainer:
        self.streams += 1
        folder = self.folder / str(self.streams)
        return Trainer(self.streams.to_bytes(16, "big"), folder)

    # --- acts -----------------------------------------------------------------------------------

    def log(self, count: int) -> None:
        self.trainer.write(count)

    def send(self, seed: int) -> None:
        """A round of the courier; some of what it sends is lost, doubled, or overtaken by the next."""
        dice, lane = Random(seed), self.trainer.lane
        lane.collect(self.clock.seconds)
        lane.box.refill()
        while (span := lane.next_span()) is not None:
            frame = span.frame(RUN, self.trainer.stream)
            copies = dice.choice((1, 1, 1, 1, 0, 2))
            for _ in range(copies):
                self.frames.insert(max(0, len(self.frames) - dice.choice((0, 0, 0, 1))), frame)
            lane.sent(self.clock.seconds)

    def arrive(self, seed: int) -> None:
        for _ in range(Random(seed).randint(1, 8)):
            if self.frames:
                self.desk.take(self.frames.pop(0))

    def commit(self, _: int) -> None:
        self.desk.commit()
        stream = self.trainer.stream
        durable = self.desk.durable(RUN, stream)
        self.acks.append(Ack(f"boot {self.boots}", stream, durable, ""))

    def hear(self, seed: int) -> None:
        """Some acknowledgement, of those that are under way; also an old one."""
        dice = Random(seed)
        if self.acks:
            self.trainer.lane.heard(dice.choice(self.acks[-3:]), self.clock.seconds)

    def ask(self, _: int) -> None:
        self.desk.resync(RUN, self.trainer.stream, self.trainer.lane.first)
        self.trainer.lane.asked(self.clock.seconds)
        self.commit(0)

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def jump(self, nanoseconds: int) -> None:
        """Somebody sets the wall clock, anywhere after 1970; time itself goes on."""
        self.clock.time_ns = max(0, min(self.clock.time_ns + nanoseconds, 2**63 - 1 - 10**18))

    def spool(self, _: int) -> None:
        self.trainer.lane.box.spool()

    def fill_spool(self, is_full: bool) -> None:
        """The disk of the spool has no room any more, or again."""
        keep_free = 1 << 62 if is_full else 0
        self.trainer.lane.box._spool._limits = LIMITS._replace(keep_free_bytes=keep_free)

    def fail(self, calls: int) -> None:
        """The daemon's disk takes nothing for a while."""
        begin = len(self.files.trace)
        for number in range(begin, begin + 3 * calls + 1):
            self.files.faults[number] = Failure(errno.ENOSPC, part=0.5)

    def kill_daemon(self, taken: int) -> None:
        """What its sockets held is gone; the next one has another boot id."""
        del self.frames[taken:]
        self.files = self.files.kill()
        self.desk = self._new_desk()

    def fork(self, kind: int) -> None:
        """A child of the trainer: silent, or with a stream of its own, and in either case soon dead."""
        log = self.trainer.log
        before = (log.sequence, bytes(log._box.active.memory))
        child = self._new_trainer() if kind % 2 else None
        pid = os.fork()
        if pid == 0:
            try:
                log.reset_after_fork()
                self.trainer.write(20)
                if child is not None:
                    child.start(0.0).write(CHILD_ROWS)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        assert (log.sequence, bytes(log._box.active.memory)) == before
        if child is not None:
            child.logged = CHILD_ROWS
            self.children.append(child)

    def kill_trainer(self, _: int) -> None:
        """SIGKILL; the daemon finds what it left, and the trainer is started again."""
        self.die()
        self._start_again()

    def reboot(self, seed: int) -> None:
        """The machine loses its power: memory is gone, with all that stood in no file, or was not synced."""
        trainer = self.trainer
        trainer.die()
        trainer.promised = trainer.survivors()
        for one in (trainer, *self.children):
            shutil.rmtree(one.places[0], ignore_errors=True)
        for child in self.children:
            child.promised = set()
        self.files = self.files.crash(Random(seed))
        self.frames.clear()
        self.desk = self._new_desk()
        self._recover()
        self._start_again()

    def _start_again(self) -> None:
        self.gone += [self.trainer, *self.children]
        self.children = []
        self.acks.clear()
        self.frames.clear()
        self.trainer = self._new_trainer().start(self.clock.seconds)

    # --- the end --------------------------------------------------------------------------------

    def finish(self) -> None:
        """The link and the disk are well again."""
        self.files.faults.clear()
        self.fill_spool(is_full=False)
        lane = self.trainer.lane
        for _ in range(200):
            self.wait(9.0)
            lane.collect(self.clock.seconds)
            lane.box.refill()
            while (span := lane.next_span()) is not None:
                self.frames.append(span.frame(RUN, self.trainer.stream))
                lane.sent(self.clock.seconds)
            while self.frames:
                self.desk.take(self.frames.pop(0))
            self.ask(0)
            lane.heard(self.acks[-1], self.clock.seconds)
            if lane.is_empty and not self.trainer.log._waiting:
                self._recover(self.children)
                return
        raise AssertionError("it never came to an end")

    def die(self) -> None:
        """SIGKILL of the trainer: what stands in its folders is all there is."""
        self.trainer.die()
        self._recover()

    def _recover(self, dead: list[Trainer] | None = None) -> None:
        self.files.faults.clear()
        for one in (self.trainer, *self.children) if dead is None else dead:
            errors = self.desk.counters.disk_errors
            done = list(recover(self.desk, one.remains(), lambda: bool(self.desk.commit()) or True))
            assert done[-1].is_done
            assert self.desk.counters.disk_errors == errors

    def close(self) -> None:
        """Give all descriptors back."""
        for one in (self.trainer, *self.gone):
            if hasattr(one, "log") and one.log._box is not None:
                one.die()

    def judge(self) -> None:
        """Journal and ledger together hold everything, each once, in order."""
        self.desk.close()
        told: dict[bytes, Told] = {}
        replay = Replay(RUN)
        for reading in JournalReader(self.files, HOME.journal(RUN), RUN).read_all():
            assert not reading.flaws
            for found in reading.frames:
                entry = replay.entries(found)
                if entry is not None:
                    stream = bytes.fromhex(entry.stream.stream_id)
                    told.setdefault(stream, Told()).take(entry)
        everyone = [*self.gone, *self.children, self.trainer]
        assert set(told) <= {trainer.stream for trainer in everyone}
        for trainer in everyone:
            _judge(trainer, told.get(trainer.stream, Told()))


@dataclass
class Told:
    """What the journal says of one stream."""

    steps: list[int] = field(default_factory=list)
    lost: int = 0
    next: int = 0

    def take(self, entry: Rows | Event) -> None:
        if isinstance(entry, Rows):
            assert entry.first == self.next
            self.next += len(entry.rows)
            self.steps += [row.step for row in entry.rows]
            assert all(row.values == {"n": row.step} for row in entry.rows)
            return
        if isinstance(entry.item, Loss):
            assert entry.item.first == self.next
            self.lost += entry.item.last - entry.item.first + 1
        else:
            assert entry.sequence == self.next
        self.next = entry.sequence + 1


def _judge(trainer: Trainer, told: Told) -> None:
    assert told.steps == sorted(set(told.steps))
    if trainer.promised is not None:
        assert trainer.promised <= set(told.steps), "what was promised did not survive"
        assert len(told.steps) + told.lost <= trainer.logged + 1  # the open may be lost too
        return
    if not hasattr(trainer, "log"):  # a forked child, which had room for all of it
        assert told.steps == list(range(trainer.logged))
        return
    untold = trainer.log.dropped - told.lost  # by a trainer that died before it had room to say so
    assert len(told.steps) + told.lost + untold == trainer.logged
    assert untold == 0 or (untold > 0 and trainer.log._lost_since is not None)


@contextlib.contextmanager
def _clock_of(world: World) -> Iterator[World]:
    """Rows are stamped by the world's wall clock; at the end all its descriptors are given back."""
    real, rows.time_ns = rows.time_ns, world.clock.now_ns
    try:
        yield world
    finally:
        rows.time_ns = real
        world.close()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTS, min_size=MOST_ACTS // 2, max_size=MOST_ACTS), st.booleans())
def test_every_row_ends_in_the_journal_or_in_the_ledger(acts, dies):
    with tempfile.TemporaryDirectory() as folder, _clock_of(World(Path(folder))) as world:
        for act, amount in acts:
            getattr(world, act)(amount)
        world.log(1)
        world.die() if dies else world.finish()
        world.judge()
