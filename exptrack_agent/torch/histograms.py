"""Histograms of many tensors at once, by `binning`: on the CPU here, on an accelerator where they stand.

Nothing is sorted or searched: counting leading bits is one shift and one `bincount`. Large tensors get 4 bins
an octave, small ones 1, and all small ones of a model are counted together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from exptrack_agent.media import Histogram
from exptrack_agent.notices import say_once
from exptrack_agent.torch.binning import COARSE_SHIFT, FINE_SHIFT, Binned, binned
from exptrack_agent.torch.device_histograms import put_histograms
from exptrack_agent.torch.naming import metric_name
from exptrack_agent.torch.sending import is_on_device
from exptrack_agent.torch.statistics import SMALL, gathered

MOST_TENSORS = 1_024
"""Histograms recorded at one step; the parameters beyond are left out, and that is said."""


def log_histograms(
    run: Any, family: str, names: Sequence[str], tensors: Sequence[Any], step: int
) -> None:
    """Record a histogram `FAMILY/NAME` of each tensor (given `plain`). Waits for no device."""
    full = [pair for pair in zip(names, tensors, strict=True) if pair[1].numel()]
    if len(full) > MOST_TENSORS:
        say_once(
            "many histograms",
            f"histograms of {len(full)} parameters: those of the first {MOST_TENSORS} are recorded",
        )
    chosen = full[:MOST_TENSORS]
    away = [pair for pair in chosen if is_on_device(pair[1])]
    here = [pair for pair in chosen if not is_on_device(pair[1])]
    if away:
        put_histograms(run, family, [name for name, _ in away], [t for _, t in away], step)
    if not here:
        return
    binned_here = histograms_of([tensor for _, tensor in here])
    run.log(
        {
            metric_name(family, name): Histogram(np_histogram=tuple(found))
            for (name, _), found in zip(here, binned_here, strict=True)
            if found is not None
        },
        step=step,
    )


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
