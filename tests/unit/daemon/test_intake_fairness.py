"""Whose turn it is: shares within a bound, nobody starved, order kept, nothing lost, bounded."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptrack_daemon.intake.fairness import FairQueue, QueueLimits

OVERHEAD = 1_024
STREAMS = [bytes([number]) * 16 for number in range(4)]
COSTS = st.floats(0.001, 10.0)


def serve(queue, cost_of):
    """Take and pay for one frame."""
    frame = queue.take()
    queue.charge(cost_of(frame))
    return frame


def drained(queue, cost_of=lambda frame: 1.0):
    taken = []
    while queue:
        taken.append(serve(queue, cost_of))
    return taken


@given(
    st.lists(st.tuples(st.sampled_from(STREAMS), COSTS), min_size=1, max_size=60),
    st.data(),
)
def test_every_frame_comes_once_and_in_the_order_of_its_stream(arrivals, data):
    queue = FairQueue()
    waiting = [(stream, number, cost) for number, (stream, cost) in enumerate(arrivals)]
    sent, taken = list(waiting), []
    while waiting or queue:
        if waiting and (not queue or data.draw(st.booleans())):
            frame = waiting.pop(0)
            assert queue.put(frame[0], frame, 10)
        else:
            taken.append(serve(queue, lambda frame: frame[2]))
    assert sorted(taken, key=lambda frame: frame[1]) == sent
    for stream in STREAMS:
        assert [f for f in taken if f[0] == stream] == [f for f in sent if f[0] == stream]
    assert queue.size == 0


@given(st.lists(st.lists(COSTS, min_size=30, max_size=30), min_size=2, max_size=4))
def test_of_streams_that_all_wait_none_gets_more_than_a_frame_ahead_of_another(costs):
    queue = FairQueue()
    for stream, line in zip(STREAMS, costs, strict=False):
        for cost in line:
            queue.put(stream, (stream, cost), 10)
    dearest = {stream: max(line) for stream, line in zip(STREAMS, costs, strict=False)}
    left = Counter({stream: len(line) for stream, line in zip(STREAMS, costs, strict=False)})
    got = dict.fromkeys(left, 0.0)
    while min(left.values()) > 0:
        stream, cost = serve(queue, lambda frame: frame[1])
        got[stream] += cost
        left[stream] -= 1
        most, least = max(got, key=got.get), min(got, key=got.get)
        assert got[most] - got[least] <= dearest[most] + 1e-6


@given(st.lists(COSTS, min_size=1, max_size=30), st.integers(0, 29))
def test_a_stream_with_little_to_say_waits_for_one_frame_at_most(costs, after):
    """Whatever a flood sent before: the quiet stream's frame is the next to be taken."""
    queue = FairQueue()
    flood, quiet = STREAMS[:2]
    for cost in costs:
        queue.put(flood, (flood, cost), 10)
    for _ in range(min(after, len(costs) - 1)):
        serve(queue, lambda frame: frame[1])
    queue.take()  # under way when it comes
    queue.put(quiet, (quiet, 0.001), 10)
    queue.charge(costs[0])
    assert queue.take()[0] == quiet


def test_a_stream_whose_line_runs_empty_between_two_dear_frames_still_pays_for_them():
    queue = FairQueue()
    flood, other = STREAMS[:2]
    for _ in range(100):
        queue.put(other, other, 10)
    got = Counter()
    queue.put(flood, flood, 10)
    while got.total() < 110 and queue:
        frame = serve(queue, {flood: 50.0, other: 1.0}.__getitem__)
        got[frame] += 1
        if frame == flood:
            queue.put(flood, flood, 10)
    assert got[other] == 100
    assert got[flood] <= 100 / 50 + 9, "it had the queue for itself only after the other was done"


def test_idle_time_is_not_saved_up():
    queue = FairQueue()
    early, late = STREAMS[:2]
    for _ in range(100):
        queue.put(early, early, 10)
    for _ in range(50):
        serve(queue, lambda _: 1.0)
    for _ in range(50):
        queue.put(late, late, 10)
    assert Counter(serve(queue, lambda _: 1.0) for _ in range(20)) == {early: 10, late: 10}


def test_what_exceeds_a_line_is_left_and_other_lines_have_room():
    queue = FairQueue(QueueLimits(line_bytes=3 * (OVERHEAD + 10)))
    flood, quiet = STREAMS[:2]
    assert [queue.put(flood, number, 10) for number in range(5)] == [True] * 3 + [False] * 2
    assert queue.put(quiet, "quiet", 10)
    assert [frame for frame in drained(queue) if frame != "quiet"] == [0, 1, 2]


def test_a_frame_larger_than_a_line_finds_room_in_an_empty_one():
    queue = FairQueue(QueueLimits(line_bytes=10))
    assert queue.put(STREAMS[0], "large", 1_000)
    assert queue.take() == "large"


def test_very_many_tiny_frames_of_very_many_streams_are_bounded_and_their_debts_forgotten():
    queue = FairQueue(QueueLimits(most_bytes=100 * OVERHEAD))
    put = 0
    while queue.has_room:
        assert queue.put(put.to_bytes(16, "big"), put, 0)
        put += 1
    assert put == 100
    queue.put(b"steady", "steady", 0)
    for number in range(5_000):
        serve(queue, lambda _: 1.0)
        queue.put((10_000 + number).to_bytes(16, "big"), number, 0)
    assert len(queue._debts) <= 1_024
    drained(queue)
    assert not queue._debts
    assert not queue._lines


def test_the_rest_of_a_frame_stands_where_it_stood():
    queue = FairQueue()
    stream, other = STREAMS[:2]
    for frame in ("abc", "d"):
        queue.put(stream, frame, 10)
    queue.put(other, "x", 10)
    assert queue.take() == "abc"
    queue.give_back([("b", 4), ("c", 4)])
    queue.charge(1.0)
    assert drained(queue) == ["x", "b", "c", "d"]
    assert queue.size == 0


def test_what_the_next_frame_may_cost_is_what_the_last_of_its_stream_did():
    queue = FairQueue()
    assert queue.next_cost == 0
    queue.put(STREAMS[0], 1, 10)
    queue.put(STREAMS[0], 2, 10)
    assert queue.next_cost == 0
    serve(queue, lambda _: 3.0)
    assert queue.next_cost == 3


def test_nothing_to_take_says_so():
    with pytest.raises(IndexError):
        FairQueue().take()
