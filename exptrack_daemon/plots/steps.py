"""Where the time of a step goes: waiting for data, forward, backward, optimizer, over steps and in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from exptrack_daemon.plots import panels
from exptrack_daemon.plots.curves import middles_of
from exptrack_daemon.plots.look import Look, say_nothing, sheet
from exptrack_daemon.plots.options import NothingToDraw, Options
from exptrack_daemon.plots.reading import logged
from exptrack_daemon.plots.runs import title_of
from exptrack_daemon.plots.wording import duration, label_steps, shown
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.store.series import Array, width_for

PREFIX, SUFFIX = "performance/step/", "_s"
"""As `StepTimer` names them."""
_ORDER = ("data", "transfer", "forward", "loss", "backward", "optimizer")
_CELLS = 200
_MOST_PHASES = 8


@dataclass(frozen=True, slots=True)
class Steps:
    title: str
    subtitle: str
    phases: Sequence[str]
    """From the bottom to the top."""
    steps: Array
    """float64 [places]"""
    seconds: Array
    """float64 [phases, places]: the means of cells; 0 where a phase was not logged"""
    totals: Array
    """float64 [phases]: the mean of each phase over all steps, in seconds"""


def read(reader: HomeReader, runs: Sequence[RunView], options: Options) -> Steps:
    """The phases of one run.

    Raises:
        NothingToDraw: none was logged.
    """
    (run,) = runs
    there = {n: m for n, m in logged(reader, run).trainer.items() if options.rank in m.ranks}
    names = [n for n in there if n.startswith(PREFIX) and n.endswith(SUFFIX)]
    if not names:
        raise NothingToDraw(f"run {run.id} has no {PREFIX}PHASE{SUFFIX}: StepTimer records them")
    phases = sorted((name[len(PREFIX) : -len(SUFFIX)] for name in names), key=_in_order)
    lo = min(there[name].first_step for name in names)
    hi = max(there[name].last_step for name in names)
    width = width_for(lo, hi, _CELLS)
    cells = reader.cells(run, names, width=width, lo=lo, hi=hi, rank=options.rank)
    held = [cells[f"{PREFIX}{phase}{SUFFIX}"] for phase in phases]
    means, counts = np.array([c.mean for c in held]), np.array([c.count for c in held])
    has = ~np.isnan(means).all(axis=0)
    totals = np.nansum(means * counts, axis=1) / np.maximum(counts.sum(axis=1), 1)
    note = "" if width == 1 else f"   ·   means of {width:,} steps"
    return Steps(
        options.title or f"{title_of(run)}: time of a step",
        f"run {run.id}{note}   ·   the host's time",
        phases,
        middles_of(held[0], lo, hi)[has].astype(float),
        np.nan_to_num(means[:, has]),
        totals,
    )


def _in_order(phase: str) -> tuple[int, str]:
    """The phases of a step in their order, others after them, the rest at the end."""
    if phase == "other":
        return len(_ORDER) + 1, phase
    return (_ORDER.index(phase) if phase in _ORDER else len(_ORDER)), phase


def draw(data: Steps, look: Look, options: Options) -> Figure:
    data = _gathered(data)
    figure = sheet(options.size or (11.5, 4.8), data.title, data.subtitle, look)
    over, whole = figure.subplots(1, 2, width_ratios=[2.6, 1])
    panels.heading(over, "Over steps", "", look)
    panels.heading(whole, "On average", "", look)
    if not data.seconds.size or not data.seconds.any():
        for axes in (over, whole):
            say_nothing(axes, "no finite time", look)
        return figure
    colours = [
        look.gap if phase == "other" else look.lines[at % 8] for at, phase in enumerate(data.phases)
    ]
    _draw_over(over, data, colours, look)
    _draw_whole(whole, data, colours, look)
    return figure


def _gathered(data: Steps) -> Steps:
    """More phases than colours: the smallest ones go into `other`."""
    if len(data.phases) <= _MOST_PHASES:
        return data
    named = [at for at, phase in enumerate(data.phases) if phase != "other"]
    large = sorted(sorted(named, key=lambda at: -data.totals[at])[: _MOST_PHASES - 1])
    rest = [at for at in range(len(data.phases)) if at not in large]
    return Steps(
        data.title,
        data.subtitle,
        [*(data.phases[at] for at in large), "other"],
        data.steps,
        np.vstack([data.seconds[large], data.seconds[rest].sum(axis=0)]),
        np.append(data.totals[large], data.totals[rest].sum()),
    )


def _draw_over(axes: Axes, data: Steps, colours: Sequence[str], look: Look) -> None:
    steps, seconds = data.steps, data.seconds
    if len(steps) == 1:  # one step is a column of some width
        steps, seconds = np.array([steps[0] - 0.5, steps[0] + 0.5]), np.repeat(seconds, 2, axis=1)
    axes.stackplot(steps, seconds, colors=colours, alpha=0.92, linewidth=0)
    top = np.cumsum(data.seconds, axis=0)[-1]
    usual = float(np.quantile(top, 0.98))
    highest = float(top.max())
    axes.set_ylim(0, highest * 1.05 if highest <= 3 * usual else usual * 1.3)
    if highest > 3 * usual:
        axes.text(
            *(0.985, 0.965, f"▲ up to {duration(highest)}"),
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize=8.5,
            color=look.text,
            bbox={"facecolor": look.ground, "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
        )
    axes.set_xlim(steps[0], steps[-1])
    axes.yaxis.set_major_formatter(lambda at, _: duration(at))
    axes.set_ylabel("time of a step")
    axes.set_xlabel("step")
    label_steps(axes)


def _draw_whole(axes: Axes, data: Steps, colours: Sequence[str], look: Look) -> None:
    """Bars in the order of the stack; each says its time and its share, so they are the legend too."""
    whole = float(data.totals.sum())
    places = np.arange(len(data.phases))
    axes.barh(places, data.totals, color=colours, height=0.7)
    for at, seconds in enumerate(data.totals.tolist()):
        share = seconds / whole if whole else 0.0
        words = f" {duration(float(f'{seconds:.3g}'))}  ({share:.0%})"
        axes.text(seconds, at, words, va="center", fontsize=9.0, color=look.text)
    axes.set_yticks(places, [shown(phase, 18) for phase in data.phases])
    axes.set_xlim(0, float(data.totals.max()) * 1.65)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.set_xlabel(f"in all {duration(float(f'{whole:.3g}'))} a step")
