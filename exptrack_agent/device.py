"""Values on an accelerator: copied there, fetched without waiting, read when they have landed.

Reading such a value (`.item()`) makes training wait until the device has done all work before it.
So:

    put     the value is copied at once, by the device, into a slot made beforehand; one copy that
            does not wait takes the slot to pinned memory, and an event behind it says when it is there
    poll    looks (never waits) whether the oldest slots have landed, reads them, hands the numbers on

Since the copy stands on the same stream, a change of the tensor after `put` comes too late to be
seen. When all slots are under way the values are skipped and counted: a wait would cost more than a
point. While a graph is being captured nothing is put (a replay would write into a slot that has a
new owner) and nothing is asked.

`DeviceValues` decides and knows no device; `Slots` is one. `exptrack_agent.torch.accelerator` has
the real one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from exptrack_agent.notices import say_once

Deliver: TypeAlias = Callable[[list[float]], None]
_SETTLE_PAUSE_S = 0.001


class Slots(Protocol):
    """Slots of one device. Nothing here may wait for it."""

    count: int
    capacity: int
    """Numbers in a slot."""
    polls_elsewhere: bool
    """Whether `has_landed` may be called by a thread that is not the one that captures graphs."""

    def send(self, slot: int, tensors: Sequence[Any]) -> int:
        """Copy tensors into the slot and the slot to the host, in stream order; how many numbers."""
        ...

    def has_landed(self, slot: int) -> bool:
        """Whether the numbers are there."""
        ...

    def read(self, slot: int, numbers: int) -> list[float]:
        """The numbers of a slot that has landed."""
        ...


class Device(Protocol):
    """What opens slots on a device, and knows whether a graph is being captured."""

    def open_slots(self, device: Any) -> Slots:
        """Slots on this device; the one call that may wait."""
        ...

    def is_capturing(self, device: Any) -> bool:
        """Whether this thread is capturing a graph."""
        ...


class _Bundle(NamedTuple):
    slot: int
    numbers: int
    deliver: Deliver


class _Lane:
    """The slots of one device: those that are free, and those under way in the order they were sent."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.free = deque(range(slots.count))
        self.under_way: deque[_Bundle] = deque()


class DeviceValues:
    """Takes values from devices to numbers, for one run. Safe to use from several threads."""

    def __init__(self, device: Device) -> None:
        self.skipped = 0
        """Values that were not recorded, for want of a slot or because a graph was being captured."""
        self._device = device
        self._lock = threading.RLock()
        self._lanes: dict[str, _Lane | None] = {}
        self._owner = threading.get_ident()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is under way."""
        return not any(lane.under_way for lane in self._lanes.values() if lane is not None)

    def put(self, tensors: Sequence[Any], deliver: Deliver) -> bool:
        """Take tensors of one device as they are now; `deliver` gets their numbers, later, on some thread.

        Returns:
            False when they were skipped.
        """
        if not tensors:
            return True
        numbers = sum(tensor.numel() for tensor in tensors)
        with self._lock:
            self._owner = threading.get_ident()
            try:
                return self._put(tensors, numbers, deliver)
            except Exception as error:  # noqa: BLE001  # a lost device must not end training here
                self._lanes[str(tensors[0].device)] = None
                return self._skip(numbers, f"a device value could not be copied: {error!r:.200}")

    def put_row(
        self, named: Sequence[tuple[str, Any]], deliver: Callable[[dict[str, Any]], None]
    ) -> None:
        """Take named 0-d tensors, each device's in one go; `deliver` gets what landed, by name."""
        by_device: dict[str, list[tuple[str, Any]]] = {}
        for name, tensor in named:
            by_device.setdefault(str(tensor.device), []).append((name, tensor))
        for part in by_device.values():
            kinds = [(name, kind_of(tensor)) for name, tensor in part]
            self.put([tensor for _, tensor in part], _as_row(kinds, deliver))

    def poll(self) -> int:
        """Hand on what has landed; returns how many bundles. Never waits."""
        landed: list[tuple[Deliver, list[float]]] = []
        with self._lock:
            for device, lane in self._lanes.items():
                if lane is not None and lane.under_way and self._may_ask(device, lane):
                    self._collect(device, lane, landed)
        for deliver, numbers in landed:  # outside the lock: it logs, and logging may put
            deliver(numbers)
        return len(landed)

    def settle(self, timeout_s: float) -> bool:
        """At the end of a run: poll until nothing is under way, at most `timeout_s`; whether all came."""
        deadline = time.monotonic() + timeout_s
        pause = threading.Event()
        while True:
            self.poll()
            if self.is_empty:
                return True
            if time.monotonic() >= deadline:
                return False
            pause.wait(_SETTLE_PAUSE_S)

    # --- inside ---------------------------------------------------------------------------------

    def _put(self, tensors: Sequence[Any], numbers: int, deliver: Deliver) -> bool:
        device = tensors[0].device
        if self._device.is_capturing(device):
            return self._skip(numbers, "values logged while a CUDA graph is captured are left out")
        lane = self._lane(device)
        if lane is None:
            return self._skip(numbers, "")
        if numbers > lane.slots.capacity:
            return self._skip(
                numbers, f"{numbers} device values at once are more than a slot holds"
            )
        if not lane.free:
            return self._skip(
                numbers, "the device is far behind; its values of some steps are left out"
            )
        slot = lane.free.popleft()
        sent = lane.slots.send(slot, tensors)
        lane.under_way.append(_Bundle(slot, sent, deliver))
        return True

    def _lane(self, device: Any) -> _Lane | None:
        key = str(device)
        if key not in self._lanes:
            self._lanes[key] = None  # should opening fail, it is not tried again
            self._lanes[key] = _Lane(self._device.open_slots(device))
        return self._lanes[key]

    def _skip(self, numbers: int, why: str) -> bool:
        self.skipped += numbers
        if why:
            say_once(f"device {why[:40]}", f"{why} (counted as skipped)")
        return False

    def _may_ask(self, device: str, lane: _Lane) -> bool:
        if threading.get_ident() != self._owner and not lane.slots.polls_elsewhere:
            return False
        return not self._device.is_capturing(device)

    def _collect(self, device: str, lane: _Lane, landed: list[tuple[Deliver, list[float]]]) -> None:
        try:
            while lane.under_way and lane.slots.has_landed(lane.under_way[0].slot):
                bundle = lane.under_way.popleft()
                landed.append((bundle.deliver, lane.slots.read(bundle.slot, bundle.numbers)))
                lane.free.append(bundle.slot)
        except Exception as error:  # noqa: BLE001  # a lost device
            lost = sum(bundle.numbers for bundle in lane.under_way)
            lane.under_way.clear()
            self._lanes[device] = None
            self._skip(lost, f"device values could not be read: {error!r:.200}")


def kind_of(tensor: Any) -> type:
    """Which Python number `.item()` would give."""
    dtype = getattr(tensor, "dtype", None)
    if getattr(dtype, "is_floating_point", True):
        return float
    return bool if "bool" in str(dtype) else int


def _as_row(
    kinds: Sequence[tuple[str, type]], deliver: Callable[[dict[str, Any]], None]
) -> Deliver:
    def hand_on(numbers: list[float]) -> None:
        pairs = zip(kinds, numbers, strict=True)
        deliver({name: _number(kind, number) for (name, kind), number in pairs})

    return hand_on


def _number(kind: type, number: float) -> Any:
    return kind(number) if number - number == 0 else number


def device_values(run: Any) -> DeviceValues:
    """The device values of a run, `run.landing`; made at the first call, which loads what knows devices."""
    found = known_device_values(run)
    if found is None:
        from exptrack_agent.torch.accelerator import TorchDevice

        found = run.landing = DeviceValues(TorchDevice())
    return found


def known_device_values(run: Any) -> DeviceValues | None:
    """The device values of a run that has some: the courier's side polls them."""
    found: DeviceValues | None = getattr(run, "landing", None)
    return found
