"""Parallel coordinates: one line a run through what was configured, coloured by what came out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curved
from matplotlib.ticker import MaxNLocator

from exptrack_daemon.plots.configs import MISSING, differing, said
from exptrack_daemon.plots.look import Look, sheet
from exptrack_daemon.plots.names import outcomes
from exptrack_daemon.plots.options import NothingToDraw, Options, chosen
from exptrack_daemon.plots.runs import common_title
from exptrack_daemon.plots.wording import short_value, shown
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.store.series import Array

_MOST_KEYS = 9
_MOST_CATEGORIES = 12
_WIDE = 50.0
"""Positive values this far apart stand on a logarithmic scale."""
_MISSING_AT = -0.1
_LINE_HEIGHT = 0.045
_NEEDLESS = ("seed", "random_seed", "rng_seed", "_exptrack", "_")


@dataclass(frozen=True, slots=True)
class Scale:
    """One vertical axis."""

    name: str
    at: Array
    """float64 [runs]: 0 to 1, or below for a missing value"""
    ticks: Sequence[tuple[float, str]]
    is_log: bool = False
    has_missing: bool = False


@dataclass(frozen=True, slots=True)
class Parallel:
    title: str
    subtitle: str
    scales: Sequence[Scale]
    """The last is the metric's."""
    metric: str
    values: Array
    """float64 [runs]: the metric; NaN where it was not logged or is not finite"""


def read(reader: HomeReader, runs: Sequence[RunView], options: Options) -> Parallel:
    """The configurations and the last values of one metric.

    Raises:
        NothingToDraw: the configurations do not differ, or no run has the metric.
    """
    keys = {
        key: values
        for key, values in differing([run.run.config for run in runs]).items()
        if not key.startswith(_NEEDLESS)
    }
    if not keys:
        raise NothingToDraw(f"the configurations of {len(runs)} runs do not differ")
    summaries = [run.facts.summary for run in runs]
    metric = _metric(summaries, options)
    values = np.array([_finite(summary.get(metric)) for summary in summaries])
    kept = list(keys)[:_MOST_KEYS]
    more = f"   ·   the first {len(kept)} of {len(keys)} keys" if len(kept) < len(keys) else ""
    held = [value if math.isfinite(value) else MISSING for value in values.tolist()]
    return Parallel(
        options.title or common_title(runs),
        f"{len(runs)} runs   ·   last value of {metric}{more}",
        [*(scale_of(key, keys[key]) for key in kept), scale_of(metric, held)],
        metric,
        values,
    )


def _metric(summaries: Sequence[dict[str, Any]], options: Options) -> str:
    names = dict.fromkeys(
        name for summary in summaries for name, value in summary.items() if _is_number(value)
    )
    if not names:
        raise NothingToDraw("none of these runs logged a number")
    found = chosen(options.metrics, names) if options.metrics else outcomes(names)
    return found[0]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def scale_of(name: str, values: Sequence[Any]) -> Scale:
    """The axis of one key: numbers by their size, all else by category; missing ones stand below."""
    there = [value for value in values if value is not MISSING and value is not None]
    has_missing = len(there) < len(values)
    if there and all(_is_number(value) and math.isfinite(_finite(value)) for value in there):
        return _number_scale(name, values, [float(value) for value in there], has_missing)
    texts = [said(value) for value in there]
    named = sorted(dict.fromkeys(texts))
    places = {text: (at + 0.5) / len(named) for at, text in enumerate(named)}
    at = [_MISSING_AT if v is MISSING or v is None else places[said(v)] for v in values]
    every = -(-len(named) // _MOST_CATEGORIES) if named else 1
    ticks = [(places[text], text) for text in named[::every]]
    return Scale(name, np.array(at), ticks, has_missing=has_missing)


def _number_scale(
    name: str, values: Sequence[Any], there: Sequence[float], has_missing: bool
) -> Scale:
    low, high = min(there), max(there)
    is_log = low > 0 and high / low >= _WIDE
    change = math.log10 if is_log else float
    bottom, top = change(low), change(high)

    def place(value: float) -> float:
        return (change(value) - bottom) / (top - bottom) if top > bottom else 0.5

    at = [_MISSING_AT if v is MISSING or v is None else place(float(v)) for v in values]
    distinct = sorted(set(there))
    is_whole = all(value.is_integer() for value in distinct)
    shown_at = (
        distinct if len(distinct) <= 6 else _ticks(low, high, is_log=is_log, is_whole=is_whole)
    )
    ticks = _apart([(place(value), short_value(value)) for value in shown_at])
    return Scale(name, np.array(at), ticks, is_log, has_missing)


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Without those that would stand on the one before."""
    kept: list[tuple[float, str]] = []
    for at, text in ticks:
        if not kept or at - kept[-1][0] >= _LINE_HEIGHT:
            kept.append((at, text))
    return kept


def _ticks(low: float, high: float, *, is_log: bool, is_whole: bool) -> list[float]:
    """Round values between the two: on a logarithmic scale decades, of few decades their thirds too."""
    if is_log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        parts = (1.0, 3.0) if len(decades) <= 4 else (1.0,)
        spread = [part * 10.0**decade for decade in decades for part in parts]
    else:
        spread = np.asarray(MaxNLocator(6, integer=is_whole).tick_values(low, high)).tolist()
    return [value for value in spread if low <= value <= high]


def draw(data: Parallel, look: Look, options: Options) -> Figure:
    amount = len(data.scales)
    size = options.size or (max(7.0, 1.9 * amount + 1.2), 5.2)
    figure = sheet(size, data.title, data.subtitle, look)
    axes = figure.subplots()
    colours = _colours(data.values, look)
    runs = np.column_stack([scale.at for scale in data.scales])
    for at in np.argsort(np.where(np.isnan(data.values), -np.inf, data.values)):
        has_value = not np.isnan(data.values[at])
        colour = colours.to_rgba(data.values[at]) if has_value else look.gap
        _draw_run(axes, runs[at], colour, len(runs), has_value=has_value)
    for at, scale in enumerate(data.scales):
        _draw_scale(axes, at, scale, look, is_last=at == amount - 1)
    axes.set_xlim(-0.15, amount - 0.85)
    has_missing = any(scale.has_missing for scale in data.scales)
    axes.set_ylim(-0.16 if has_missing else -0.04, 1.04)
    axes.set_xticks(range(amount), [_headline(scale) for scale in data.scales])
    axes.xaxis.tick_top()
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not np.isnan(data.values).all():
        bar = figure.colorbar(colours, ax=axes, pad=0.02, fraction=0.03, aspect=30)
        bar.set_label(f"{shown(data.metric)} (last)")
        bar.ax.yaxis.set_major_formatter(lambda at, _: short_value(at))
        bar.ax.yaxis.set_minor_formatter(lambda *_: "")
        bar.outline.set_visible(False)
    return figure


def _headline(scale: Scale) -> str:
    return (
        f"{shown(scale.name, 18)}\n(logarithmic)" if scale.is_log else f"{shown(scale.name, 18)}\n"
    )


def _colours(values: Array, look: Look) -> ScalarMappable:
    there = values[~np.isnan(values)]
    low, high = (float(there.min()), float(there.max())) if len(there) else (0.0, 1.0)
    is_log = low > 0 and high / low >= _WIDE
    return ScalarMappable((LogNorm if is_log else Normalize)(low, high), look.colour_map)


def _draw_run(axes: Axes, heights: Array, colour: Any, runs: int, *, has_value: bool) -> None:
    """A line that leaves and meets each axis at a right angle, so that crossings can be followed."""
    points, codes = [(0.0, heights[0])], [Curved.MOVETO]
    for at, (before, after) in enumerate(pairwise(heights.tolist())):
        points += [(at + 0.45, before), (at + 0.55, after), (at + 1.0, after)]
        codes += [Curved.CURVE4] * 3
    axes.add_patch(
        PathPatch(
            Curved(points, codes),
            fill=False,
            edgecolor=colour,
            linewidth=1.8 if runs <= 20 else 1.1,
            linestyle="-" if has_value else ":",
            alpha=0.9 if runs <= 60 else 0.5,
        )
    )


def _draw_scale(axes: Axes, place: int, scale: Scale, look: Look, *, is_last: bool) -> None:
    axes.plot([place, place], [0, 1], color=look.text, linewidth=1.0, zorder=3)
    side, ha = (0.03, "left") if not is_last else (-0.03, "right")
    missing = [(_MISSING_AT, "none")] if scale.has_missing else []
    for at, text in (*scale.ticks, *missing):
        axes.text(
            *(place + side, at, shown(text, 16)),
            ha=ha,
            va="center",
            fontsize=8.5,
            zorder=4,
            bbox={"facecolor": look.ground, "edgecolor": "none", "alpha": 0.75, "pad": 1.0},
        )
