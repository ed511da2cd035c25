"""Which module's output was the first with NaN or Inf: forward hooks, for those who ask.

On the CPU one pass over each output (its sum of squares) says whether all is finite. On a device
the norms are left there and fetched together at the end of the step.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from exptrack_agent.torch.compiling import left_out_of_compile
from exptrack_agent.torch.naming import plain_name, unwrapped
from exptrack_agent.torch.sending import is_on_device
from exptrack_agent.torch.statistics import nonfinite_of, norms_of, plain


class Activations:
    """Listens to the leaf modules of a model in training mode."""

    def __init__(self, model: Any) -> None:
        self.on = True
        self.found: list[tuple[str, int, int]] = []
        """(module, NaN, Inf) in order of execution, of outputs on the CPU."""
        self.later: list[tuple[str, Any]] = []
        """(module, norm) in order of execution, on a device and unread."""
        self._names = {}
        self._hooks = []
        for name, module in unwrapped(model).named_modules():
            if not any(True for _ in module.children()):
                self._names[id(module)] = plain_name(name) or type(module).__name__
                self._hooks.append(module.register_forward_hook(self._after))

    def take(self) -> tuple[list[tuple[str, int, int]], list[tuple[str, Any]]]:
        """What was found since the last call."""
        found, self.found = self.found, []
        later, self.later = self.later, []
        return found, later

    def close(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    @left_out_of_compile
    def _after(self, module: Any, _arguments: Any, output: Any) -> None:
        if not self.on or not module.training or not isinstance(output, torch.Tensor):
            return
        if not output.is_floating_point() and not output.is_complex():
            return
        with torch.no_grad():
            self._look(self._names[id(module)], plain(output))

    def _look(self, name: str, output: Any) -> None:
        norms = norms_of([output])
        if is_on_device(output):
            self.later.append((name, norms.devices[0].vector))
        elif not math.isfinite(norms.host[0]):
            count = nonfinite_of(output)
            if count.nan or count.inf:
                self.found.append((name, count.nan, count.inf))
