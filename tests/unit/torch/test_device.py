"""Device values on a fake device, which works only when the test lets it, and counts who waits for it."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from exptrack_agent.device import DeviceValues, device_values, known_device_values
from tests.unit.torch.fake_device import FakeDevice


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
