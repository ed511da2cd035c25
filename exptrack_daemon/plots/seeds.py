"""Bands over seeds: runs that differ in nothing else are one line and how far they lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from exptrack_daemon.plots import panels
from exptrack_daemon.plots.bands import NAMES, Band, band_of
from exptrack_daemon.plots.configs import group_of
from exptrack_daemon.plots.curves import Curve
from exptrack_daemon.plots.grids import MOST_PLACES, Grid, grid_of_cells, grid_of_curves
from exptrack_daemon.plots.look import Look, grid_of, say_nothing, sheet
from exptrack_daemon.plots.metrics import curves_of_run, names_to_draw
from exptrack_daemon.plots.options import Across, Centre, Interval, Options, PlotRefused
from exptrack_daemon.plots.reading import Logged, logged
from exptrack_daemon.plots.runs import common_title
from exptrack_daemon.plots.wording import duration, label_values
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.store.series import Array, width_for

_MOST_GROUPS = 12


@dataclass(frozen=True, slots=True)
class Seeds:
    title: str
    subtitle: str
    groups: Mapping[str, Sequence[int]]
    """By name of the group, the places of its runs."""
    grids: Mapping[str, Grid]
    """By metric."""
    centre: Centre
    interval: Interval
    across: Across = "step"


def read(reader: HomeReader, runs: Sequence[RunView], options: Options) -> Seeds:
    """The chosen metrics of all runs, each on a grid of its own that all runs share.

    Raises:
        NothingToDraw: no metric fits.
        PlotRefused: there are too many groups to tell apart, or the interval does not fit the centre, or
            x is the time of day, at which no two runs meet.
    """
    if options.x == "wall":
        raise PlotRefused("seeds ran at different times of day: take x = relative")
    interval = options.interval or ("ci95" if options.centre == "mean" else "iqr")
    if interval == "ci95" and options.centre == "median":
        raise PlotRefused("ci95 is the mean's interval: with a median take iqr or minmax")
    groups = groups_of(runs, options.group_by)
    if len(groups) > _MOST_GROUPS:
        raise PlotRefused(
            f"{len(groups)} groups are too many for bands, {_MOST_GROUPS} is the most: take --group-by"
        )
    held = [logged(reader, run) for run in runs]
    names, left_out = names_to_draw([Logged(there.trainer, {}) for there in held], options.metrics)
    more = f"   ·   {left_out} more metrics: choose with --metric" if left_out else ""
    said = f"{len(runs)} runs in {len(groups)} groups   ·   line: {options.centre}, band: {NAMES[interval]}"
    return Seeds(
        options.title or common_title(runs),
        f"{said}{more}",
        groups,
        {name: _grid(reader, runs, held, name, options) for name in names},
        options.centre,
        interval,
        options.x,
    )


def groups_of(runs: Sequence[RunView], group_by: str | None) -> dict[str, list[int]]:
    """The places of runs by their group, in the order of first sight."""
    groups: dict[str, list[int]] = {}
    for at, run in enumerate(runs):
        name = group_of(run.run.name, run.run.config, group_by)
        groups.setdefault(name, []).append(at)
    return groups


def _grid(
    reader: HomeReader, runs: Sequence[RunView], held: Sequence[Logged], name: str, options: Options
) -> Grid:
    if options.x != "step":
        return _grid_elsewhere(reader, runs, held, name, options)
    there = [logged_by.trainer.get(name) for logged_by in held]
    lo = min(metric.first_step for metric in there if metric)
    hi = max(metric.last_step for metric in there if metric)
    width = width_for(lo, hi, MOST_PLACES)
    cells = [
        reader.cells(run, [name], width=width, lo=lo, hi=hi, rank=options.rank)[name]
        if metric
        else None
        for run, metric in zip(runs, there, strict=True)
    ]
    return grid_of_cells(cells, lo, hi)


def _grid_elsewhere(
    reader: HomeReader, runs: Sequence[RunView], held: Sequence[Logged], name: str, options: Options
) -> Grid:
    """Over time or epochs: each run's own points, or the cells of a long one, placed there."""
    curves = [
        curves_of_run(reader, run, Logged(there.trainer, {}), [name], options)[name]
        if name in there.trainer
        else Curve()
        for run, there in zip(runs, held, strict=True)
    ]
    return grid_of_curves(curves)


def draw(data: Seeds, look: Look, options: Options) -> Figure:
    rows, columns = grid_of(len(data.grids))
    below = 0.3 * -(-len(data.groups) // 3)
    size = options.size or (max(8.0, 5.2 * columns), 3.5 * rows + 0.9 + below)
    figure = sheet(size, data.title, data.subtitle, look)
    places = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in places[len(data.grids) :]:
        spare.remove()
    for place, (name, grid) in zip(places, data.grids.items(), strict=False):
        _draw_panel(place, name, grid, data, look, is_log=options.log)
    amount = len(data.groups)
    panels.legend_below(
        figure,
        [
            (panels.key(*look.stroke(at, amount)), f"{name} (n = {len(members)})")
            for at, (name, members) in enumerate(data.groups.items())
        ],
    )
    return figure


def _draw_panel(
    axes: Axes, name: str, grid: Grid, data: Seeds, look: Look, *, is_log: bool
) -> None:
    panels.heading(axes, name, _note(grid.width, data.across), look)
    axes.set_xlabel(data.across)
    if not grid.rows.size:
        say_nothing(axes, "no finite value", look)
        return
    if is_log and (grid.rows > 0).any():
        axes.set_yscale("log", nonpositive="mask")
    drawn = []
    for at, members in enumerate(data.groups.values()):
        band = band_of(grid.rows[members], data.centre, data.interval)
        curve = _curve(grid.places, band, len(members))
        _draw_band(axes, curve, *look.stroke(at, len(data.groups)))
        drawn.append(curve)
    panels.limit_values(axes, drawn, look)
    if len(grid.odd):
        axes.plot(
            *(grid.odd, np.full(len(grid.odd), 0.03), "x"),
            transform=axes.get_xaxis_transform(),
            color=look.odd,
            label="not finite",
            clip_on=False,
        )
    label_values(axes)
    panels.label_x(axes, data.across)


def _note(width: float, across: Across) -> str:
    """What a place stands for, where it is more than what was logged there."""
    if not width:
        return ""
    if across == "relative":
        return f"means of {duration(width)}"
    return f"means of {width:,.0f} steps" if across == "step" else f"means of {width:.3g} epochs"


def _curve(places: Array, band: Band, members: int) -> Curve:
    """Where less than half of the runs have a value, their mean would be one of others: nothing."""
    enough = band.runs * 2 >= members
    centre = band.centre[enough]
    low, high = (
        np.where(np.isnan(edge), centre, edge) for edge in (band.low[enough], band.high[enough])
    )
    return Curve(x=places[enough], y=centre, low=low, high=high, points=len(centre))


def _draw_band(axes: Axes, curve: Curve, colour: object, dash: object) -> None:
    marker = "o" if len(curve) == 1 else None
    axes.plot(curve.x, curve.y, color=colour, linestyle=dash, linewidth=2.0, marker=marker)
    axes.fill_between(curve.x, curve.lowest, curve.highest, color=colour, alpha=0.2, linewidth=0)
