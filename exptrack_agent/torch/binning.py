"""Bins whose edges stand still: a bin is a few leading bits of the float. Pure.

The upper bits of a float32 are its sign, its exponent and the first digits of its mantissa. Numbers that
share them lie between two powers of two, or a quarter of that apart. Sixteen octaves below the largest number
are kept apart; what is smaller shares the bin around zero, so a histogram has at most 129 bins. NaN and Inf
are left out (the norms tell of them).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

FINE_SHIFT = 21
"""4 bins an octave."""
COARSE_SHIFT = 23
"""1 bin an octave: the exponent alone."""
OCTAVES = 16
FIRST_NONFINITE = 0x7F800000


class Binned(NamedTuple):
    """Counts, and one edge more."""

    counts: Any
    edges: Any


def binned(counts: Any, shift: int) -> Binned | None:
    """From counts by leading bits to bins in order of value, without the empty ends."""
    half = 1 << (31 - shift)
    finite = FIRST_NONFINITE >> shift
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
