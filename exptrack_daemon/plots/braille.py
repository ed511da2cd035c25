"""Lines drawn with braille characters, two by four dots each, for terminals. Pure; loads no matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exptrack_daemon.store.series import Array

_BLANK = 0x2800
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a character, by row and column."""
_OVER, _DOWN = 2, 4
_MOST_POINTS = 100_000


@dataclass(frozen=True, slots=True)
class Chart:
    """What stands in each character cell, from the top."""

    rows: Sequence[Sequence[tuple[str, int]]]
    """Pieces of a row: characters, and the line that they belong to (-1: none)."""
    low: float
    """What the bottom and the top stand for; on a logarithmic chart too."""
    high: float
    first: float
    """What the left and the right end stand for."""
    last: float


def chart(
    lines: Sequence[tuple[Array, Array]], *, columns: int, rows: int, log: bool = False
) -> Chart | None:
    """Draw lines (x, y; NaN breaks them) into so many characters; None: there is no finite point.

    Where lines cross, the later one gives its colour. A logarithmic chart leaves out what is not positive.
    """
    kept = [_drawable(x, y, log=log) for x, y in lines]
    xs = np.concatenate([x for x, _ in kept])
    ys = np.concatenate([y for _, y in kept])
    seen = np.isfinite(ys)
    if not seen.any():
        return None
    first, last = float(xs[seen].min()), float(xs[seen].max())
    low, high = float(ys[seen].min()), float(ys[seen].max())
    width, height = columns * _OVER, rows * _DOWN
    bits = np.zeros((rows, columns), np.int64)
    owner = np.full((rows, columns), -1)
    for at, (x, y) in enumerate(kept):
        across = _scaled(x, first, last, width)
        up = _scaled(y, low, high, height)
        for column, row in _dots(across, up):
            place = (rows - 1 - row // _DOWN, column // _OVER)
            bits[place] |= _DOTS[_DOWN - 1 - row % _DOWN, column % _OVER]
            owner[place] = at
    back = (lambda value: 10.0**value) if log else float
    return Chart(
        [_pieces(bits[row], owner[row]) for row in range(rows)], back(low), back(high), first, last
    )


def _drawable(x: Array, y: Array, *, log: bool) -> tuple[Array, Array]:
    every = max(1, -(-len(x) // _MOST_POINTS))
    x, y = x[::every], np.where(np.isfinite(y), y, np.nan)[::every]
    if not log:
        return x, y
    return x, np.log10(y, out=np.full(len(y), np.nan), where=y > 0)


def _scaled(values: Array, low: float, high: float, dots: int) -> Array:
    """Where values stand between dot 0 and the last; in the middle when all are alike. NaN stays."""
    half_low, half_high = low / 2, high / 2  # the distance of two huge numbers is no float
    if half_high <= half_low:
        return np.where(np.isnan(values), np.nan, (dots - 1) / 2)
    scaled: Array = (values / 2 - half_low) / (half_high - half_low) * (dots - 1)
    return scaled


def _dots(across: Array, up: Array) -> set[tuple[int, int]]:
    """All dots on the way from each point to the next."""
    found: set[tuple[int, int]] = set()
    before: tuple[float, float] | None = None
    for x, y in zip(across.tolist(), up.tolist(), strict=True):
        if y != y:  # NaN
            before = None
            continue
        from_x, from_y = before or (x, y)
        steps = max(1, round(max(abs(x - from_x), abs(y - from_y))))
        found.update(
            (round(from_x + (x - from_x) * at / steps), round(from_y + (y - from_y) * at / steps))
            for at in range(steps + 1)
        )
        before = (x, y)
    return found


def _pieces(bits: Array, owner: Array) -> list[tuple[str, int]]:
    """Neighbours of one line in one piece."""
    pieces: list[tuple[str, int]] = []
    for bit, line in zip(bits.tolist(), owner.tolist(), strict=True):
        character = chr(_BLANK + bit) if bit else " "
        if pieces and pieces[-1][1] == line:
            pieces[-1] = (pieces[-1][0] + character, line)
        else:
            pieces.append((character, line))
    return pieces
