"""From a training's storages into a stage: at once on the CPU, in stream order from a device."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch

from exptrack_agent.torch.checkpoints.stage import Stage


def copy_storages(
    stage: Stage,
    storages: Sequence[Any],
    starts: Sequence[int],
    later: Collection[int] = (),
) -> Landing | None:
    """Copy all of them, but those that are copied later, as they are now.

    Returns:
        None: they are there. Else what to wait for, by a thread that is not training's.
    """
    landing: Landing | None = None
    for place, (storage, start) in enumerate(zip(storages, starts, strict=True)):
        if not storage.nbytes() or place in later:
            continue
        if storage.device.type == "cpu":
            stage.copy_in(storage, start)
            continue
        landing = landing or Landing(stage)
        landing.send(storage, start)
    return landing


class Landing:
    """Copies from devices that are under way. Not run here: no such device.

    Each stands on the current stream, so that work queued after it, such as an optimizer's step, cannot
    change what it takes, and the host waits for nothing. The stage is pinned, else the copies would wait.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._events: dict[str, Any] = {}
        stage.allocate()
        _pin(stage)

    def send(self, storage: Any, start: int) -> None:
        """Queue the copy of a storage."""
        size = storage.nbytes()
        source = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
        self._stage.tensor(start, size).copy_(source, non_blocking=True)
        api: Any = getattr(torch, storage.device.type, None)
        make_event: Callable[[], Any] | None = getattr(api, "Event", None)
        if make_event is None:  # a device without events copies at once
            return
        event = self._events.setdefault(str(storage.device), make_event())
        event.record(api.current_stream(storage.device))

    def wait(self) -> None:
        """Wait until all has landed."""
        for event in self._events.values():
            event.synchronize()


def _pin(stage: Stage) -> None:
    if not torch.cuda.is_initialized() or stage.before_removal is not None:
        return
    runtime, address = torch.cuda.cudart(), stage.address
    if int(runtime.cudaHostRegister(address, stage.size, 0)) == 0:  # else the copies wait
        stage.before_removal = lambda: runtime.cudaHostUnregister(address)
