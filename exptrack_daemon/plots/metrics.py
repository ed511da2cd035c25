"""Any metrics of any runs: a panel each, a line a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from exptrack_daemon.plots import panels
from exptrack_daemon.plots.curves import USUAL_SMOOTH, Curve
from exptrack_daemon.plots.look import Look, grid_of, say_nothing, sheet
from exptrack_daemon.plots.names import usual_first
from exptrack_daemon.plots.options import Across, NothingToDraw, Options, chosen
from exptrack_daemon.plots.reading import Logged, as_steps, curves, logged, placing, zone
from exptrack_daemon.plots.runs import common_title, names_of
from exptrack_daemon.plots.wording import label_values, short_number
from exptrack_daemon.store.reader import HomeReader, RunView

MOST_PANELS = 30
_UNASKED_PANELS = 6
_MOST_BANDS = 6
"""Runs whose bands still let one see each other; of more there is the line of means."""
_BY_EPOCH = "epoch/"
"""Metrics of `log_epoch`, whose steps are epochs."""


@dataclass(frozen=True, slots=True)
class Metrics:
    title: str
    subtitle: str
    runs: Sequence[str]
    lines: Mapping[str, Sequence[Curve]]
    """By metric one curve a run, in their order; without points where it was not logged."""
    across: Across = "step"
    zone: str = "UTC"


def read(reader: HomeReader, runs: Sequence[RunView], options: Options) -> Metrics:
    """The chosen metrics of all runs.

    Raises:
        NothingToDraw: none fits.
    """
    held = [logged(reader, run) for run in runs]
    names, left_out = names_to_draw(held, options.metrics)
    by_run = [
        curves_of_run(reader, run, there, names, options)
        for run, there in zip(runs, held, strict=True)
    ]
    more = f"   ·   {left_out} more metrics are not shown: choose with --metric" if left_out else ""
    said = f"{len(runs)} runs" if len(runs) > 1 else f"{runs[0].status.name}   ·   run {runs[0].id}"
    return Metrics(
        options.title or common_title(runs),
        f"{said}{more}",
        names_of(runs),
        {name: [lines[name] for lines in by_run] for name in names},
        options.x,
        zone() if options.x == "wall" else "UTC",
    )


def names_to_draw(held: Sequence[Logged], patterns: Sequence[str]) -> tuple[list[str], int]:
    """The metrics to draw, and how many there is no room for.

    Raises:
        NothingToDraw: nothing was logged, or nothing fits.
    """
    names = list(dict.fromkeys(name for there in held for name in (*there.trainer, *there.system)))
    if patterns:
        asked = chosen(patterns, names)
        return asked[:MOST_PANELS], max(0, len(asked) - MOST_PANELS)
    trainer = list(dict.fromkeys(name for there in held for name in there.trainer))
    if not trainer:
        raise NothingToDraw("no metric was logged yet")
    return usual_first(trainer)[:_UNASKED_PANELS], max(0, len(trainer) - _UNASKED_PANELS)


def curves_of_run(
    reader: HomeReader, run: RunView, held: Logged, names: Sequence[str], options: Options
) -> dict[str, Curve]:
    """The named metrics of one run, on the x axis that was asked for; empty where it has none.

    Raises:
        NothingToDraw: epochs were asked for, and none was logged.
    """
    by_epoch = [n for n in names if options.x == "epoch" and n.startswith(_BY_EPOCH)]
    found = curves(reader, run, held.trainer, by_epoch, to_x=as_steps, rank=options.rank)
    others = [name for name in names if name not in found]
    if not others:
        return found
    axis, to_x = placing(reader, run, held, options.x, options.rank)
    for metrics, is_system in ((held.trainer, False), (held.system, True)):
        asked = [name for name in others if name in metrics and name not in found]
        found |= curves(
            *(reader, run, metrics, asked),
            axis=axis,
            to_x=to_x,
            rank=0 if is_system else options.rank,
            system=is_system,
        )
    return {name: found.get(name, Curve()) for name in names}


def draw(data: Metrics, look: Look, options: Options) -> Figure:
    rows, columns = grid_of(len(data.lines))
    amount = len(data.runs)
    below = 0.28 * min(8, -(-amount // 3)) if amount > 1 else 0.1
    size = options.size or (max(8.0, 5.2 * columns), 3.3 * rows + 1.1 + below)
    figure = sheet(size, data.title, data.subtitle, look)
    places = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in places[len(data.lines) :]:
        spare.remove()
    places = places[: len(data.lines)]
    for place, (name, lines) in zip(places, data.lines.items(), strict=True):
        _draw_panel(place, name, lines, look, options)
    every = [curve for lines in data.lines.values() for curve in lines]
    panels.share_x(places, panels.ends_of(every), log=options.log_x)
    for place in places:
        panels.label_x(place, data.across, data.zone)
    _explain(figure, data, look)
    return figure


def _draw_panel(
    axes: Axes, name: str, lines: Sequence[Curve], look: Look, options: Options
) -> None:
    points = sum(curve.points for curve in lines)
    panels.heading(axes, name, _note(lines), look)
    if not points:
        say_nothing(axes, "nothing logged here", look)
        return
    left_out = 0
    if options.log:
        axes.set_yscale("log")
        lines, left_out = panels.positive(lines)
    if not any(len(curve) for curve in lines):
        axes.set_yscale("linear")
        say_nothing(axes, "no positive value" if left_out else "no finite value", look)
    smooth = USUAL_SMOOTH if options.smooth is None else options.smooth
    amount = len(lines)
    for at, curve in enumerate(lines):
        panels.draw_curve(axes, curve, _stroke(at, amount, look), smooth)
    panels.mark_odd(axes, lines, look)
    if amount == 1:
        panels.shade_gaps(axes, lines, look)
    panels.limit_values(axes, lines, look)
    label_values(axes)
    if left_out:
        panels.heading(axes, name, f"not shown: {left_out:,} of 0 or less", look)


def _stroke(at: int, amount: int, look: Look) -> panels.Stroke:
    colour, dash = look.stroke(at, amount)
    stroke = panels.Stroke(colour, dash)
    if amount > look.most_named:
        return replace(stroke, width=1.0, has_band=False, has_raw=False, alpha=0.85)
    return replace(stroke, has_band=amount <= _MOST_BANDS, has_raw=amount <= _MOST_BANDS)


def _note(lines: Sequence[Curve]) -> str:
    points = sum(curve.points for curve in lines)
    odd = sum(curve.odd_points for curve in lines)
    said = f"{short_number(points)} {'point' if points == 1 else 'points'}" if points else ""
    return f"{said}, {odd:,} not finite" if odd else said


def _explain(figure: Figure, data: Metrics, look: Look) -> None:
    """Which line is which run; of more than can be told apart, the order that colours stand for."""
    amount = len(data.runs)
    if amount == 1:
        return
    if amount <= look.most_named:
        entries = [
            (panels.key(*look.stroke(at, amount)), name) for at, name in enumerate(data.runs)
        ]
        panels.legend_below(figure, entries)
        return
    some = sorted({0, amount // 4, amount // 2, 3 * amount // 4, amount - 1})
    entries = [(panels.key(*look.stroke(at, amount)), data.runs[at]) for at in some]
    panels.legend_below(figure, [*entries, (panels.key("none"), "colours: in the order given")])
