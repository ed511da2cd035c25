"""Histograms of tensors on an accelerator: binned there, fetched by the slots, and nobody waits.

The bins are those of `histograms` (leading bits of the float), so a histogram is the same wherever its
tensor stands. Of each tensor only a window travels: the bins of sixteen octaves below its largest number,
and the sum of all that is smaller. Where that window begins is found on the device too, and travels with it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np
import torch

from exptrack_agent.media import Histogram
from exptrack_agent.torch.binning import COARSE_SHIFT, FINE_SHIFT, FIRST_NONFINITE, OCTAVES, binned
from exptrack_agent.torch.naming import metric_name
from exptrack_agent.torch.sending import put_later
from exptrack_agent.torch.statistics import SMALL, plain

_PIECE = 1 << 23
"""Numbers that are binned at once: float32 counts up to 16 M, and binning makes copies."""
_SLOT_NUMBERS = 4_096
_MOST_SLOTS = 8
"""Of the sixteen that a device has; with more than fit there, all tensors get the coarse bins."""


def put_histogram(run: Any, name: str, tensor: Any, step: int, time_ns: int) -> None:
    """Record the histogram of one tensor on a device."""
    numbers = plain(tensor)
    if numbers.numel():
        _send(run, [name], [numbers], _shift_of(numbers), step, time_ns)


def put_histograms(
    run: Any, family: str, names: Sequence[str], tensors: Sequence[Any], step: int
) -> None:
    """Record a histogram `FAMILY/NAME` of each tensor on a device (given `plain`)."""
    now = time.time_ns()
    shifts = [_shift_of(tensor) for tensor in tensors]
    if sum(_width(shift) for shift in shifts) > _MOST_SLOTS * _SLOT_NUMBERS:
        shifts = [COARSE_SHIFT] * len(shifts)
    parts: dict[tuple[str, int], list[int]] = {}
    for place, (tensor, shift) in enumerate(zip(tensors, shifts, strict=True)):
        parts.setdefault((str(tensor.device), shift), []).append(place)
    for (_, shift), places in parts.items():
        at_once = _SLOT_NUMBERS // _width(shift)
        for start in range(0, len(places), at_once):
            chosen = places[start : start + at_once]
            shown = [metric_name(family, names[place]) for place in chosen]
            _send(run, shown, [tensors[place] for place in chosen], shift, step, now)


def windows(tensors: Sequence[Any], shift: int) -> Any:
    """By tensor: where its window begins, what is smaller, and the window's positive and negative bins.

    A tensor `[n, 2 + 2 · bins of the window]` of float64 on the device; nothing was waited for.
    """
    counts = torch.stack([_counts(tensor, shift) for tensor in tensors])
    half, finite = 1 << (31 - shift), FIRST_NONFINITE >> shift
    positive, negative = counts[:, :finite], counts[:, half : half + finite]
    both = positive + negative
    order = torch.arange(finite, device=both.device)
    top = torch.where(both > 0, order, 0).amax(1, keepdim=True)
    span = _span(shift)
    lowest = torch.clamp(top + 1 - span, min=1)
    within = lowest + torch.arange(span, device=both.device)
    above, below = positive.gather(1, within), negative.gather(1, within)
    rest = both.sum(1, keepdim=True) - above.sum(1, keepdim=True) - below.sum(1, keepdim=True)
    return torch.cat([lowest.to(counts.dtype), rest, above, below], 1)


def histogram_of(numbers: Sequence[float], shift: int) -> Histogram | None:
    """What a window shows, once it has landed; None when no number was finite."""
    span, half = _span(shift), 1 << (31 - shift)
    lowest, window = int(numbers[0]), np.asarray(numbers[1:], dtype=np.int64)
    counts = np.zeros(2 * half, dtype=np.int64)
    counts[0] = window[0]  # the first bin is around zero, and below every window
    counts[lowest : lowest + span] = window[1 : 1 + span]
    counts[half + lowest : half + lowest + span] = window[1 + span :]
    found = binned(counts, shift)
    return None if found is None else Histogram(np_histogram=tuple(found))


# --- inside ---------------------------------------------------------------------------------------


def _send(
    run: Any, names: list[str], tensors: list[Any], shift: int, step: int, time_ns: int
) -> None:
    width = _width(shift)

    def landed(numbers: list[float]) -> None:
        for number, name in enumerate(names):
            histogram = histogram_of(numbers[number * width : (number + 1) * width], shift)
            if histogram is not None:
                for item in histogram.items(name, step, time_ns):
                    run.put_item(msgpack.packb(item))

    with torch.no_grad():
        put_later(run, [windows(tensors, shift)], landed, what="histograms")


def _counts(tensor: Any, shift: int) -> Any:
    """How many numbers have which leading bits, as float64."""
    bins = 1 << (32 - shift)
    numbers = tensor.reshape(-1)
    total = torch.zeros(bins, dtype=torch.float64, device=tensor.device)
    for start in range(0, numbers.numel(), _PIECE):
        bits = numbers[start : start + _PIECE].float().view(torch.int32)
        total += _counted((bits >> shift) & (bins - 1), bins)
    return total


def _counted(places: Any, bins: int) -> Any:
    """As `bincount`, which always waits; `histc` does not when told its range, but is not deterministic."""
    if torch.are_deterministic_algorithms_enabled():
        zeros = torch.zeros(bins, dtype=torch.int64, device=places.device)
        return zeros.scatter_add_(0, places.long(), torch.ones_like(places, dtype=torch.int64))
    return torch.histc(places.float(), bins, 0, bins)


def _shift_of(tensor: Any) -> int:
    return COARSE_SHIFT if tensor.numel() <= SMALL else FINE_SHIFT


def _span(shift: int) -> int:
    """Bins of a window: those of sixteen octaves."""
    return OCTAVES << (23 - shift)


def _width(shift: int) -> int:
    return 2 + 2 * _span(shift)
