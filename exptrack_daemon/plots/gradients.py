"""Gradient norms as a heat map: layers from first to last, steps from left to right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from exptrack_daemon.plots.look import Look, say_nothing, sheet
from exptrack_daemon.plots.options import NothingToDraw, Options, chosen
from exptrack_daemon.plots.reading import logged
from exptrack_daemon.plots.runs import title_of
from exptrack_daemon.plots.wording import label_steps, short_value, shown
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.store.series import Array, width_for

USUAL = ("gradients/norm/*",)
"""As `log_gradients` and `watch` name them; `weights/norm/*` and `updates/ratio/*` look as well."""
_COLUMNS = 240
_MOST_LAYERS = 400
_MOST_NAMED = 48
_ODD = "#00d5ff"
"""Red would be lost among the map's own colours."""


@dataclass(frozen=True, slots=True)
class Gradients:
    title: str
    subtitle: str
    layers: Sequence[str]
    edges: Array
    """float64 [columns + 1]: steps"""
    norms: Array
    """float64 [layers, columns]: the mean of the finite norms in each cell; NaN where there is none"""
    odd: Array
    """bool [layers, columns]: a norm that is not finite"""


def read(reader: HomeReader, runs: Sequence[RunView], options: Options) -> Gradients:
    """The norms of one run's layers.

    Raises:
        NothingToDraw: none was logged.
    """
    (run,) = runs
    there = {n: m for n, m in logged(reader, run).trainer.items() if options.rank in m.ranks}
    if not options.metrics and not any(name.startswith("gradients/norm/") for name in there):
        raise NothingToDraw(
            f"run {run.id} has no gradients/norm/LAYER: log_gradients or watch records them"
        )
    names = sorted(chosen(options.metrics or USUAL, there), key=in_order)
    kept = names[:_MOST_LAYERS]
    lo = min(there[name].first_step for name in kept)
    hi = max(there[name].last_step for name in kept)
    width = width_for(lo, hi, _COLUMNS)
    cells = reader.cells(run, kept, width=width, lo=lo, hi=hi, rank=options.rank)
    first = cells[kept[0]]
    more = f"   ·   the first {len(kept)} of {len(names)} layers" if len(kept) < len(names) else ""
    means = "" if width == 1 else f"   ·   means of {width:,} steps"
    return Gradients(
        options.title or f"{title_of(run)}: {_family(kept)}",
        f"run {run.id}{means}{more}   ·   ×: not finite",
        [name.removeprefix(f"{_family(kept)}/") for name in kept],
        first.x0 + width * np.arange(len(first) + 1) - (0.5 if width == 1 else 0),
        np.array([cells[name].mean for name in kept]),
        np.array([cells[n].nan + cells[n].pos_inf + cells[n].neg_inf > 0 for n in kept]),
    )


def in_order(name: str) -> list[tuple[int, str]]:
    """Layers in the order of their numbers: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part[:18]), "") if part.isdigit() else (-1, part) for part in parts]


def _family(names: Sequence[str]) -> str:
    """What all names begin with, up to a slash."""
    parts = [name.split("/")[:-1] for name in names]
    shared = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return "/".join(shared) or "norms"


def draw(data: Gradients, look: Look, options: Options) -> Figure:
    named = min(len(data.layers), _MOST_NAMED)
    size = options.size or (11.0, min(16.0, max(4.0, 1.9 + 0.22 * named)))
    figure = sheet(size, data.title, data.subtitle, look)
    axes = figure.subplots()
    axes.grid(visible=False)
    positive = data.norms[data.norms > 0]
    if not positive.size:
        say_nothing(axes, "no finite norm above 0", look)
    else:
        _draw_map(figure, axes, data, look)
    _mark_odd(axes, data)
    axes.set_xlim(data.edges[0], data.edges[-1])
    axes.set_ylim(len(data.layers), 0)
    _name_layers(axes, data.layers)
    label_steps(axes)
    axes.set_xlabel("step")
    return figure


def _draw_map(figure: Figure, axes: Axes, data: Gradients, look: Look) -> None:
    """Colour is logarithmic: norms of layers lie decades apart. What is 0 has the lowest colour."""
    positive = data.norms[data.norms > 0]
    low, high = np.quantile(positive, 0.005), positive.max()
    import seaborn  # a second and more to load, and most pictures need none of it

    colours = seaborn.color_palette(
        "rocket" if look.paper != "#ffffff" else "rocket_r", as_cmap=True
    )
    shaded = np.where(data.norms <= 0, low, data.norms)
    if high <= low * (1 + 1e-9):
        low, high = low / 2, high * 2
    drawn = axes.pcolormesh(
        data.edges,
        np.arange(len(data.layers) + 1),
        np.ma.masked_invalid(shaded),
        norm=LogNorm(low, high, clip=True),
        cmap=colours,
        rasterized=True,
    )
    bar = figure.colorbar(drawn, ax=axes, pad=0.015, fraction=0.04, aspect=30)
    bar.set_label("norm (logarithmic)")
    bar.ax.yaxis.set_major_formatter(lambda at, _: short_value(at))
    bar.ax.yaxis.set_minor_formatter(lambda *_: "")
    bar.outline.set_visible(False)


def _mark_odd(axes: Axes, data: Gradients) -> None:
    layers, columns = np.nonzero(data.odd)
    if len(layers):
        middles = (data.edges[:-1] + data.edges[1:]) / 2
        axes.plot(
            *(middles[columns], layers + 0.5, "X"),
            markerfacecolor=_ODD,
            markeredgecolor="#101010",
            markersize=8,
            markeredgewidth=0.8,
            clip_on=False,
        )


def _name_layers(axes: Axes, layers: Sequence[str]) -> None:
    """Every layer's name while they have room, else evenly spread ones."""
    every = -(-len(layers) // _MOST_NAMED)
    places = range(0, len(layers), every)
    axes.set_yticks([at + 0.5 for at in places], [shown(layers[at], 44) for at in places])
