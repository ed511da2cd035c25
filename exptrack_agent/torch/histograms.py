"""Histograms whose edges stand still: a bin is a few leading bits of the float.

Nothing is sorted or searched: the upper bits of a float32 are its sign, its exponent and the first
digits of its mantissa. Numbers that share them lie between two powers of two, or a quarter of that
apart; counting them is one shift and one `bincount`. Large tensors get 4 bins an octave, small ones
1, and all small ones of a model are counted together. Sixteen octaves below the largest number are
kept apart; what is smaller shares the bin around zero, so a histogram has at most 129 bins. NaN and
Inf are left out here (the norms tell of them).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from exptrack_agent.media import Histogram
from exptrack_agent.notices import say_once
from exptrack_agent.torch.naming import metric_name
from exptrack_agent.torch.sending import is_on_device
from exptrack_agent.torch.statistics import SMALL, gathered

FINE_SHIFT = 21
"""4 bins an octave."""
COARSE_SHIFT = 23
"""1 bin an octave: the exponent alone."""
OCTAVES = 16
MOST_TENSORS = 1_024
"""Histograms recorded at one step; the parameters beyond are left out, and that is said."""
_FIRST_NONFINITE = 0x7F800000


class Binned(NamedTuple):
    """Counts, and one edge more."""

    counts: Any
    edges: Any


def log_histograms(
    run: Any, family: str, names: Sequence[str], tensors: Sequence[Any], step: int
) -> None:
    """Record a histogram `FAMILY/NAME` of each tensor on the CPU (given `plain`)."""
    here = [(name, tensor) for name, tensor in zip(names, tensors, strict=True) if _is_here(tensor)]
    if len(here) > MOST_TENSORS:
        say_once(
            "many histograms",
            f"histograms of {len(here)} parameters: those of the first {MOST_TENSORS} are recorded",
        )
    chosen = here[:MOST_TENSORS]
    binned = histograms_of([tensor for _, tensor in chosen])
    run.log(
        {
            metric_name(family, name): Histogram(np_histogram=tuple(found))
            for (name, _), found in zip(chosen, binned, strict=True)
            if found is not None
        },
        step=step,
    )


def _is_here(tensor: Any) -> bool:
    if not is_on_device(tensor):
        return bool(tensor.numel())
    say_once("device histogram", "histograms of tensors on an accelerator are not recorded yet")
    return False


def histograms_of(tensors: Sequence[Any]) -> list[Binned | None]:
    """The histogram of each tensor on the CPU; None where no number is finite."""
    found: list[Binned | None] = [None] * len(tensors)
    small: list[int] = []
    for place, tensor in enumerate(tensors):
        if tensor.numel() <= SMALL and tensor.dtype is torch.float32:
            small.append(place)
        elif tensor.numel():
            numbers = _as_float32(tensor)
            counts = np.bincount(_bits(numbers) >> FINE_SHIFT, minlength=1 << (32 - FINE_SHIFT))
            found[place] = binned(counts, FINE_SHIFT)
    for place, counts in zip(small, _small_counts([tensors[p] for p in small]), strict=True):
        found[place] = binned(counts, COARSE_SHIFT)
    return found


def _as_float32(tensor: Any) -> Any:
    with np.errstate(over="ignore"):
        numbers = tensor.float().numpy() if tensor.dtype is not torch.float32 else tensor.numpy()
    return np.ascontiguousarray(numbers).reshape(-1)


def _bits(numbers: Any) -> Any:
    return numbers.view(np.uint32)


def _small_counts(tensors: list[Any]) -> Any:
    """Counts of all small tensors by one `bincount`, over owner and bin."""
    if not tensors:
        return []
    bins = 1 << (32 - COARSE_SHIFT)
    numbers = gathered(tensors)
    owners = np.repeat(np.arange(len(tensors)) * bins, [tensor.numel() for tensor in tensors])
    counts = np.bincount(owners + (_bits(numbers) >> COARSE_SHIFT), minlength=len(tensors) * bins)
    return counts.reshape(len(tensors), bins)


def binned(counts: Any, shift: int) -> Binned | None:
    """From counts by leading bits to bins in order of value, without the empty ends."""
    half = 1 << (31 - shift)
    finite = _FIRST_NONFINITE >> shift
    positive, negative = counts[:finite], counts[half : half + finite]
    used = np.flatnonzero(positive + negative)
    if not used.size:
        return None
    lowest = max(1, int(used[-1]) + 1 - (OCTAVES << (23 - shift)))
    centre = positive[:lowest].sum() + negative[:lowest].sum()
    ordered = np.concatenate([negative[lowest:][::-1], [centre], positive[lowest:]])
    magnitudes = (np.arange(lowest, finite + 1, dtype=np.uint32) << np.uint32(shift)).view(
        np.float32
    )
    magnitudes[-1] = np.finfo(np.float32).max  # the last bin ends where float32 does
    edges = np.concatenate([-magnitudes[::-1], magnitudes])
    filled = np.flatnonzero(ordered)
    first, last = int(filled[0]), int(filled[-1]) + 1
    return Binned(ordered[first:last].astype(np.uint32), edges[first : last + 1])
