"""How numbers reach a run: rows beside the user's own, device values later, faults never."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from exptrack_agent.device import DeviceValues
from exptrack_agent.errors import Misuse
from exptrack_agent.torch.accelerator import TorchSlots
from exptrack_agent.torch.sending import (
    is_on_device,
    kept_from_training,
    put_later,
    put_row,
    put_row_later,
)
from tests.unit.torch.recording_run import RecordingRun
from tests.unit.torch.test_accelerator import API, HandEvent


@pytest.fixture
def values(run: RecordingRun) -> DeviceValues:
    """The real device values of the run, over slots on the CPU."""
    HandEvent.reached = True
    slots = TorchSlots(torch.device("cpu"), API, count=2, capacity=8, pinned=False)
    made = DeviceValues(SimpleNamespace(open_slots=lambda _: slots, is_capturing=lambda _: False))
    run.landing = made
    return made


def test_a_run_that_can_gets_rows_beside_the_users_own(run: RecordingRun):
    beside: list[Any] = []
    run.log_beside = lambda data, step, time_ns: beside.append((data, step, time_ns))
    put_row(run, {"a": 1.0}, 4)
    assert run.rows == []
    ((data, step, time_ns),) = beside
    assert (data, step) == ({"a": 1.0}, 4)
    assert time_ns > 0


def test_an_empty_row_is_none(run: RecordingRun):
    put_row(run, {}, 4)
    assert run.rows == []


def test_device_values_become_rows_of_their_step(run: RecordingRun, values: DeviceValues):
    put_row_later(run, [("loss", torch.tensor(0.5)), ("lr", torch.tensor(0.1))], 12)
    assert run.rows == []
    values.poll()
    assert run.rows == [(12, {"loss": 0.5, "lr": pytest.approx(0.1)})]


def test_a_fault_in_what_uses_a_value_stays_there(run: RecordingRun, values: DeviceValues):
    put_later(run, [torch.tensor(1.0)], lambda _: 1 / 0, what="a test")
    assert values.poll() == 1


def test_what_landed_is_handed_on_at_the_next_put(run: RecordingRun, values: DeviceValues):
    for step in range(5):
        put_row_later(run, [("loss", torch.tensor(float(step)))], step)
    values.poll()
    assert [step for step, _ in run.rows] == [0, 1, 2, 3, 4]
    assert values.skipped == 0


def test_faults_of_ours_stay_and_faults_of_the_caller_come_out():
    with kept_from_training("a test"):
        raise ZeroDivisionError
    with pytest.raises(Misuse), kept_from_training("a test"):
        raise Misuse("the caller's")


def test_what_is_on_a_device():
    assert not is_on_device(torch.ones(1))
    assert not is_on_device(1.0)
    assert is_on_device(SimpleNamespace(device=torch.device("cuda", 0)))
