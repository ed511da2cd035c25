"""The 2×2 picture of a run: loss, accuracy, gradient norm, NaN/Inf counts. From lines to PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from exptrack_daemon.plots.thinning import Array, Line

Theme: TypeAlias = Literal["light", "dark"]
Lines: TypeAlias = Mapping[str, tuple[str, Line]]

_INCHES = (12.0, 7.6)
_DPI = 110
_FEW = 60
_WIDE = 1_000.0
"""Most values lie this far apart: a linear axis shows the low ones as nothing."""
_HIGH = 100.0
"""The highest stands so far above the middle that a linear axis shows nothing but it."""


@dataclass(frozen=True, slots=True)
class Colours:
    raw: tuple[str, ...]
    odd: str
    gap: str
    faint: str
    rc: Mapping[str, Any]


_LIGHT = Colours(
    raw=("#2166ac", "#1b7837", "#7b3294", "#b2182b", "#d6700f"),
    odd="#c51b1b",
    gap="#8c8c8c",
    faint="#767676",
    rc={"axes.edgecolor": "#c8c8c8", "grid.color": "#e6e6e6", "text.color": "#222222"},
)
_DARK = Colours(
    raw=("#6baed6", "#74c476", "#c994e8", "#ff7b72", "#f5a742"),
    odd="#ff6b6b",
    gap="#8a8f98",
    faint="#9aa0a8",
    rc={
        "figure.facecolor": "#14171c",
        "axes.facecolor": "#1b1f26",
        "savefig.facecolor": "#14171c",
        "axes.edgecolor": "#3a404a",
        "grid.color": "#2b313a",
        "text.color": "#e4e6ea",
        "axes.labelcolor": "#c3c7ce",
        "xtick.color": "#c3c7ce",
        "ytick.color": "#c3c7ce",
    },
)
_THEMES: Mapping[str, Colours] = {"light": _LIGHT, "dark": _DARK}
_STYLE = ["seaborn-v0_8-whitegrid", "seaborn-v0_8-notebook"]
_SIZES = {
    "font.size": 10.0,
    "axes.labelsize": 10.0,
    "axes.titlesize": 11.5,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.6,
    "grid.linewidth": 0.8,
}


def png_of(lines: Lines, title: str, subtitle: str, theme: Theme = "light") -> bytes:
    """The picture as a PNG file's bytes; the same lines give the same bytes."""
    colours = _THEMES[theme]
    with matplotlib.style.context([*_STYLE, {**_SIZES, **colours.rc}]):
        figure = _drawn(lines, title, subtitle, colours)
        target = io.BytesIO()
        FigureCanvasAgg(figure).print_png(target, metadata={"Software": None})
    return target.getvalue()


def _drawn(lines: Lines, title: str, subtitle: str, colours: Colours) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, hspace=0.04, wspace=0.04)
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout=layout)
    figure.suptitle(f"{_plain(title)}\n", fontsize=14, fontweight="bold", x=0.012, ha="left")
    figure.text(0.012, 0.945, _plain(subtitle), fontsize=9.5, color=colours.faint, va="top")
    axes = figure.subplots(2, 2)
    _draw_panel(axes[0, 0], "Loss", lines, ["loss"], colours)
    _draw_panel(axes[0, 1], "Accuracy", lines, ["accuracy"], colours)
    _draw_panel(axes[1, 0], "Gradient norm", lines, ["gradient_norm"], colours)
    _draw_panel(
        axes[1, 1], "NaN and infinite gradients", lines, ["nan_count", "inf_count"], colours
    )
    _share_steps(axes.ravel().tolist(), lines)
    return figure


def _draw_panel(axes: Axes, title: str, lines: Lines, keys: list[str], colours: Colours) -> None:
    axes.set_title(title, loc="left", fontweight="bold")
    logged = [(key, *lines[key]) for key in keys if lines[key][1].points]
    if not logged:
        _say_nothing(axes, lines[keys[0]][0], colours)
        return
    are_counts = len(keys) > 1
    drawn = [line for _, _, line in logged]
    if are_counts:
        _scale_counts(axes, drawn)
    else:
        _scale_line(axes, drawn[0])
    for key, name, line in logged:
        colour = colours.raw[list(lines).index(key)]
        if are_counts:
            _draw_counts(axes, line, name.rpartition("/")[2], colour)
        else:
            _draw_line(axes, name, line, colour)
    for line in drawn:
        _mark_odd(axes, line, colours)
    for gap in {gap for line in drawn for gap in line.gaps}:
        axes.axvspan(*gap, color=colours.gap, alpha=0.16, linewidth=0, zorder=0)
    _explain(axes, drawn)


def _draw_line(axes: Axes, name: str, line: Line, colour: str) -> None:
    steps, values = _broken(line)
    is_smooth = len(line.smooth_values) > 0
    marker = "o" if len(line.values) <= _FEW else None
    alpha = 0.35 if is_smooth else 1.0
    width = 0.9 if is_smooth else 1.6
    axes.plot(
        steps,
        values,
        color=colour,
        alpha=alpha,
        linewidth=width,
        marker=marker,
        markersize=3.5,
        label=name,
    )
    if is_smooth:
        smooth_steps, smooth = _with_breaks(line.smooth_steps, line.smooth_values, line.gaps)
        axes.plot(smooth_steps, smooth, color=colour, linewidth=2.0, label="smoothed")


def _draw_counts(axes: Axes, line: Line, label: str, colour: str) -> None:
    axes.vlines(line.steps, 0, line.values, color=colour, linewidth=1.2, label=label, alpha=0.85)
    peaks = line.values > 0
    axes.plot(line.steps[peaks], line.values[peaks], "o", color=colour, markersize=3.2)


def _broken(line: Line) -> tuple[Array, Array]:
    """The points with a NaN wherever the line must not go on: at gaps and at non-finite points."""
    steps = np.concatenate([line.steps.astype(float), line.odd_steps.astype(float)])
    values = np.concatenate([line.values, np.full(len(line.odd_steps), np.nan)])
    order = np.argsort(steps, kind="stable")
    return _with_breaks(steps[order], values[order], line.gaps)


def _with_breaks(
    steps: Array, values: Array, gaps: tuple[tuple[int, int], ...]
) -> tuple[Array, Array]:
    middles = np.array([(before + after) / 2 for before, after in gaps])
    at = np.searchsorted(steps, middles)
    return np.insert(steps, at, middles), np.insert(values, at, np.nan)


def _scale_counts(axes: Axes, lines: list[Line]) -> None:
    high = max(float(line.values.max(initial=0.0)) for line in lines)
    if high > _HIGH:
        axes.set_yscale("symlog", linthresh=1)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=2))
    axes.set_ylim(0, max(1.0, high) * (3.0 if high > _HIGH else 1.15))


def _scale_line(axes: Axes, line: Line) -> None:
    """A logarithmic axis where a linear one would show next to nothing.

    The smooth line says how far apart the usual values are: the raw ones here are mostly extremes.
    """
    usual = np.abs(line.smooth_values if len(line.smooth_values) else line.values)
    usual = usual[usual > 0]
    if len(usual) < 2:
        return
    low, middle, high = np.quantile(usual, (0.05, 0.5, 0.95))
    has_peaks = np.abs(line.values).max() / middle > _HIGH
    if line.values.min() > 0 and (has_peaks or high / low > _WIDE):
        axes.set_yscale("log")
    elif has_peaks:
        axes.set_yscale("symlog", linthresh=float(middle))


def _mark_odd(axes: Axes, line: Line, colours: Colours) -> None:
    """Non-finite points stand at the panel's border: ▲ +inf above, ▼ -inf and × NaN below."""
    across = axes.get_xaxis_transform()
    kinds = (
        (np.isnan(line.odd_values), 0.03, "x", "NaN"),
        (line.odd_values == np.inf, 0.965, "^", "+inf"),
        (line.odd_values == -np.inf, 0.03, "v", "−inf"),
    )
    for chosen, height, marker, label in kinds:
        if not chosen.any():
            continue
        steps = line.odd_steps[chosen]
        axes.plot(
            steps,
            np.full(len(steps), height),
            marker,
            transform=across,
            color=colours.odd,
            markersize=6,
            markeredgewidth=1.5,
            label=label,
            clip_on=False,
            zorder=5,
        )


def _explain(axes: Axes, lines: list[Line]) -> None:
    """The legend above the panel, where it hides nothing; gaps beside the steps' name."""
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles,
        labels,
        loc="lower right",
        bbox_to_anchor=(1.01, 0.985),
        ncols=len(labels),
        frameon=False,
        columnspacing=1.2,
        handlelength=1.4,
        handletextpad=0.5,
    )
    gaps = max(len(line.gaps) for line in lines)
    if gaps:
        axes.set_xlabel(f"step   (shaded: {gaps} {'gap' if gaps == 1 else 'gaps'} without a point)")


def _say_nothing(axes: Axes, name: str, colours: Colours) -> None:
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.text(
        0.5,
        0.5,
        f"nothing logged as {name}",
        transform=axes.transAxes,
        ha="center",
        color=colours.faint,
    )


def _share_steps(axes: list[Axes], lines: Lines) -> None:
    """All panels show the same range of steps, so that one can look from one to the other."""
    ends = [
        float(end)
        for _, line in lines.values()
        for steps in (line.steps, line.odd_steps)
        if len(steps)
        for end in (steps[0], steps[-1])
    ]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = (high - low) * 0.02 or 0.5
    for panel in axes:
        panel.set_xlim(low - margin, high + margin)
        panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda at, _: short_number(at)))
        panel.set_xlabel(panel.get_xlabel() or "step")


def short_number(at: float) -> str:
    """A step in few characters: 1,500, 20 k, 1.5 M."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(at) >= size:
            divisor = 1e3 if unit == "k" else size
            return f"{at / divisor:g} {unit}"
    return f"{at:,.0f}" if float(at).is_integer() else f"{at:g}"


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is: no formulas, no characters without a glyph's width."""
    harmless = "".join(character if character.isprintable() else " " for character in text)
    return harmless[:150].replace("$", r"\$")
