"""Device values on a fake device, which works only when the test lets it, and counts who waits for it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from exptrack_agent.device import DeviceValues, device_values, known_device_values


class FakeDevice:
    """A queue of work. Nothing happens before `work`; asking for a number would be a wait, and is counted."""

    def __init__(self, *, slots: int = 3, capacity: int = 8, polls_elsewhere: bool = True) -> None:
        self.queue: deque[Callable[[], None]] = deque()
        self.waits = 0
        self.capturing = False
        self.asked = 0
        self.opened = 0
        self.lost = False
        self.slots, self.capacity, self.polls_elsewhere = slots, capacity, polls_elsewhere

    def tensor(self, *values: float, dtype: str = "float") -> FakeTensor:
        return FakeTensor(self, list(values), dtype)

    def work(self, operations: int | None = None) -> None:
        for _ in range(len(self.queue) if operations is None else operations):
            self.queue.popleft()()

    def open_slots(self, device: Any) -> FakeSlots:
        self.opened += 1
        return FakeSlots(self)

    def is_capturing(self, device: Any) -> bool:
        return self.capturing


class FakeTensor:
    def __init__(self, device: FakeDevice, values: list[float], dtype: str) -> None:
        self._device, self.values = device, values
        self.device = "fake:0"
        self.dtype = dtype if dtype == "float" else SimpleDtype(dtype)

    def numel(self) -> int:
        return len(self.values)

    def fill_(self, value: float) -> None:
        """As on a device: later than what was queued before."""
        self._device.queue.append(lambda: self.values.__setitem__(slice(None), [value]))

    def item(self) -> float:
        self._device.waits += 1
        self._device.work()
        return self.values[0]


class SimpleDtype(SimpleNamespace):
    def __init__(self, name: str) -> None:
        super().__init__(is_floating_point=False, name=name)

    def __str__(self) -> str:
        return f"torch.{self.name}"


class FakeSlots:
    def __init__(self, device: FakeDevice) -> None:
        self.count, self.capacity = device.slots, device.capacity
        self.polls_elsewhere = device.polls_elsewhere
        self._device = device
        self._here = [[0.0] * self.capacity for _ in range(self.count)]
        self._landed = [False] * self.count

    def send(self, slot: int, tensors: Sequence[FakeTensor]) -> int:
        if self._device.lost:
            raise RuntimeError("device lost")
        self._landed[slot] = False

        def copy() -> None:
            self._here[slot] = [float(value) for tensor in tensors for value in tensor.values]

        self._device.queue.append(copy)
        self._device.queue.append(lambda: self._landed.__setitem__(slot, True))
        return sum(tensor.numel() for tensor in tensors)

    def has_landed(self, slot: int) -> bool:
        self._device.asked += 1
        if self._device.lost:
            raise RuntimeError("device lost")
        return self._landed[slot]

    def read(self, slot: int, numbers: int) -> list[float]:
        assert self._landed[slot], "read before it landed: garbage"
        return self._here[slot][:numbers]


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def values(device: FakeDevice) -> DeviceValues:
    return DeviceValues(device)


def test_a_value_comes_when_the_device_got_there_and_nobody_waits(
    device: FakeDevice, values: DeviceValues
):
    got: list[list[float]] = []
    assert values.put([device.tensor(1.5), device.tensor(2.5, 3.5)], got.append)
    assert values.poll() == 0
    assert got == []
    device.work()
    assert values.poll() == 1
    assert got == [[1.5, 2.5, 3.5]]
    assert values.is_empty
    assert device.waits == 0


def test_a_change_after_put_is_not_seen(device: FakeDevice, values: DeviceValues):
    got: list[list[float]] = []
    loss = device.tensor(1.0)
    values.put([loss], got.append)
    loss.fill_(99.0)
    device.work()
    values.poll()
    assert got == [[1.0]]


def test_values_come_in_the_order_they_were_put(device: FakeDevice, values: DeviceValues):
    got: list[list[float]] = []
    for number in range(3):
        values.put([device.tensor(float(number))], got.append)
    device.work(4)  # two of the three have landed
    values.poll()
    assert got == [[0.0], [1.0]]
    device.work()
    values.poll()
    assert got == [[0.0], [1.0], [2.0]]


def test_without_a_free_slot_values_are_skipped_and_counted_not_waited_for(
    device: FakeDevice, values: DeviceValues
):
    got: list[list[float]] = []
    taken = [values.put([device.tensor(1.0), device.tensor(2.0)], got.append) for _ in range(5)]
    assert taken == [True, True, True, False, False]
    assert values.skipped == 4
    device.work()
    values.poll()
    assert values.put([device.tensor(7.0)], got.append)
    assert device.waits == 0
    assert len(got) == 3


def test_more_numbers_than_a_slot_holds_are_skipped_and_counted(
    device: FakeDevice, values: DeviceValues
):
    assert not values.put([device.tensor(*range(9))], lambda numbers: None)
    assert values.skipped == 9


def test_while_a_graph_is_captured_nothing_is_put_and_nothing_asked(
    device: FakeDevice, values: DeviceValues
):
    got: list[list[float]] = []
    values.put([device.tensor(1.0)], got.append)
    device.work()
    device.capturing = True
    assert not values.put([device.tensor(2.0)], got.append)
    assert values.poll() == 0
    assert (device.asked, values.skipped) == (0, 1)
    device.capturing = False
    assert values.poll() == 1
    assert got == [[1.0]]


def test_a_graph_captured_before_the_first_value_does_not_open_slots(
    device: FakeDevice, values: DeviceValues
):
    device.capturing = True
    values.put([device.tensor(1.0)], lambda numbers: None)
    assert device.opened == 0


def test_a_thread_that_may_not_ask_does_not():
    device = FakeDevice(polls_elsewhere=False)
    values = DeviceValues(device)
    got: list[list[float]] = []
    values.put([device.tensor(1.0)], got.append)
    device.work()
    courier = threading.Thread(target=values.poll)
    courier.start()
    courier.join()
    assert device.asked == 0
    assert values.poll() == 1


def test_a_lost_device_is_counted_and_training_hears_nothing(
    device: FakeDevice, values: DeviceValues
):
    values.put([device.tensor(1.0)], lambda numbers: None)
    device.lost = True
    assert values.poll() == 0
    assert not values.put([device.tensor(2.0)], lambda numbers: None)
    assert values.is_empty
    assert values.skipped == 2


def test_a_device_that_fails_while_copying_is_not_tried_again(
    device: FakeDevice, values: DeviceValues
):
    device.lost = True
    assert not values.put([device.tensor(1.0)], lambda numbers: None)
    device.lost = False
    assert not values.put([device.tensor(1.0)], lambda numbers: None)
    assert values.skipped == 2


def test_a_row_gets_its_names_and_kinds_back(device: FakeDevice, values: DeviceValues):
    rows: list[dict[str, Any]] = []
    values.put_row(
        [
            ("loss", device.tensor(0.5)),
            ("count", device.tensor(7, dtype="int64")),
            ("ok", device.tensor(1, dtype="bool")),
        ],
        rows.append,
    )
    device.work()
    values.poll()
    assert rows == [{"loss": 0.5, "count": 7, "ok": True}]
    assert isinstance(rows[0]["count"], int)
    assert rows[0]["ok"] is True


def test_settling_polls_until_all_is_there_or_time_is_up(device: FakeDevice, values: DeviceValues):
    got: list[list[float]] = []
    values.put([device.tensor(math.inf)], got.append)
    assert not values.settle(0.01)
    device.work()
    assert values.settle(0.01)
    assert got == [[math.inf]]
    assert device.waits == 0


def test_what_uses_a_value_may_put_another(device: FakeDevice, values: DeviceValues):
    values.put([device.tensor(1.0)], lambda _: values.put([device.tensor(2.0)], print) and None)
    device.work()
    values.poll()
    assert not values.is_empty


def test_the_values_of_a_run_are_made_when_needed_and_go_with_it():
    class Run:
        pass

    run = Run()
    assert known_device_values(run) is None
    assert device_values(run) is device_values(run)
    assert known_device_values(run) is not None
