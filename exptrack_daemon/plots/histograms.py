"""Distributions over steps as ridges: each step's histogram stands a little above the one before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from exptrack_daemon.plots import panels
from exptrack_daemon.plots.look import Look, grid_of, say_nothing, sheet
from exptrack_daemon.plots.options import NothingToDraw, Options, chosen
from exptrack_daemon.plots.runs import title_of
from exptrack_daemon.plots.wording import Values, short_number
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.store.series import Array
from exptrack_proto.records import Array as RawArray
from exptrack_proto.records import Histogram

_MOST_RIDGES = 40
_MOST_PANELS = 9
_UNASKED_PANELS = 4
_PLACES = 240
_BINS = 64
_OVERLAP = 2.4
"""The highest ridge reaches over so many of its neighbours."""
_TAIL = 0.002
"""This share of all that was counted may lie outside of the panel, on each side."""


@dataclass(frozen=True, slots=True)
class Counts:
    """One histogram: float64 counts [n] between edges [n + 1], which rise."""

    step: int
    counts: Array
    edges: Array


@dataclass(frozen=True, slots=True)
class Ridges:
    """Histograms of one name on places that all of its steps share."""

    steps: Sequence[int]
    places: Array
    """float64 [places]"""
    density: Array
    """float64 [steps, places]: shares of the whole per unit of x"""


@dataclass(frozen=True, slots=True)
class Histograms:
    title: str
    subtitle: str
    ridges: Mapping[str, Ridges]


def read(reader: HomeReader, runs: Sequence[RunView], options: Options) -> Histograms:
    """The histograms of one run; of very many steps evenly spread ones.

    Raises:
        NothingToDraw: none was logged, or none fits.
    """
    (run,) = runs
    found = _histograms(reader, run, options.rank)
    if not found:
        raise NothingToDraw(f"run {run.id} has no histograms: exptrack_agent.Histogram logs them")
    names = chosen(options.metrics or ("*",), sorted(found))
    most = _MOST_PANELS if options.metrics else _UNASKED_PANELS
    more = f"   ·   {len(names) - most} more: choose with --metric" if len(names) > most else ""
    return Histograms(
        options.title or f"{title_of(run)}: histograms",
        f"run {run.id}   ·   the latest step is in front{more}",
        {name: ridges_of(found[name]) for name in names[:most]},
    )


def _histograms(reader: HomeReader, run: RunView, rank: int) -> dict[str, list[Counts]]:
    """By name, by step; of several at one step the last."""
    held: dict[str, dict[int, Counts]] = {}
    for entry in reader.media(run):
        item = entry.item
        if isinstance(item, Histogram) and entry.rank == rank:
            counts = counts_of(item)
            if counts is not None:
                held.setdefault(item.name, {})[item.step] = counts
    return {name: [steps[at] for at in sorted(steps)] for name, steps in held.items()}


def counts_of(item: Histogram) -> Counts | None:
    """A histogram's finite counts; None: its bytes do not fit its shape, or it holds nothing."""
    if item.counts is not None and item.edges is not None:
        counts, edges = _numbers(item.counts), _numbers(item.edges)
        if len(edges) != len(counts) + 1 or not len(counts):
            return None
    else:
        values = _numbers(item.values) if item.values is not None else np.empty(0)
        values = values[np.isfinite(values)]
        if not len(values):
            return None
        counts, edges = _binned(values)
    is_fine = np.isfinite(counts).all() and np.isfinite(edges).all() and (np.diff(edges) >= 0).all()
    if not is_fine or (counts < 0).any() or counts.sum() <= 0:
        return None
    return Counts(item.step, counts, edges)


def _binned(values: Array) -> tuple[Array, Array]:
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
        reach = max(abs(low) * 0.01, 1e-9)
        low, high = low - reach, high + reach
    counts, edges = np.histogram(values, _BINS, range=(low, high))
    return counts.astype(float), edges


def _numbers(array: RawArray) -> Array:
    """The array's numbers in one dimension; none where its bytes are not what its shape says."""
    dtype = np.dtype("?" if array.dtype == "b1" else f"<{array.dtype}")
    if math.prod(array.shape) * dtype.itemsize != len(array.data):
        return np.empty(0)
    return np.frombuffer(array.data, dtype).astype(float)


def ridges_of(histograms: Sequence[Counts]) -> Ridges:
    """The densities of evenly spread steps on shared places, wide enough for nearly all that was counted."""
    amount = min(len(histograms), _MOST_RIDGES)
    picked = [
        histograms[at] for at in np.linspace(0, len(histograms) - 1, amount).round().astype(int)
    ]
    low, high = _range(picked)
    edges = np.linspace(low, high, _PLACES + 1)
    density = np.array([_density(one, edges) for one in picked])
    return Ridges([one.step for one in picked], (edges[:-1] + edges[1:]) / 2, density)


def _range(histograms: Iterable[Counts]) -> tuple[float, float]:
    lows, highs = [], []
    for one in histograms:
        reached = np.append(0.0, np.cumsum(one.counts)) / one.counts.sum()
        lows.append(float(np.interp(_TAIL, reached, one.edges)))
        highs.append(float(np.interp(1 - _TAIL, reached, one.edges)))
    low, high = min(lows), max(highs)
    margin = (high - low) * 0.05 or max(abs(low) * 0.1, 1e-9)
    return low - margin, high + margin


def _density(one: Counts, edges: Array) -> Array:
    """Counted once more on other edges, as if each bin were even inside; then a little smoothed."""
    reached = np.append(0.0, np.cumsum(one.counts)) / one.counts.sum()
    shares = np.diff(np.interp(edges, one.edges, reached, left=0.0, right=1.0))
    kernel = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    density: Array = np.convolve(shares, kernel, "same") / (edges[1] - edges[0])
    return density


def draw(data: Histograms, look: Look, options: Options) -> Figure:
    rows, columns = grid_of(len(data.ridges))
    size = options.size or (max(7.0, 4.6 * columns), 4.2 * rows + 0.9)
    figure = sheet(size, data.title, data.subtitle, look)
    places = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in places[len(data.ridges) :]:
        spare.remove()
    for place, (name, ridges) in zip(places, data.ridges.items(), strict=False):
        panels.heading(place, name, "", look)
        _draw_ridges(place, ridges, look)
    return figure


def _draw_ridges(axes: Axes, ridges: Ridges, look: Look) -> None:
    amount = len(ridges.steps)
    highest = float(np.quantile(ridges.density.max(axis=1), 0.9)) if amount else 0.0
    if highest <= 0:
        say_nothing(axes, "nothing was counted", look)
        return
    import seaborn  # a second and more to load, and most pictures need none of it

    colours = seaborn.color_palette("crest" if look.paper == "#ffffff" else "mako", as_cmap=True)
    reach = _OVERLAP if amount > 1 else 0.9
    for at, density in enumerate(ridges.density):
        base = amount - 1 - at
        top = base + np.minimum(density / highest, 1.4) * reach
        share = at / max(amount - 1, 1)
        colour = colours(0.15 + 0.8 * share if look.paper == "#ffffff" else 0.25 + 0.6 * share)
        axes.fill_between(ridges.places, base, top, color=colour, alpha=0.9, linewidth=0, zorder=at)
        axes.plot(ridges.places, top, color=look.ground, linewidth=0.7, zorder=at + 0.5)
    named = np.unique(np.linspace(0, amount - 1, min(amount, 8)).round().astype(int))
    axes.set_yticks(amount - 1 - named, [short_number(ridges.steps[at]) for at in named])
    axes.set_ylabel("step")
    axes.set_xlabel("value")
    axes.xaxis.set_major_formatter(Values())
    axes.set_xlim(ridges.places[0], ridges.places[-1])
    axes.set_ylim(-0.2, amount - 1 + reach * 1.45)
    axes.grid(visible=False, axis="y")
