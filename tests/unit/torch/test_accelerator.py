"""Slots of an accelerator: the same code on the CPU with stand-in events, and on CUDA where there is one."""

from __future__ import annotations

import time
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from exptrack_agent.device import DeviceValues
from exptrack_agent.torch.accelerator import TorchDevice, TorchSlots

needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device: what is tested is its asynchrony"
)


class HandEvent:
    """An event that is reached when the test says so."""

    reached = True

    def __init__(self) -> None:
        self.streams: list[Any] = []

    def record(self, stream: Any) -> None:
        self.streams.append(stream)

    def query(self) -> bool:
        return HandEvent.reached


API = SimpleNamespace(Event=HandEvent, current_stream=lambda device: f"stream of {device}")


@pytest.fixture
def slots() -> TorchSlots:
    HandEvent.reached = True
    return TorchSlots(torch.device("cpu"), API, count=2, capacity=6, pinned=False)


def test_tensors_of_any_type_and_shape_stand_in_the_slot_one_after_the_other(slots: TorchSlots):
    tensors = [
        torch.tensor(1.5),
        torch.tensor([2.5, 3.5], dtype=torch.bfloat16),
        torch.tensor(7, dtype=torch.int64),
        torch.tensor(True),
    ]
    assert slots.send(0, tensors) == 5
    assert slots.has_landed(0)
    assert slots.read(0, 5) == [1.5, 2.5, 3.5, 7.0, 1.0]


def test_a_change_after_send_is_not_seen(slots: TorchSlots):
    loss = torch.tensor(1.0, requires_grad=True)
    slots.send(1, [loss])
    with torch.no_grad():
        loss.fill_(9.0)
    assert slots.read(1, 1) == [1.0]


def test_the_event_is_recorded_on_the_current_stream_behind_the_copy(slots: TorchSlots):
    slots.send(1, [torch.tensor(1.0)])
    assert slots._events[1].streams == ["stream of cpu"]
    assert slots._events[0].streams == []
    HandEvent.reached = False
    assert not slots.has_landed(1)


def test_float32_and_counts_keep_every_digit(slots: TorchSlots):
    third, count = torch.tensor(1 / 3), torch.tensor(2**53 - 1)
    slots.send(0, [third, count])
    assert slots.read(0, 2) == [third.item(), count.item()]


def test_device_values_over_these_slots(slots: TorchSlots):
    device = SimpleNamespace(open_slots=lambda device: slots, is_capturing=lambda device: False)
    values, rows = DeviceValues(device), []
    for step in range(4):
        values.put_row([("loss", torch.tensor(float(step)))], rows.append)
        values.poll()
    assert rows == [{"loss": float(step)} for step in range(4)]


def test_only_cuda_can_be_capturing():
    assert not TorchDevice().is_capturing("cpu")


# --- with a device --------------------------------------------------------------------------------


@needs_cuda
def test_cuda_nothing_synchronises_while_a_kernel_spins():
    values, rows = DeviceValues(TorchDevice()), []
    tensors = [torch.full((), float(number), device="cuda") for number in range(1_000)]
    values.put_row([("warm", tensors[0])], rows.append)
    assert values.settle(5)
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.cuda._sleep(400_000_000)  # some 200 ms of device time
        began = time.perf_counter()
        values.put_row(
            [(str(number), tensor) for number, tensor in enumerate(tensors)], rows.append
        )
        values.poll()
        took_s = time.perf_counter() - began
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert took_s < 0.05
    assert values.settle(10)
    assert rows[-1] == {str(number): float(number) for number in range(1_000)}


@needs_cuda
def test_cuda_a_change_after_put_is_not_seen():
    values, rows = DeviceValues(TorchDevice()), []
    loss = torch.tensor(1.0, device="cuda")
    values.put_row([("loss", loss)], rows.append)
    loss.fill_(9.0)
    assert values.settle(5)
    assert rows == [{"loss": 1.0}]


@needs_cuda
def test_cuda_a_graph_is_captured_unharmed_while_values_are_under_way():
    values, rows = DeviceValues(TorchDevice()), []
    x = torch.ones(4, device="cuda")
    values.put_row([("before", x.sum())], rows.append)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with warnings.catch_warnings(), torch.cuda.graph(graph):
        y = x * 2
        values.put_row([("inside", y.sum())], rows.append)
        values.poll()
    graph.replay()
    assert values.settle(5)
    assert rows == [{"before": 4.0}]
    assert values.skipped == 1
    assert y.tolist() == [2.0] * 4
