"""A run's samples on their way: nothing under way is taken for lost, and nothing waits without bound."""

from __future__ import annotations

import random

import pytest

from exptrack_daemon.sampler.stream import (
    MOST_UNDER_WAY,
    MOST_WAITING,
    SEND_AGAIN_AFTER_S,
    SampleStream,
)
from exptrack_proto.codec import decode
from exptrack_proto.frame import parse
from exptrack_proto.records import Close, Open
from tests.support.desks import RUN, make_desk, read_back


def send_all(stream):
    sent = []
    while (frame := stream.next_frame()) is not None:
        sent.append(frame)
        stream.went(0.0)
    return sent


def test_a_stream_is_an_open_rows_with_counting_steps_and_a_close():
    stream = SampleStream(RUN, 5, first_step=40)
    stream.sample({"a": 1}, 6)
    stream.sample({"a": 2}, 7)
    stream.close(8)
    bodies = [decode(parse(frame)) for frame in send_all(stream)]
    assert isinstance(bodies[0], Open)
    assert bodies[0].role == "sampler"
    assert [(row.step, row.values) for body in bodies[1:3] for row in body] == [
        (40, {"a": 1}),
        (41, {"a": 2}),
    ]
    assert isinstance(bodies[3], Close)
    assert not stream.is_done
    stream.heard("boot", 4, 0.0)
    assert stream.is_done
    assert (stream.hello().first, stream.hello().next) == (4, 4)


def test_what_is_in_doubt_with_another_intake_is_sent_again_in_order():
    stream = SampleStream(RUN, 1)
    for _ in range(3):
        stream.sample({}, 1)
    first = send_all(stream)
    stream.heard("one", 1, 0.0)
    assert send_all(stream) == []
    stream.heard("two", 2, 0.0)
    assert send_all(stream) == first[2:]


def test_what_waits_is_bounded_and_the_open_is_never_dropped():
    stream = SampleStream(RUN, 1)
    for _ in range(5 * MOST_WAITING):
        stream.sample({}, 1)
    assert len(stream.unsent) == MOST_WAITING
    assert stream.unsent[0][0] == 0
    assert len(send_all(stream)) == MOST_UNDER_WAY
    assert stream.hello().first == 0


def test_what_an_intake_left_is_sent_again_after_a_while():
    stream = SampleStream(RUN, 1)
    frames = send_all(stream)
    for now in (0.0, 1.0, SEND_AGAIN_AFTER_S):
        stream.heard("one", 0, now)
        assert send_all(stream) == []
    stream.heard("one", 0, SEND_AGAIN_AFTER_S + 0.1)
    assert send_all(stream) == frames


@pytest.mark.parametrize("seed", range(8))
def test_the_ledger_names_exactly_the_samples_that_were_never_sent(home, seed):
    """Against the real desk: hellos overtake frames, disks fail, frames are left and sent again."""
    dice, desk, stream = random.Random(seed), make_desk(home), SampleStream(RUN, 1)
    on_the_way, ever_sent, samples, now = [], set(), 0, 0.0

    def round_(*, works):
        nonlocal now
        now += dice.choice([0.1, 3.0])
        if works or dice.random() < 0.7:
            on_the_way.extend(send_all(stream))
            ever_sent.update(parse(frame).first for frame in on_the_way)
        if works or dice.random() < 0.7:
            desk.resync(RUN, stream.stream, stream.hello().first)
        if works or dice.random() < 0.6:
            for frame in on_the_way:
                if works or dice.random() < 0.98:
                    desk.take(frame)
            on_the_way.clear()
            desk.commit()
        stream.heard("b", desk.durable(RUN, stream.stream), now)

    for _ in range(60):
        for _ in range(dice.choice([1, 1, 20, 200])):
            stream.sample({}, 1)
            samples += 1
        round_(works=False)
    for _ in range(200):
        round_(works=True)
    assert stream.is_done
    told = read_back(home)
    lost = {n for first, last, _ in told.losses for n in range(first, last + 1)}
    assert sorted(lost | {step + 1 for step in told.steps}) == list(range(1, samples + 1))
    assert lost.isdisjoint(ever_sent)
    assert told.steps == sorted(set(told.steps))
