"""The agent's box and courier, a bad link, the intake's desk: every row ends in the journal or in the ledger.

All of it is the production code but the link: frames are lost, doubled and overtaken, acknowledgements are
lost, late, and from a daemon that is gone; the daemon is killed, its disk is full; clocks jump; memory is
short. In the end the trainer finishes, or is killed and recovered.
"""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exptrack_agent.courier import Lane
from exptrack_agent.rows import RowLog
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
from tests.unit.agent.boxes import STREAM, make_log

RUN = "a-run"
HOME = Home(RUNS.parent)
ACTS = st.one_of(
    st.tuples(st.just("log"), st.integers(1, 400)),
    st.tuples(st.just("send"), st.integers(0, 2**16)),
    st.tuples(st.just("arrive"), st.integers(0, 2**16)),
    st.tuples(st.just("commit"), st.just(0)),
    st.tuples(st.just("hear"), st.integers(0, 2**16)),
    st.tuples(st.just("ask"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.3, 1.5, 10.0, 4_000.0])),
    st.tuples(st.sampled_from(["kill_daemon", "spool", "fail"]), st.integers(0, 6)),
)


class World:
    """A trainer's box, the courier's decisions, the daemon's desk, and what is between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log_: RowLog = make_log(
            folder, kind=RowLog, segment_bytes=8_192, segments=2, burst_segments=3
        )
        self.log_.put_item(to_msgpack(Open(time_ns=1, project="p", name="n")), Kind.OPEN)
        self.lane = Lane(self.log_, self.log_._box, now=0.0)
        self.clock, self.files = FakeClock(), MemoryFiles()
        self.frames: list[bytes] = []
        self.acks: list[Ack] = []
        self.boots = 0
        self.logged = 0
        self.desk = self._new_desk()

    def _new_desk(self) -> Desk:
        self.boots += 1
        live = LiveStreams(self.files, HOME.live)
        return Desk(
            home=HOME, files=self.files, clock=self.clock, config=JournalConfig(), live=live
        )

    # --- acts -----------------------------------------------------------------------------------

    def log(self, count: int) -> None:
        for _ in range(count):
            self.log_.log({"n": self.logged}, step=self.logged)
            self.logged += 1

    def send(self, seed: int) -> None:
        """A round of the courier; some of what it sends is lost, doubled, or overtaken by the next."""
        dice = Random(seed)
        self.lane.collect(self.clock.seconds)
        self.lane.box.refill()
        while (span := self.lane.next_span()) is not None:
            frame = span.frame(RUN, STREAM)
            copies = dice.choice((1, 1, 1, 1, 0, 2))
            for _ in range(copies):
                self.frames.insert(max(0, len(self.frames) - dice.choice((0, 0, 0, 1))), frame)
            self.lane.sent(self.clock.seconds)

    def arrive(self, seed: int) -> None:
        for _ in range(Random(seed).randint(1, 8)):
            if self.frames:
                self.desk.take(self.frames.pop(0))

    def commit(self, _: int) -> None:
        self.desk.commit()
        durable = self.desk.durable(RUN, STREAM)
        self.acks.append(Ack(f"boot {self.boots}", STREAM, durable, ""))

    def hear(self, seed: int) -> None:
        """Some acknowledgement, of those that are under way; also an old one."""
        dice = Random(seed)
        if self.acks:
            self.lane.heard(dice.choice(self.acks[-3:]), self.clock.seconds)

    def ask(self, _: int) -> None:
        self.desk.resync(RUN, STREAM, self.lane.first)
        self.lane.asked(self.clock.seconds)
        self.commit(0)

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def spool(self, _: int) -> None:
        self.lane.box.spool()

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

    # --- the end --------------------------------------------------------------------------------

    def finish(self) -> None:
        """The link and the disk are well again."""
        self.files.faults.clear()
        for _ in range(200):
            self.wait(9.0)
            self.lane.collect(self.clock.seconds)
            self.lane.box.refill()
            while (span := self.lane.next_span()) is not None:
                self.frames.append(span.frame(RUN, STREAM))
                self.lane.sent(self.clock.seconds)
            while self.frames:
                self.desk.take(self.frames.pop(0))
            self.ask(0)
            self.lane.heard(self.acks[-1], self.clock.seconds)
            if self.lane.is_empty and not self.log_._waiting:
                return
        raise AssertionError("it never came to an end")

    def die(self) -> None:
        """SIGKILL of the trainer: what stands in its folders is all there is."""
        self.files.faults.clear()
        folders = [self.folder / name for name in ("ring", "spool")]
        remains = Remains(STREAM, [folder for folder in folders if folder.is_dir()])
        errors = self.desk.counters.disk_errors
        done = list(recover(self.desk, remains, lambda: bool(self.desk.commit()) or True))
        assert done[-1].is_done
        assert self.desk.counters.disk_errors == errors

    def judge(self) -> None:
        """Journal and ledger together hold everything, each once, in order."""
        self.desk.close()
        replay, next_, steps, lost = Replay(RUN), 0, [], 0
        for reading in JournalReader(self.files, HOME.journal(RUN), RUN).read_all():
            assert not reading.flaws
            for found in reading.frames:
                entry = replay.entries(found)
                if isinstance(entry, Rows):
                    assert entry.first == next_
                    next_ += len(entry.rows)
                    steps += [row.step for row in entry.rows]
                    assert all(row.values == {"n": row.step} for row in entry.rows)
                elif isinstance(entry, Event):
                    if isinstance(entry.item, Loss):
                        assert entry.item.first == next_
                        lost += entry.item.last - entry.item.first + 1
                    else:
                        assert entry.sequence == next_
                    next_ = entry.sequence + 1
        assert steps == sorted(set(steps))
        untold = self.log_.dropped - lost  # by a trainer that died before it had room to say so
        assert len(steps) + lost + untold == self.logged
        assert untold == 0 or (untold > 0 and self.log_._lost_since is not None)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTS, max_size=40), st.booleans())
def test_every_row_ends_in_the_journal_or_in_the_ledger(acts, dies):
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for act, amount in acts:
            getattr(world, act)(amount)
        world.log(1)
        world.die() if dies else world.finish()
        world.judge()
