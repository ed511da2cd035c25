"""GPUs through NVML: every field that a card gives, and no fuss about those that it does not."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace

import pytest

from exptrack_daemon.sampler.nvidia import NvidiaSampler


class NVMLError(Exception):
    pass


class FakeNvml:
    """The functions of pynvml that are used, for cards that are given as dicts of what they have."""

    NVMLError = NVMLError

    def __init__(self, *cards):
        self.cards = cards
        self.lost = False

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlDeviceGetCount(self):  # noqa: N802
        if self.lost:
            raise NVMLError("GPU is lost")
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return self.cards[index]

    def _field(self, card, name):
        if self.lost or name not in card:
            raise NVMLError("Not Supported")
        return card[name]

    def nvmlDeviceGetUtilizationRates(self, card):  # noqa: N802
        return SimpleNamespace(gpu=self._field(card, "gpu"), memory=self._field(card, "memory"))

    def nvmlDeviceGetMemoryInfo(self, card):  # noqa: N802
        return SimpleNamespace(used=self._field(card, "used"))

    def nvmlDeviceGetTemperature(self, card, sensor):  # noqa: N802
        assert sensor == 0
        return self._field(card, "temperature")

    def nvmlDeviceGetPowerUsage(self, card):  # noqa: N802
        return self._field(card, "power")


FULL = {"gpu": 87, "memory": 40, "used": 5 << 30, "temperature": 61, "power": 250_500}


def test_every_field_of_every_card_is_read():
    nvml = FakeNvml(FULL, FULL | {"gpu": 3})
    sampler = NvidiaSampler(nvml)
    values = sampler.read()
    assert sampler.count == 2
    assert {name: value for name, value in values.items() if "/0/" in name} == {
        "system/gpu/0/utilization_percent": 87,
        "system/gpu/0/memory_utilization_percent": 40,
        "system/gpu/0/memory_used_bytes": 5 << 30,
        "system/gpu/0/temperature_celsius": 61,
        "system/gpu/0/power_watts": 250.5,
    }
    assert values["system/gpu/1/utilization_percent"] == 3


@pytest.mark.parametrize("missing", FULL)
def test_a_field_that_a_card_lacks_is_left_out(missing):
    card = {name: value for name, value in FULL.items() if name != missing}
    assert len(NvidiaSampler(FakeNvml(card)).read()) in (4, 3)


def test_a_card_that_is_lost_has_no_values_and_comes_back():
    nvml = FakeNvml(FULL)
    sampler = NvidiaSampler(nvml)
    nvml.lost = True
    assert sampler.read() == {}
    nvml.lost = False
    assert len(sampler.read()) == 5


def test_a_driver_that_does_not_answer_at_the_start_is_no_gpu():
    nvml = FakeNvml(FULL)
    nvml.lost = True
    assert NvidiaSampler(nvml).count == 0


def test_no_library_and_no_driver_are_no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert NvidiaSampler().read() == {}

    class NoDriver(FakeNvml):
        def nvmlInit(self):  # noqa: N802
            raise NVMLError("Driver Not Loaded")

    monkeypatch.setitem(sys.modules, "pynvml", NoDriver(FULL))
    assert importlib.import_module("pynvml").cards
    assert NvidiaSampler().count == 0
