"""Any interleaving of news, failures, late settling and kills: every entry in order, nothing settled given again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTS, max_size=50), st.sets(st.integers(1, 200), max_size=4))
def test_every_entry_arrives_in_order_exactly_once(acts, poison):
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        there, clock, files = Destination(), FakeClock(), FaultyFiles()
        there.reject, there.poison = BatchRejected, poison
        desk = make_desk(home)
        desk.take(opened())
        desk.commit()
        lane, end = make_lane(home, there, clock, files=files, batch_bytes=1024), 1
        for act, amount in acts:
            if act == "rows":
                desk.take(rows(end, amount))
                desk.commit()
                end += amount
                lane.has_news = True
            elif act == "step":
                for _ in range(amount):
                    lane.step(clock.seconds)
            elif act == "wait":
                clock.advance(amount)
            elif act == "late":
                there.settles = not amount
            elif act == "unavailable":
                there.failures += [SinkUnavailable("503")] * amount
            elif act == "unsettled":
                there.settle_failures += [SinkUnavailable("504")] * amount
            elif act == "bug":
                there.failures += [KeyError("bug")] * amount
            elif act == "full":
                files.fail_next(*["append"] * amount)
            else:
                if act == "close":
                    lane.close()
                lane = make_lane(home, there, clock, files=files, batch_bytes=1024)
        there.settles = True
        drive(lane, clock, 600)
        desk.close()
        wanted = [(STREAM.hex(), n) for n in range(end) if n not in poison]
        assert there.kept == wanted
        assert not there.given_again
        assert lane.lag_rows == 0
        assert lane.cursor.status == "live"
        assert lane.dead_letters == len([n for n in poison if n < end])
