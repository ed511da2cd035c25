"""The arithmetic of the benchmarks: quantiles, spread, a growth exponent, and whose turn it is. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Spread(NamedTuple):
    """What several values of one thing say together."""

    median: float
    low: float
    high: float
    """The tenth and ninetieth per cent; with fewer than ten values the least and the most."""


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share of the ordered values lies, straight between neighbours."""
    if not ordered:
        raise ValueError("a quantile of nothing")
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(values: Sequence[float]) -> Spread:
    """Median and spread of repeats."""
    ordered = sorted(values)
    outside = 0.1 if len(ordered) >= 10 else 0.0
    return Spread(
        quantile(ordered, 0.5), quantile(ordered, outside), quantile(ordered, 1 - outside)
    )


def turns(names: Sequence[T], rounds: int) -> Iterator[tuple[int, T]]:
    """Each name once a round; who begins moves on by one, and every second time round goes backwards.

    So load from elsewhere meets all of them, and nobody always comes after the same neighbour.
    """
    for number in range(rounds):
        start = number % len(names)
        order = [*names[start:], *names[:start]]
        if number // len(names) % 2:
            order.reverse()
        for name in order:
            yield number, name


def growth_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The k of cost ~ size ** k: the slope of the least squares line through the logarithms."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    across = sum((x - mean_x) ** 2 for x in xs)
    if not across:
        raise ValueError("growth needs two different sizes")
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / across


def line_fit(sizes: Sequence[float], costs: Sequence[float]) -> tuple[float, float]:
    """Fixed cost and cost by unit: the least squares line through the points."""
    mean_size, mean_cost = sum(sizes) / len(sizes), sum(costs) / len(costs)
    across = sum((size - mean_size) ** 2 for size in sizes)
    if not across:
        raise ValueError("a line needs two different sizes")
    pairs = zip(sizes, costs, strict=True)
    slope = sum((size - mean_size) * (cost - mean_cost) for size, cost in pairs) / across
    return mean_cost - slope * mean_size, slope
