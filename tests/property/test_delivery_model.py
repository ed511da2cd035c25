"""Whatever comes between: every entry arrives in order, and nothing that is settled comes again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exptrack_daemon.delivery.lane import Lane
from exptrack_daemon.errors import BatchRejected, SinkUnavailable
from tests.support.clocks import FakeClock
from tests.support.deliveries import Destination, drive, make_lane
from tests.support.desks import STREAM, make_desk, opened, rows
from tests.support.faulty_files import FaultyFiles

ACTS = st.one_of(
    st.tuples(st.just("rows"), st.integers(1, 60)),
    st.tuples(st.just("step"), st.integers(1, 6)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 5.0, 90.0])),
    st.tuples(
        st.sampled_from(["kill", "close", "unavailable", "bug", "unsettled", "full"]),
        st.integers(1, 2),
    ),
    st.tuples(st.just("late"), st.booleans()),
)


class World:
    """A run that grows, a destination, and the lane of the present worker between them."""

    def __init__(self, home: Path, poison: set[int]) -> None:
        self.home = home
        self.there, self.clock, self.files = Destination(), FakeClock(), FaultyFiles()
        self.there.reject, self.there.poison = BatchRejected, poison
        self.desk = make_desk(home)
        self.desk.take(opened())
        self.desk.commit()
        self.end = 1
        self.lane = self.new_lane()

    def new_lane(self) -> Lane:
        return make_lane(self.home, self.there, self.clock, files=self.files, batch_bytes=1024)

    def rows(self, count):
        self.desk.take(rows(self.end, count))
        self.desk.commit()
        self.end += count
        self.lane.has_news = True

    def step(self, times):
        for _ in range(times):
            self.lane.step(self.clock.seconds)

    def wait(self, seconds):
        self.clock.advance(seconds)

    def late(self, is_late):
        self.there.settles = not is_late

    def unavailable(self, times):
        self.there.failures += [SinkUnavailable("503")] * times

    def unsettled(self, times):
        self.there.settle_failures += [SinkUnavailable("504")] * times

    def bug(self, times):
        self.there.failures += [KeyError("bug")] * times

    def full(self, times):
        self.files.fail_next(*["append"] * times)

    def close(self, _):
        self.lane.close()
        self.kill(1)

    def kill(self, _):
        self.lane = self.new_lane()


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTS, max_size=50), st.sets(st.integers(1, 200), max_size=4))
def test_every_entry_arrives_in_order_exactly_once(acts, poison):
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), poison)
        for act, amount in acts:
            getattr(world, act)(amount)
        world.there.settles = True
        drive(world.lane, world.clock, 600)
        world.desk.close()
        assert world.there.kept == [(STREAM.hex(), n) for n in range(world.end) if n not in poison]
        assert not world.there.given_again
        assert world.lane.lag_rows == 0
        assert world.lane.cursor.status == "live"
        assert world.lane.dead_letters == len([n for n in poison if n < world.end])
