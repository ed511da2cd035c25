"""An accelerator that works only when a test lets it, and counts whoever waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any


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
