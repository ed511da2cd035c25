"""Slots as on an accelerator, in the memory of this machine."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from exptrack_agent.device import DeviceValues
from exptrack_agent.torch.accelerator import TorchSlots
from tests.unit.torch.test_accelerator import API, HandEvent


def landing() -> DeviceValues:
    """Device values whose tensors have landed when `HandEvent.reached` says so."""
    HandEvent.reached = True
    slots = TorchSlots(torch.device("cpu"), API, pinned=False)
    return DeviceValues(SimpleNamespace(open_slots=lambda _: slots, is_capturing=lambda _: False))
