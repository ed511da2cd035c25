"""One pass over gradients: their norms, NaN and Inf; of parts of parameters, and of the whole over ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from exptrack_agent.torch.naming import named_parameters
from exptrack_agent.torch.shards import are_spread, local, summed_over_ranks
from exptrack_agent.torch.statistics import (
    DeviceNorms,
    Nonfinite,
    Norms,
    nonfinite_of_flagged,
    nonfinite_on_device,
    norms_of,
    plain,
)


class Named(NamedTuple):
    """Tensors by the name of their parameter, each dense, real and local."""

    names: list[str]
    tensors: list[Any]
    is_spread: bool = False
    """Whether they are parts, and other ranks have the rest."""


class Measured(NamedTuple):
    """What one pass over gradients found."""

    named: Named
    norms: Norms
    total: Any
    """A number when all gradients are on the CPU, else a tensor on the device."""
    flagged: dict[int, Nonfinite]
    """Exact counts, by place, for tensors on the CPU."""
    counted: Any = None
    """Where they were counted on the way: NaN and Inf of all, as `Nonfinite` or as a tensor on the device."""

    @property
    def counts(self) -> Nonfinite:
        """NaN and Inf of all tensors on the CPU."""
        if isinstance(self.counted, Nonfinite):
            return self.counted
        nan = sum(count.nan for count in self.flagged.values())
        return Nonfinite(nan, sum(count.inf for count in self.flagged.values()))

    @property
    def first(self) -> str | None:
        """The first parameter on the CPU whose gradient is not finite."""
        return self.named.names[min(self.flagged)] if self.flagged else None


def gradients_of(source: Any, model: Any = None) -> Named:
    """The gradients that are there, by parameter: of a module, or of parameters of `model`."""
    everything = list(named_parameters(source))
    pairs = [(name, p) for name, p in everything if p.grad is not None]
    gradients = [plain(parameter.grad) for _, parameter in pairs]
    return Named(
        [name for name, _ in pairs],
        gradients,
        are_spread(everything, source if model is None else model),
    )


def measure(named: Named, *, scale: Any = 1.0) -> Measured:
    """One pass over gradients; those of a fused optimizer still bear the loss scale `scale`."""
    norms = norms_of(named.tensors)
    if not isinstance(scale, float) or scale != 1.0:
        host = [norm / scale for norm in norms.host] if isinstance(scale, float) else norms.host
        parts = [DeviceNorms(part.places, part.vector / scale) for part in norms.devices]
        norms = Norms(host, parts)
    total = norms.total()
    clean = not isinstance(total, float) or math.isfinite(total)
    flagged = {} if clean and not norms.devices else nonfinite_of_flagged(named.tensors, norms.host)
    return Measured(named, norms, total, flagged)


def whole_of(named: Sequence[tuple[str, Any]], model: Any, measured: Measured) -> Measured:
    """What a pass found, of the whole parameters instead of this rank's parts. One collective.

    All trainable parameters take part, since ranks need not have gradients of the same ones.
    """
    names = {name: place for place, name in enumerate(measured.named.names)}
    everything = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    places = [names.get(name) for name, _ in everything]
    numbers = _squares_and_counts(measured, places, everything)
    numbers = summed_over_ranks([p for _, p in everything], numbers, model)
    total, nan, inf = numbers.sum(0)
    squares = numbers[:, 0]
    whole = Named([name for name, _ in everything], measured.named.tensors)
    if numbers.device.type == "cpu":
        norms = Norms([math.sqrt(square) for square in squares.tolist()], [])
        counted = Nonfinite(int(nan), int(inf))
        return Measured(whole, norms, math.sqrt(float(total)), {}, counted)
    parts = [DeviceNorms(list(range(len(everything))), squares.sqrt())]
    norms = Norms([0.0] * len(everything), parts)
    return Measured(whole, norms, total.sqrt(), {}, torch.stack([nan, inf]))


# --- inside ---------------------------------------------------------------------------------------


def _squares_and_counts(
    measured: Measured, places: Sequence[int | None], everything: Sequence[tuple[str, Any]]
) -> Any:
    """By parameter `[square, nan, inf]` of this rank's part, on the device that its ranks talk with."""
    if not measured.norms.devices:
        rows = []
        for place in places:
            norm = measured.norms.host[place] if place is not None else 0.0
            rows.append(
                [norm * norm, *measured.flagged.get(-1 if place is None else place, (0, 0))]
            )
        device = local(everything[0][1]).device
        return torch.tensor(rows, dtype=torch.float64).to(device)
    first = measured.norms.devices[0].vector.device
    numbers = torch.zeros(len(measured.named.tensors), 3, dtype=torch.float64, device=first)
    for part in measured.norms.devices:
        chosen = [measured.named.tensors[place] for place in part.places]
        counts = torch.stack([nonfinite_on_device([tensor]) for tensor in chosen])
        found = torch.cat([part.vector.double().square()[:, None], counts.double()], 1)
        if len(part.places) == len(
            numbers
        ):  # the usual case, in which no index travels to the device
            numbers = found
        else:
            numbers[part.places] = found.to(first)
    zeros = numbers.new_zeros(3)
    return torch.stack([zeros if place is None else numbers[place] for place in places])
