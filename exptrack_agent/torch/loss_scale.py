"""The loss scale of a `GradScaler`, and the steps it skipped, without waiting for a device.

The scale is a tensor that the scaler changes in place. Skipped steps: the scaler does not call an
unfused optimizer's step then, so its hook is missing; a fused one is called, and bears `found_inf`
while its hook runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exptrack_agent.torch.sending import is_on_device, put_later, put_row

MOST_CHANGES = 1_000


class LossScale:
    """History of one scaler, fed once a step."""

    def __init__(self, run: Any, scaler: Any) -> None:
        self.history: list[tuple[int, float]] = []
        """(step, scale) where the scale changed; the first thousand."""
        self.skipped = 0
        """Steps that the scaler did not let through."""
        self.last: float | None = None
        self._run = run
        self._scaler = scaler
        self._steps_done = 0
        self._found: list[Any] = []

    def step_done(self, optimizer: Any) -> None:
        """The optimizer's hook after a step."""
        self._steps_done += 1
        found = getattr(optimizer, "found_inf", None)
        if found is not None:
            self._found.append(found.detach().clone())

    def end_of_step(self, step: int) -> None:
        """Record `amp/scale` and `amp/skipped`."""
        missing = not self._steps_done
        found, self._found, self._steps_done = self._found, [], 0
        scale = getattr(self._scaler, "_scale", None)
        if scale is None:  # disabled, or nothing was scaled yet
            return
        tensors = [scale, *found]
        if any(is_on_device(tensor) for tensor in tensors):
            put_later(self._run, tensors, self._landed(step, missing=missing), what="amp/scale")
            return
        self._landed(step, missing=missing)([float(tensor) for tensor in tensors])

    def _landed(self, step: int, *, missing: bool) -> Callable[[list[float]], None]:
        def note(numbers: list[float]) -> None:
            scale, *found = numbers
            self.skipped += missing or any(found)
            if scale != self.last and len(self.history) < MOST_CHANGES:
                self.history.append((step, scale))
            self.last = scale
            put_row(self._run, {"amp/scale": scale, "amp/skipped": self.skipped}, step)

        return note

    def report(self) -> dict[str, Any]:
        """For the summary."""
        return {"scale": self.last, "skipped": self.skipped, "scale_changes": list(self.history)}
