"""Gradients: norms by parameter and in all, NaN and Inf, clipping, in one pass over them.

    log_gradients(run, model, step)                after backward (and unscale_), before the optimizer's step
    clip_gradients(run, model, max_norm, step)     the same and clipping, for what clipping alone would cost

Call them once the gradients are what the optimizer will see: reduced over ranks, unscaled,
accumulated. Hooks on parameters see other ones, so there are none here.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from exptrack_agent.notices import say_once
from exptrack_agent.torch.compiling import left_out_of_compile
from exptrack_agent.torch.histograms import log_histograms
from exptrack_agent.torch.naming import metric_name, named_parameters
from exptrack_agent.torch.sending import kept_from_training, put_later, put_row
from exptrack_agent.torch.statistics import (
    DeviceNorms,
    Nonfinite,
    Norms,
    nonfinite_of_flagged,
    nonfinite_on_device,
    norms_of,
    plain,
)

NORM = "gradients/norm"
_MOST_AT_ONCE = 4_000
"""Norms of one device that travel in one slot."""


class Named(NamedTuple):
    """Tensors by the name of their parameter, each dense, real and local."""

    names: list[str]
    tensors: list[Any]


class Measured(NamedTuple):
    """What one pass over gradients found."""

    named: Named
    norms: Norms
    total: Any
    """A number when all gradients are on the CPU, else a tensor on the device."""
    flagged: dict[int, Nonfinite]
    """Exact counts, by place, for tensors on the CPU."""

    @property
    def counts(self) -> Nonfinite:
        """NaN and Inf of all tensors on the CPU."""
        nan = sum(count.nan for count in self.flagged.values())
        return Nonfinite(nan, sum(count.inf for count in self.flagged.values()))

    @property
    def first(self) -> str | None:
        """The first parameter on the CPU whose gradient is not finite."""
        return self.named.names[min(self.flagged)] if self.flagged else None


@left_out_of_compile
def log_gradients(
    run: Any,
    model: Any,
    step: int,
    *,
    norms: bool = True,
    nan_inf: bool = True,
    histograms: bool = False,
) -> None:
    """Record the gradients that stand in a model's parameters. Never waits for a device.

    Args:
        run: from `exptrack_agent.init`.
        model: a module (DDP and compiled ones too), parameters, or `(name, parameter)` pairs.
        step: where on the x axis.
        norms: `gradients/norm` and `gradients/norm/PARAMETER`.
        nan_inf: `gradients/nan_count`, `numerical_stability/nan_count` and `…/inf_count`, exact.
        histograms: `gradients/PARAMETER`; costs about ten times as much, so every few hundred steps.
    """
    with kept_from_training("log_gradients"), torch.no_grad():
        named = gradients_of(model)
        if not named.tensors:
            say_once("no gradients", "log_gradients found none; call it after backward()")
            return
        if norms or nan_inf:
            send(run, measure(named), step, norms=norms, nan_inf=nan_inf)
        if histograms:
            log_histograms(run, "gradients", named.names, named.tensors, step)


@left_out_of_compile
def clip_gradients(
    run: Any,
    model: Any,
    max_norm: float,
    step: int | None = None,
    *,
    norms: bool = True,
    nan_inf: bool = True,
) -> Any:
    """Clip gradients to a total norm like `torch.nn.utils.clip_grad_norm_`, and record what was found.

    Besides what `log_gradients` records: `numerical_stability/clipping_applied` (0 or 1) and
    `…/clipping_threshold`. Norms are those before clipping.

    Args:
        run: from `exptrack_agent.init`.
        model: a module, parameters, or `(name, parameter)` pairs.
        max_norm: the norm that all gradients together may have.
        step: where on the x axis; None: one more than in the last row of the run.
        norms: record those of each parameter; the total is recorded always.
        nan_inf: count NaN and Inf.

    Returns:
        The total norm before clipping, as a tensor on the device of the gradients (unread).
    """
    return clip_and_measure(run, model, max_norm, step, norms=norms, nan_inf=nan_inf)[0]


@left_out_of_compile
def clip_and_measure(
    run: Any, model: Any, max_norm: float, step: int | None, *, norms: bool, nan_inf: bool
) -> tuple[Any, Measured | None]:
    """`clip_gradients`, and what it measured (None: there were no gradients)."""
    with torch.no_grad():
        pairs = [(name, p) for name, p in named_parameters(model) if p.grad is not None]
        if not pairs:
            return torch.zeros(()), None
        parameters = [parameter for _, parameter in pairs]
        measured = measure(_named(pairs))
        total = _clip(parameters, measured, max_norm)
    with kept_from_training("clip_gradients"), torch.no_grad():
        _clipped[run] = id(parameters[0])
        send(
            run, measured._replace(total=total), step, norms=norms, nan_inf=nan_inf, limit=max_norm
        )
    return total, measured


_clipped: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
"""By run, the first parameter whose gradients were clipped and recorded, until an optimizer steps it."""


def was_clipped(run: Any, model: Any) -> bool:
    """Whether these gradients were recorded by clipping already; asked once a step."""
    first = next((p for _, p in named_parameters(model) if p.grad is not None), None)
    if first is None or _clipped.get(run) != id(first):
        return False
    del _clipped[run]
    return True


def gradients_of(model: Any) -> Named:
    """The gradients that are there, by parameter."""
    return _named([(name, p) for name, p in named_parameters(model) if p.grad is not None])


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


# --- to the run -----------------------------------------------------------------------------------


def send(
    run: Any,
    measured: Measured,
    step: int | None,
    *,
    norms: bool,
    nan_inf: bool,
    limit: float | None = None,
) -> None:
    """Record what a pass found: numbers of the CPU now, those of devices when they have landed."""
    if measured.norms.devices:
        _send_from_devices(run, measured, step, norms=norms, nan_inf=nan_inf, limit=limit)
        return
    total = float(measured.total)
    row: dict[str, Any] = {}
    if norms or limit is not None:
        row[NORM] = total
    if norms:
        pairs = zip(measured.named.names, measured.norms.host, strict=True)
        row |= {metric_name(NORM, name): norm for name, norm in pairs}
    if nan_inf:
        row |= counts_row(measured.counts)
    put_row(run, row | clipping_row(total, limit), step)


def counts_row(counts: Nonfinite) -> dict[str, Any]:
    """The metrics of NaN and Inf in gradients."""
    return {
        "gradients/nan_count": counts.nan,
        "numerical_stability/nan_count": counts.nan,
        "numerical_stability/inf_count": counts.inf,
    }


def clipping_row(total: float, limit: float | None) -> dict[str, Any]:
    """The metrics of clipping: whether the total was above the limit, and the limit."""
    if limit is None:
        return {}
    return {
        "numerical_stability/clipping_applied": int(not total <= limit),
        "numerical_stability/clipping_threshold": float(limit),
    }


def _send_from_devices(
    run: Any,
    measured: Measured,
    step: int | None,
    *,
    norms: bool,
    nan_inf: bool,
    limit: float | None,
) -> None:
    total = torch.as_tensor(measured.total)
    on_device = {place for part in measured.norms.devices for place in part.places}

    def total_landed(numbers: list[float]) -> None:
        put_row(run, {NORM: numbers[0]} | clipping_row(numbers[0], limit), step)

    if norms or limit is not None:
        put_later(run, [total], total_landed, what="gradient norms")
    if norms:
        for part in measured.norms.devices:
            _send_norms(run, part, measured.named.names, step)
        pairs = enumerate(zip(measured.named.names, measured.norms.host, strict=True))
        host = {metric_name(NORM, n): v for place, (n, v) in pairs if place not in on_device}
        put_row(run, host, step)
    if nan_inf:
        _send_counts(run, measured, step)


def _send_norms(run: Any, part: DeviceNorms, names: Sequence[str], step: int | None) -> None:
    for start in range(0, len(part.places), _MOST_AT_ONCE):
        places = part.places[start : start + _MOST_AT_ONCE]
        keys = [metric_name(NORM, names[place]) for place in places]

        def landed(numbers: list[float], keys: list[str] = keys) -> None:
            put_row(run, dict(zip(keys, numbers, strict=True)), step)

        vector = part.vector[start : start + _MOST_AT_ONCE]
        put_later(run, [vector], landed, what="gradient norms")


def _send_counts(run: Any, measured: Measured, step: int | None) -> None:
    """Counts of all devices but the first are added there: copies between devices, no wait."""
    known = measured.counts
    parts = measured.norms.devices
    first = parts[0].vector.device
    counts = [
        nonfinite_on_device([measured.named.tensors[place] for place in part.places]).to(first)
        for part in parts
    ]

    def landed(numbers: list[float]) -> None:
        nan, inf = (int(number) for number in numbers)
        put_row(run, counts_row(Nonfinite(nan + known.nan, inf + known.inf)), step)

    put_later(run, [torch.stack(counts).sum(0)], landed, what="NaN and Inf counts")


# --- inside ---------------------------------------------------------------------------------------


def _named(pairs: Sequence[tuple[str, Any]]) -> Named:
    return Named([name for name, _ in pairs], [plain(p.grad) for _, p in pairs])


def _clip(parameters: list[Any], measured: Measured, max_norm: float) -> Any:
    """Scale gradients down to `max_norm`; the total norm as a tensor. On the CPU an idle pass is left out."""
    if any(hasattr(parameter.grad, "to_local") for parameter in parameters):
        total = torch.nn.utils.clip_grad_norm_(
            parameters, max_norm
        )  # shards: a norm over all ranks
        return total.full_tensor() if hasattr(total, "full_tensor") else total
    total = measured.total
    if not isinstance(total, float):
        _scale(parameters, torch.clamp(max_norm / (total + 1e-6), max=1.0))
        return total
    if not total + 1e-6 <= max_norm:  # NaN too: torch makes all gradients NaN then, and so do we
        factor = max_norm / (total + 1e-6)
        factor = factor if factor != factor else min(1.0, factor)
        _scale(parameters, torch.tensor(factor, dtype=torch.float64))
    return torch.tensor(total, dtype=_promoted(measured.named.tensors))


def _promoted(tensors: Sequence[Any]) -> Any:
    """Norms of half precision are float32 here, since float16 ends at 65,504."""
    return torch.float64 if any(t.dtype is torch.float64 for t in tensors) else torch.float32


def _scale(parameters: list[Any], factor: Any) -> None:
    groups: dict[tuple[Any, Any], list[Any]] = {}
    for parameter in parameters:
        gradient = parameter.grad  # not detached: of a sparse one that is a copy
        groups.setdefault((gradient.device, gradient.layout), []).append(gradient)
    multiply = getattr(torch, "_foreach_mul_", None)
    for (device, layout), gradients in groups.items():
        here = factor.to(device, non_blocking=True)
        if multiply is not None and layout is torch.strided:
            multiply(gradients, here)
            continue
        for gradient in gradients:
            gradient.mul_(here)
