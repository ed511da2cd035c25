"""The 2×2 picture of a run: loss, accuracy, gradient norm, NaN and infinite gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from exptrack_daemon.plots import panels
from exptrack_daemon.plots.curves import USUAL_SMOOTH, Curve, smoothed
from exptrack_daemon.plots.look import Look, say_nothing, sheet
from exptrack_daemon.plots.names import TRAINING_METRICS
from exptrack_daemon.plots.options import Options
from exptrack_daemon.plots.reading import curves, logged
from exptrack_daemon.plots.runs import title_of
from exptrack_daemon.plots.wording import label_steps, label_values, shown
from exptrack_daemon.store.reader import HomeReader, RunView

_SIZE = (12.0, 7.6)
_WIDE = 1_000.0
"""Most values lie this far apart: a linear axis shows the low ones as nothing."""
_HIGH = 100.0
"""The highest stands so far above the middle that a linear axis shows nothing but it."""


@dataclass(frozen=True, slots=True)
class Training:
    title: str
    subtitle: str
    lines: Mapping[str, tuple[str, Curve]]
    """By line of `TRAINING_METRICS`, the metric shown and its curve; an unlogged one has no points."""


def read(reader: HomeReader, runs: Sequence[RunView], options: Options) -> Training:
    """The lines of one run."""
    (run,) = runs
    there = logged(reader, run).trainer
    ranks = {name: metric for name, metric in there.items() if options.rank in metric.ranks}
    names = {
        key: next((name for name in names if name in ranks), names[0])
        for key, names in TRAINING_METRICS.items()
    }
    found = curves(reader, run, ranks, list(dict.fromkeys(names.values())), rank=options.rank)
    last = run.facts.last_step
    step = "no step yet" if last is None else f"step {last:,}"
    return Training(
        options.title or title_of(run),
        f"{run.status.name}   ·   {step}   ·   {run.facts.rows:,} rows   ·   run {run.id}",
        {key: (name, found[name]) for key, name in names.items()},
    )


def draw(data: Training, look: Look, options: Options) -> Figure:
    figure = sheet(options.size or _SIZE, data.title, data.subtitle, look)
    axes = figure.subplots(2, 2)
    smooth = USUAL_SMOOTH if options.smooth is None else options.smooth
    for place, (title, line) in zip(
        (axes[0, 0], axes[0, 1], axes[1, 0]),
        (("Loss", "loss"), ("Accuracy", "accuracy"), ("Gradient norm", "gradient_norm")),
        strict=True,
    ):
        place.set_title(title, loc="left", fontweight="bold")
        colour = look.lines[list(TRAINING_METRICS).index(line)]
        _draw_line(place, *data.lines[line], colour, smooth, look)
    axes[1, 1].set_title("NaN and infinite gradients", loc="left", fontweight="bold")
    _draw_counts(axes[1, 1], data, look)
    drawn = [curve for _, curve in data.lines.values()]
    panels.share_x(axes.ravel().tolist(), panels.ends_of(drawn))
    for place in axes.ravel():
        label_steps(place)
        place.set_xlabel(place.get_xlabel() or "step")
    return figure


def _draw_line(axes: Axes, name: str, curve: Curve, colour: str, smooth: float, look: Look) -> None:
    if not curve.points:
        say_nothing(axes, f"nothing logged as {name}", look)
        return
    _scale_line(axes, curve)
    panels.draw_curve(axes, curve, panels.Stroke(colour), smooth, shown(name))
    if not len(curve):
        say_nothing(axes, f"no finite value of {name}", look)
    panels.limit_values(axes, [curve], look)
    label_values(axes)
    _explain(axes, [curve], look)


def _draw_counts(axes: Axes, data: Training, look: Look) -> None:
    names = ("nan_count", "inf_count")
    logged_lines = [(data.lines[key], look.lines[3 + at]) for at, key in enumerate(names)]
    kept = [((name, curve), colour) for (name, curve), colour in logged_lines if curve.points]
    if not kept:
        say_nothing(axes, f"nothing logged as {data.lines['nan_count'][0]}", look)
        return
    drawn = [curve for (_, curve), _ in kept]
    _scale_counts(axes, drawn)
    for (name, curve), colour in kept:
        peaks = curve.highest > 0
        label = shown(name.rpartition("/")[2])
        axes.vlines(curve.x, 0, curve.highest, color=colour, linewidth=1.2, label=label, alpha=0.85)
        axes.plot(curve.x[peaks], curve.highest[peaks], "o", color=colour, markersize=3.2)
    if not any(curve.highest.any() for curve in drawn):
        axes.text(
            0.5, 0.5, "none: 0 all along", transform=axes.transAxes, ha="center", color=look.faint
        )
    _explain(axes, drawn, look)


def _scale_counts(axes: Axes, drawn: list[Curve]) -> None:
    high = max(float(curve.highest.max(initial=0.0)) for curve in drawn)
    if high > _HIGH:
        axes.set_yscale("symlog", linthresh=1)
        label_values(axes)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=2))
    axes.set_ylim(0, max(1.0, high) * (3.0 if high > _HIGH else 1.15))


def _scale_line(axes: Axes, curve: Curve) -> None:
    """A logarithmic axis where a linear one would show next to nothing.

    The smooth line says how far apart the usual values are: the raw ones here are mostly extremes.
    """
    if not len(curve):
        return
    even = smoothed(curve, USUAL_SMOOTH)
    usual = np.abs(curve.y if even is None else even)
    usual = usual[usual > 0]
    if len(usual) < 2:
        return
    low, middle, high = np.quantile(usual, (0.05, 0.5, 0.95))
    is_wide = high / low > _WIDE
    if curve.lowest.min() > 0 and (is_wide or curve.highest.max() / middle > _HIGH):
        axes.set_yscale("log")
    elif is_wide:
        axes.set_yscale("symlog", linthresh=float(middle))


def _explain(axes: Axes, drawn: Sequence[Curve], look: Look) -> None:
    """Marks, the legend above, and beside the steps' name what is shaded and what the band is."""
    panels.mark_odd(axes, drawn, look)
    gaps = panels.shade_gaps(axes, drawn, look)
    panels.legend_above(axes, *axes.get_legend_handles_labels())
    said = [
        *([f"shaded: {gaps} {'gap' if gaps == 1 else 'gaps'} without a point"] if gaps else []),
        *(["band: lowest to highest"] if any(curve.is_thinned for curve in drawn) else []),
    ]
    if said:
        axes.set_xlabel(f"step   ({', '.join(said)})")
