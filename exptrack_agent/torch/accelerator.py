"""Slots on a real accelerator: device memory, pinned memory and events, all made once."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch

from exptrack_agent.device import Slots

SLOTS = 16
CAPACITY = 4_096
_RELAXED = 2  # cudaStreamCaptureModeRelaxed


class TorchDevice:
    """Opens slots on whatever accelerator torch has."""

    def open_slots(self, device: Any) -> Slots:
        """Allocates; the one moment that may wait, at the first value of a run."""
        device = torch.device(device)
        return TorchSlots(device, getattr(torch, device.type), pinned=device.type != "mps")

    def is_capturing(self, device: Any) -> bool:
        """Whether this thread is capturing a CUDA graph."""
        if torch.device(device).type != "cuda":
            return False
        return bool(torch.cuda.is_current_stream_capturing())


class TorchSlots:
    """A matrix on the device, its twin in pinned memory, an event a row.

    `api` is `torch.cuda` or its like: it makes events and knows the current stream.
    """

    def __init__(
        self,
        device: Any,
        api: Any,
        *,
        count: int = SLOTS,
        capacity: int = CAPACITY,
        pinned: bool = True,
    ) -> None:
        self.count = count
        self.capacity = capacity
        # float64 holds every float and every count exactly; MPS has none.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self._here = torch.zeros(count, capacity, dtype=dtype, device=device)
        self._there = torch.zeros(count, capacity, dtype=dtype, pin_memory=pinned)
        self._events = [api.Event() for _ in range(count)]
        self._current_stream: Callable[[Any], Any] = api.current_stream
        self._device = device
        self._exchange_mode = _capture_mode_exchange() if device.type == "cuda" else None
        self.polls_elsewhere = device.type != "cuda" or self._exchange_mode is not None

    def send(self, slot: int, tensors: Sequence[Any]) -> int:
        """Copy tensors into the slot and the slot to the host, on the current stream."""
        row = self._here[slot]
        targets: list[Any] = []
        end = 0
        for tensor in tensors:
            start, end = end, end + tensor.numel()
            targets.append(row[start:end].view(tensor.shape))
        with torch.no_grad():
            _copy_all(targets, [tensor.detach() for tensor in tensors])
            self._there[slot, :end].copy_(row[:end], non_blocking=True)
        self._events[slot].record(self._current_stream(self._device))
        return end

    def has_landed(self, slot: int) -> bool:
        """Ask the event. Another thread may be capturing a graph, which a plain question would spoil."""
        if self._exchange_mode is None:
            return bool(self._events[slot].query())
        mode = ctypes.c_int(_RELAXED)
        self._exchange_mode(ctypes.byref(mode))
        try:
            return bool(self._events[slot].query())
        finally:
            self._exchange_mode(ctypes.byref(mode))

    def read(self, slot: int, numbers: int) -> list[float]:
        """The numbers of a slot that has landed."""
        return list(self._there[slot, :numbers].tolist())


def _copy_all(targets: list[Any], tensors: list[Any]) -> None:
    together = getattr(torch, "_foreach_copy_", None)
    if together is not None:
        together(targets, tensors)
        return
    for target, tensor in zip(targets, tensors, strict=True):
        target.copy_(tensor)


def _capture_mode_exchange() -> Callable[[Any], int] | None:
    """`cudaThreadExchangeStreamCaptureMode` of the CUDA runtime that torch has loaded, if it can be had.

    Torch's own NCCL watchdog asks its events in the relaxed mode for the same reason.
    """
    version = str(getattr(torch.version, "cuda", None) or "").partition(".")[0]
    if not version:
        return None
    try:
        exchange = ctypes.CDLL(f"libcudart.so.{version}").cudaThreadExchangeStreamCaptureMode
    except (OSError, AttributeError):
        return None
    exchange.argtypes = [ctypes.c_void_p]
    return exchange
