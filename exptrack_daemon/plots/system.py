"""What the machine did: GPUs, processors, memory, disk and network over time, training steps beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from exptrack_daemon.plots import panels
from exptrack_daemon.plots.curves import Curve, middles_of
from exptrack_daemon.plots.look import Look, grid_of, sheet
from exptrack_daemon.plots.options import NothingToDraw, Options
from exptrack_daemon.plots.reading import Logged, curves, logged, since
from exptrack_daemon.plots.runs import title_of
from exptrack_daemon.plots.wording import amount_of_bytes, bytes_unit, label_values, short_number
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.store.series import Array, width_for


@dataclass(frozen=True, slots=True)
class Sort:
    """One panel: what stands on it, in which unit."""

    title: str
    patterns: tuple[str, ...]
    unit: str
    is_bytes: bool = False
    is_share: bool = False
    """In percent of a whole: the axis goes from 0 to 100."""


SORTS = (
    Sort("GPU utilisation", ("system/gpu/*/utilization_percent",), "%", is_share=True),
    Sort("GPU memory", ("system/gpu/*/memory_used_bytes",), "", is_bytes=True),
    Sort("GPU power", ("system/gpu/*/power_watts",), "W"),
    Sort("GPU temperature", ("system/gpu/*/temperature_celsius",), "°C"),
    Sort("CPU of the node", ("system/cpu_percent",), "%", is_share=True),
    Sort("CPU of training", ("system/process/*/cpu_percent",), "% of one core"),
    Sort(
        "Memory",
        ("system/memory_used_bytes", "system/process/*/memory_rss_bytes"),
        "",
        is_bytes=True,
    ),
    Sort("Disk", ("system/disk_*_bytes_per_s",), "per second", is_bytes=True),
    Sort("Network", ("system/network_*_bytes_per_s",), "per second", is_bytes=True),
)
_CELLS = 512


@dataclass(frozen=True, slots=True)
class System:
    title: str
    subtitle: str
    sorts: Sequence[tuple[Sort, Mapping[str, Curve]]]
    """By panel the curves by metric; x is seconds since the run began."""
    step_times: Array
    """float64 seconds, rising: when …"""
    steps: Array
    """… this training step was logged; empty when none was"""


def read(reader: HomeReader, runs: Sequence[RunView], options: Options) -> System:
    """What the sampler logged of one run.

    Raises:
        NothingToDraw: it logged nothing.
    """
    (run,) = runs
    there = logged(reader, run)
    if not there.system:
        raise NothingToDraw(
            f"run {run.id} has no system metrics: a daemon samples them while it trains"
        )
    names = {
        sort: [n for p in sort.patterns for n in there.system if fnmatchcase(n, p)]
        for sort in SORTS
    }
    asked = [name for found in names.values() for name in found]
    begin_ns = there.begin_ns
    held = curves(reader, run, there.system, asked, axis="time", to_x=since(begin_ns), system=True)
    times, steps = _steps_over_time(reader, run, there, options.rank)
    return System(
        options.title or f"{title_of(run)}: system",
        f"{run.status.name}   ·   run {run.id}",
        [
            (sort, {name: held[name] for name in found})
            for sort, found in names.items()
            if any(held[name].points for name in found)
        ],
        *(times, steps),
    )


def _steps_over_time(
    reader: HomeReader, run: RunView, held: Logged, rank: int
) -> tuple[Array, Array]:
    """When training was at which step, by the metric with the most points."""
    ours = [metric for metric in held.trainer.values() if rank in metric.ranks]
    if not ours:
        return np.empty(0), np.empty(0)
    most = max(ours, key=lambda metric: metric.points)
    lo, hi = most.first_step, most.last_step
    width = width_for(lo, hi, _CELLS)
    cells = reader.cells(run, [most.name], width=width, lo=lo, hi=hi, rank=rank)[most.name]
    has = cells.count > 0
    times = (cells.last_ns[has] - held.begin_ns) / 1e9
    order = np.argsort(times, kind="stable")
    steps = middles_of(cells, lo, hi)[has]
    return times[order], steps[order].astype(float)


def draw(data: System, look: Look, options: Options) -> Figure:
    rows, columns = grid_of(len(data.sorts))
    figure = sheet(
        options.size or (max(8.0, 4.8 * columns), 2.7 * rows + 1.2), data.title, data.subtitle, look
    )
    places = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in places[len(data.sorts) :]:
        spare.remove()
    places = places[: len(data.sorts)]
    for place, (sort, lines) in zip(places, data.sorts, strict=True):
        _draw_panel(place, sort, lines, look)
    panels.share_x(places, panels.ends_of(c for _, lines in data.sorts for c in lines.values()))
    for at, place in enumerate(places):
        panels.label_x(place, "relative")
        if at < columns and len(data.steps):
            _add_steps(place, data, look)
    return figure


def _draw_panel(axes: Axes, sort: Sort, lines: Mapping[str, Curve], look: Look) -> None:
    amount = len(lines)
    for at, (name, curve) in enumerate(lines.items()):
        stroke = panels.Stroke(*look.stroke(at, amount), has_band=amount <= 4)
        panels.draw_curve(axes, curve, stroke, 0.0, _short(name))
    drawn = list(lines.values())
    panels.shade_gaps(axes, drawn, look)
    panels.heading(axes, sort.title, "", look)
    if amount > 1:
        _name_lines(axes, amount)
    if sort.is_share:
        axes.set_ylim(0, 104)
    elif not sort.title.endswith("temperature"):
        axes.set_ylim(bottom=0, top=max(float(c.highest.max(initial=0)) for c in drawn) * 1.1 or 1)
    axes.set_ylabel(sort.unit)
    if sort.is_bytes:
        axes.yaxis.set_major_locator(panels.Scaled(bytes_unit(axes.get_ylim()[1] / 2), 6))
        axes.yaxis.set_major_formatter(lambda at, _: amount_of_bytes(at))
    else:
        label_values(axes)


def _name_lines(axes: Axes, amount: int) -> None:
    """Beside the panel; of very many the first ones."""
    handles, labels = axes.get_legend_handles_labels()
    most = 8
    more = [f"… {amount - most} more"] if amount > most else []
    axes.legend(
        [*handles[:most], *([panels.key("none")] if more else [])],
        [*labels[:most], *more],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.02),
        frameon=False,
        fontsize=8.0,
        handlelength=1.2,
    )


def _short(name: str) -> str:
    """The part of a metric's name that tells it from the others of its panel."""
    parts = name.split("/")
    if len(parts) > 3:
        return f"{parts[1]} {parts[2]}" if parts[1] == "gpu" else parts[2].replace("_", " ")
    return {"memory_used_bytes": "node"}.get(parts[-1], parts[-1].split("_")[1])


def _add_steps(axes: Axes, data: System, look: Look) -> None:
    """A second axis above: which training step was under way."""
    above = axes.secondary_xaxis("top")
    above.xaxis.set_major_formatter(_step_at(data))
    above.set_xlabel("training step", color=look.faint, fontsize=8.5)
    above.tick_params(length=0, labelsize=8.0, labelcolor=look.faint)
    above.spines["top"].set_visible(False)


def _step_at(data: System) -> Callable[[float, float], str]:
    def step_at(seconds: float, _place: float = 0) -> str:
        if not data.step_times[0] - 1 <= seconds <= data.step_times[-1] + 1:
            return ""
        return short_number(round(float(np.interp(seconds, data.step_times, data.steps))))

    return step_at
