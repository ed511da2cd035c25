"""Gradients: norms by parameter and in all, NaN and Inf, clipping, in one pass over them.

    log_gradients(run, model, step)                after backward (and unscale_), before the optimizer's step
    clip_gradients(run, model, max_norm, step)     the same and clipping, for what clipping alone would cost

Call them once the gradients are what the optimizer will see: reduced over ranks, unscaled,
accumulated. Hooks on parameters see other ones, so there are none here.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch

from exptrack_agent.notices import say_once
from exptrack_agent.torch.compiling import left_out_of_compile
from exptrack_agent.torch.histograms import log_histograms
from exptrack_agent.torch.measuring import Measured, gradients_of, measure, whole_of
from exptrack_agent.torch.naming import metric_name, named_parameters
from exptrack_agent.torch.sending import kept_from_training, put_later, put_row
from exptrack_agent.torch.shards import local
from exptrack_agent.torch.statistics import DeviceNorms, Nonfinite, Norms, nonfinite_on_device

NORM = "gradients/norm"
SQUARE = "gradients/square"
"""Of a rank's part of the gradients: the squares of the norms, which add up over ranks."""
_MOST_AT_ONCE = 4_000
"""Norms of one device that travel in one slot."""


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
    """Record the gradients that stand in a model's parameters. Never waits for a device or another rank.

    Of gradients that are spread over ranks (FSDP) each rank records its part: `gradients/square` and
    `gradients/square/PARAMETER`, whose sums over ranks are the squares of the norms, and its own counts.

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
    `…/clipping_threshold`. Norms are those before clipping. Of gradients that are spread over ranks (FSDP)
    all norms and counts are those of the whole: they travel with the sum over ranks that clipping needs
    anyway. Call it on all ranks then.

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
        everything = list(named_parameters(model))  # once: it may be a generator
        parameters = [parameter for _, parameter in everything if parameter.grad is not None]
        named = gradients_of(everything, model)
        if not parameters and not named.is_spread:
            return torch.zeros(()), None
        measured = measure(named)
        shown = whole_of(everything, model, measured) if named.is_spread else measured
        total = _clip(parameters, shown, max_norm)
    with kept_from_training("clip_gradients"), torch.no_grad():
        if parameters:
            _clipped[run] = id(parameters[0])
        send(run, shown._replace(total=total), step, norms=norms, nan_inf=nan_inf, limit=max_norm)
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
    if measured.named.is_spread:
        _send_squares(run, measured, step, norms=norms, nan_inf=nan_inf)
        return
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


def _send_norms(
    run: Any, part: DeviceNorms, names: Sequence[str], step: int | None, family: str = NORM
) -> None:
    for start in range(0, len(part.places), _MOST_AT_ONCE):
        places = part.places[start : start + _MOST_AT_ONCE]
        keys = [metric_name(family, names[place]) for place in places]

        def landed(numbers: list[float], keys: list[str] = keys) -> None:
            put_row(run, dict(zip(keys, numbers, strict=True)), step)

        vector = part.vector[start : start + _MOST_AT_ONCE]
        put_later(run, [vector], landed, what="gradient norms")


def _send_counts(run: Any, measured: Measured, step: int | None) -> None:
    """Counts of all devices but the first are added there: copies between devices, no wait."""
    known = measured.counts
    parts = measured.norms.devices
    first = parts[0].vector.device
    if measured.counted is not None:
        counts = [measured.counted]
    else:
        counts = [
            nonfinite_on_device([measured.named.tensors[place] for place in part.places]).to(first)
            for part in parts
        ]

    def landed(numbers: list[float]) -> None:
        nan, inf = (int(number) for number in numbers)
        put_row(run, counts_row(Nonfinite(nan + known.nan, inf + known.inf)), step)

    put_later(run, [torch.stack(counts).sum(0)], landed, what="NaN and Inf counts")


def _send_squares(
    run: Any, measured: Measured, step: int | None, *, norms: bool, nan_inf: bool
) -> None:
    """Record this rank's part: squares of norms, which add up over ranks."""
    names = measured.named.names
    if nan_inf and measured.norms.devices:
        _send_counts(run, measured, step)
    elif nan_inf:
        put_row(run, counts_row(measured.counts), step)
    if norms:
        put_squares(run, SQUARE, names, measured.norms, step)


def put_squares(
    run: Any, family: str, names: Sequence[str], norms: Norms, step: int | None
) -> None:
    """Record `FAMILY` and `FAMILY/PARAMETER`, the squares of norms."""
    if not norms.devices:
        squares = [norm * norm for norm in norms.host]
        keys = [metric_name(family, name) for name in names]
        put_row(run, {family: sum(squares)} | dict(zip(keys, squares, strict=True)), step)
        return
    total = norms.total().square()
    put_later(run, [total], lambda n: put_row(run, {family: n[0]}, step), what=family)
    for part in norms.devices:
        _send_norms(run, part._replace(vector=part.vector.square()), names, step, family)


# --- inside ---------------------------------------------------------------------------------------


def _clip(parameters: list[Any], measured: Measured, max_norm: float) -> Any:
    """Scale gradients down to `max_norm`; the total norm as a tensor. On the CPU an idle pass is left out."""
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
        gradient = local(parameter.grad)  # not detached: of a sparse one that is a copy
        groups.setdefault((gradient.device, gradient.layout), []).append(gradient)
    multiply = getattr(torch, "_foreach_mul_", None)
    for (device, layout), gradients in groups.items():
        here = factor.to(device, non_blocking=True)
        if multiply is not None and layout is torch.strided:
            multiply(gradients, here)
            continue
        for gradient in gradients:
            gradient.mul_(here)
