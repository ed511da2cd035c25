"""A short session on each target: the corpus, then mutants. `make fuzz` goes on for longer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from random import Random

import pytest

from exptrack_proto import codec
from exptrack_proto.errors import ProtocolError
from exptrack_proto.frame import parse
from tests.fuzz.harness import Fuzzed, fuzz, look_at_growth
from tests.fuzz.mutate import MOST_BYTES, mutate_bytes, mutate_msgpack, tokens
from tests.fuzz.targets import TARGETS, Control, Decoder

INPUTS = {"decoder": 50_000, "control": 50_000, "journal": 3_000, "ring": 3_000, "config": 800}
MOST_S = 8.0
"""For each target, on a machine that is busy; the number of inputs ends it sooner."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_undeclared_is_raised_and_no_input_costs_much(name):
    target = TARGETS[name]()
    try:
        done = fuzz(target, seed=7, seconds=MOST_S, most_inputs=INPUTS[name])
    finally:
        target.close()
    assert [finding.what for finding in done.findings] == []
    assert done.inputs > len(target.seeds)


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_are_the_same_for_a_seed_and_no_longer_than_the_bound(name):
    first, second = TARGETS[name](), TARGETS[name]()
    try:
        a, b = Random(3), Random(3)
        made = [first.make(a) for _ in range(200)]
        assert made == [second.make(b) for _ in range(200)]
        assert len(set(made)) > 150
        assert max(map(len, made)) <= 2 * MOST_BYTES
    finally:
        first.close()
        second.close()


def test_a_value_cut_into_tokens_is_whole_again_when_joined():
    luck = Random(1)
    target = Decoder()
    for data in [*target.seeds, *(target.make(luck) for _ in range(500))]:
        assert b"".join(tokens(data)) == data


def test_enough_mutants_reach_the_typed_decoder():
    """Mutants that all fail at the first byte would prove nothing."""
    luck, target = Random(1), Decoder()
    ends = {"header": 0, "body": 0, "taken": 0}
    for _ in range(2_000):
        try:
            frame = parse(target.make(luck))
        except ProtocolError:
            ends["header"] += 1
            continue
        try:
            codec.decode(frame)
        except ProtocolError:
            ends["body"] += 1
        else:
            ends["taken"] += 1
    assert min(ends.values()) > 50


class Broken(Control):
    """A reader with a planted fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.hoard = b""

    def take(self, data: bytes) -> None:
        if self.fault == "raises" and len(data) > 60:
            raise IndexError
        if self.fault == "loops" and len(data) > 60:
            sum(range(3_000_000))
        if self.fault == "grows":
            self.hoard = bytes(32 << 20)


@pytest.mark.parametrize(("fault", "word"), [("raises", "raised"), ("loops", "took")])
def test_a_planted_fault_is_found(fault, word):
    done = fuzz(Broken(fault), seed=1, seconds=20, most_inputs=300)
    assert any(finding.what.startswith(word) for finding in done.findings)


def test_growth_beyond_the_bound_is_found():
    done = Fuzzed()
    look_at_growth(Broken("grows"), b"", done)
    assert [finding.what for finding in done.findings] == ["needed 32.0 MiB"]


def test_mutation_takes_empty_input():
    luck = Random(5)
    for _ in range(200):
        mutate_bytes(luck, b"")
        mutate_msgpack(luck, [], [[]])
