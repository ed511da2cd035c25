"""What panels have in common: curves with bands, NaN and infinities, gaps, scales, limits, a word on each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from exptrack_daemon.plots.curves import Curve, broken, clipped_to_positive, lone, smoothed
from exptrack_daemon.plots.look import Look
from exptrack_daemon.plots.options import Across
from exptrack_daemon.plots.wording import label_steps, short_number, shown

_FEW = 60
_FAR_OUT = 4.0
"""So many times the usual range beyond it, a value is left to the border."""
_LEAST_FOR_LIMITS = 20
_ODD_KINDS = (("NaN", "x", 0.03), ("+inf", "^", 0.965), ("−inf", "v", 0.03))
_NAMES: dict[Across, str] = {"step": "step", "relative": "time since start", "epoch": "epoch"}


@dataclass(frozen=True, slots=True)
class Stroke:
    """How one curve is drawn."""

    colour: Any
    dash: Any = "-"
    width: float = 1.6
    has_band: bool = True
    has_raw: bool = True
    """Beside a smooth line, what it smooths."""
    alpha: float = 1.0


def draw_curve(axes: Axes, curve: Curve, stroke: Stroke, smooth: float, label: str = "") -> None:
    """Draw the line, its band, and the smooth line above them."""
    even = smoothed(curve, smooth)
    look = {"color": stroke.colour, "linestyle": stroke.dash}
    if curve.low is not None and curve.high is not None and stroke.has_band:
        x, low = broken(curve, curve.low)
        high = broken(curve, curve.high)[1]
        axes.fill_between(x, low, high, color=stroke.colour, alpha=0.2, linewidth=0)
    if even is None or stroke.has_raw:
        axes.plot(
            *broken(curve, curve.y),
            **look,
            alpha=stroke.alpha if even is None else 0.35 * stroke.alpha,
            linewidth=stroke.width if even is None else 0.55 * stroke.width,
            marker="o" if len(curve) <= _FEW else None,
            markersize=3.5,
            label=label,
        )
    alone = lone(curve)
    if len(alone) and len(curve) > _FEW:
        axes.plot(curve.x[alone], curve.y[alone], "o", color=stroke.colour, markersize=3.5)
    if even is not None:
        axes.plot(
            *broken(curve, even),
            **look,
            linewidth=1.25 * stroke.width,
            alpha=stroke.alpha,
            label="smoothed",
        )


def positive(curves: Sequence[Curve]) -> tuple[list[Curve], int]:
    """The curves as a logarithmic axis shows them, and how many points it does not."""
    kept = [clipped_to_positive(curve) for curve in curves]
    return [curve for curve, _ in kept], sum(left for _, left in kept)


def mark_odd(axes: Axes, curves: Sequence[Curve], look: Look) -> None:
    """Non-finite points stand at the panel's border: ▲ +inf above, ▼ -inf and × NaN below."""
    across = axes.get_xaxis_transform()
    x = np.concatenate([curve.odd_x for curve in curves])
    y = np.concatenate([curve.odd_y for curve in curves])
    for chosen, (label, marker, height) in zip(
        (np.isnan(y), y == np.inf, y == -np.inf), _ODD_KINDS, strict=True
    ):
        if chosen.any():
            axes.plot(
                x[chosen],
                np.full(int(chosen.sum()), height),
                marker,
                transform=across,
                color=look.odd,
                markersize=6,
                markeredgewidth=1.5,
                label=label,
                clip_on=False,
                zorder=5,
            )


def shade_gaps(axes: Axes, curves: Iterable[Curve], look: Look) -> int:
    """Shade stretches without a point; how many."""
    gaps = {gap for curve in curves for gap in curve.gaps}
    for gap in gaps:
        axes.axvspan(*gap, color=look.gap, alpha=0.16, linewidth=0, zorder=0)
    return len(gaps)


def limit_values(axes: Axes, curves: Sequence[Curve], look: Look) -> None:
    """Limits in which the usual values fill the panel; how many lie far outside is said at the border."""
    lows = np.concatenate([curve.lowest for curve in curves])
    highs = np.concatenate([curve.highest for curve in curves])
    if len(lows) < _LEAST_FOR_LIMITS or axes.get_yscale() == "log":
        return
    low, high = np.quantile(lows, 0.01), np.quantile(highs, 0.99)
    apart, lowest, highest = float(high - low), float(lows.min()), float(highs.max())
    if apart <= 0 or not np.isfinite(apart):
        return
    is_high, is_low = highest > high + _FAR_OUT * apart, lowest < low - _FAR_OUT * apart
    if not (is_high or is_low):
        return
    top = high + 0.25 * apart if is_high else highest + 0.06 * apart
    bottom = low - 0.25 * apart if is_low else lowest - 0.06 * apart
    axes.set_ylim(bottom, top)
    if is_high:
        _say_outside(axes, f"▲ up to {highest:.3g}", 0.965, "top", look)
    if is_low:
        _say_outside(axes, f"▼ down to {lowest:.3g}", 0.035, "bottom", look)


def _say_outside(axes: Axes, words: str, height: float, va: str, look: Look) -> None:
    axes.text(
        *(0.985, height, words),
        transform=axes.transAxes,
        ha="right",
        va=va,
        fontsize=8.5,
        color=look.faint,
        bbox={"facecolor": look.ground, "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )


def heading(axes: Axes, title: str, note: str, look: Look) -> None:
    """A panel's title, and to its right what else is to be known."""
    axes.set_title(shown(title), loc="left", fontweight="bold")
    if note:
        axes.set_title(shown(note, 90), loc="right", fontsize=8.5, color=look.faint)


def legend_above(axes: Axes, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend above the panel at the right, where it hides nothing."""
    axes.legend(
        list(handles),
        list(labels),
        loc="lower right",
        bbox_to_anchor=(1.01, 0.985),
        ncols=max(1, len(labels)),
        frameon=False,
        columnspacing=1.2,
        handlelength=1.4,
        handletextpad=0.5,
    )


def legend_below(figure: Figure, entries: Sequence[tuple[Any, str]]) -> None:
    """One legend for all panels, below them, in as many columns as their names leave room for."""
    if not entries:
        return
    labels = [_legible(shown(label)) for _, label in entries]
    longest = max(map(len, labels))
    room = int(figure.get_figwidth() / (0.55 + 0.075 * longest))
    figure.legend(
        [handle for handle, _ in entries],
        labels,
        loc="outside lower left",
        ncols=max(1, min(len(labels), room)),
        frameon=False,
        columnspacing=1.4,
        handlelength=2.2,
    )


def _legible(label: str) -> str:
    """Matplotlib leaves a label that begins with _ out of legends."""
    return f" {label}" if label.startswith("_") else label


def key(colour: Any, dash: Any = "-") -> Line2D:
    """A line for a legend."""
    return Line2D([], [], color=colour, linestyle=dash, linewidth=2.0)


def share_x(panels: Sequence[Axes], ends: tuple[float, float] | None, *, log: bool = False) -> None:
    """The same range of x for all panels, so that one can look from one to the other."""
    low, high = ends or (0.0, 1.0)
    if log:
        low = max(low, high * 1e-9) if low > 0 else max(1e-300, min(1.0, high * 1e-3))
        for panel in panels:
            panel.set_xscale("log")
            panel.set_xlim(low / 1.1, max(high, low * 2) * 1.1)
        return
    margin = (high - low) * 0.02 or 0.5
    for panel in panels:
        panel.set_xlim(low - margin, high + margin)


def ends_of(curves: Iterable[Curve]) -> tuple[float, float] | None:
    """From the first to the last x of all curves; None: there is no point."""
    xs = [x for curve in curves for x in (curve.x, curve.odd_x) if len(x)]
    if not xs:
        return None
    return min(float(x.min()) for x in xs), max(float(x.max()) for x in xs)


def label_x(axes: Axes, across: Across, zone: str = "UTC") -> None:
    """Ticks and the name of the x axis, with its unit."""
    is_log = axes.get_xscale() == "log"
    if across == "wall":
        locator = AutoDateLocator(maxticks=7, tz=_zone_of(zone))
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=_zone_of(zone)))
        axes.set_xlabel(f"time ({zone})")
        return
    axes.set_xlabel(_NAMES[across])
    if across == "relative":
        size, unit = _time_unit(axes.get_xlim())
        axes.set_xlabel(f"time since start ({unit})")
        if not is_log:
            axes.xaxis.set_major_locator(Scaled(size))
        axes.xaxis.set_major_formatter(lambda at, _: f"{at / size:g}")
    elif not is_log:
        label_steps(axes)
    else:
        axes.xaxis.set_major_formatter(lambda at, _: short_number(at))
    if is_log:
        axes.xaxis.set_minor_formatter(lambda *_: "")


class Scaled(MaxNLocator):
    """Ticks that are round in a unit of this size: minutes, GiB."""

    def __init__(self, size: float, ticks: int = 7) -> None:
        super().__init__(ticks, steps=[1, 2, 2.5, 5, 10])
        self._size = size

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Where the ticks stand."""
        return np.asarray(super().tick_values(vmin / self._size, vmax / self._size)) * self._size


def _time_unit(limits: tuple[float, float]) -> tuple[float, str]:
    span = limits[1] - limits[0]
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if span >= 2 * size:
            return size, unit
    return 1.0, "s"


def _zone_of(zone: str) -> timezone:
    if zone == "UTC":
        return UTC
    hours, _, minutes = zone.removeprefix("UTC").partition(":")
    sign = -1 if hours.startswith("-") else 1
    return timezone(timedelta(minutes=int(hours) * 60 + sign * int(minutes)))
