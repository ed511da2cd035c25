"""How all pictures look: themes, colours, the sheet that panels stand on, and the file that comes out.

matplotlib keeps its settings in one global place and says of itself that it is not thread-safe. So all is
drawn within `styled`, which lets one thread in at a time and puts the settings back. pyplot is never loaded.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from exptrack_daemon.plots.options import Format, Theme
from exptrack_daemon.plots.wording import families, shown

_ONE_AT_A_TIME = threading.RLock()
_EDGE_INCHES = 0.16
_HEAD_INCHES = 0.62
"""The room of title and subtitle."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)))
"""Told apart without colours: whole, dashed, dotted."""


@dataclass(frozen=True, slots=True)
class Look:
    """The colours of one theme."""

    lines: tuple[str, ...]
    """In this order, told apart also by the colour-blind (after seaborn's palette `colorblind`)."""
    odd: str
    """NaN and infinities."""
    gap: str
    faint: str
    text: str
    edge: str
    grid: str
    paper: str
    """Around the panels."""
    ground: str
    """Of the panels."""
    ramp: tuple[str, ...]
    """From faint to strong on this ground: an order, such as runs from old to new."""

    def stroke(self, at: int, amount: int) -> tuple[Any, Any]:
        """Colour and dash of line `at` of `amount`; of too many to tell apart, colour says the order."""
        if amount > self.most_named:
            return self.colour_map(at / (amount - 1)), "-"
        return self.lines[at % len(self.lines)], DASHES[at // len(self.lines)]

    @property
    def most_named(self) -> int:
        """Lines that a legend can tell apart."""
        return len(self.lines) * len(DASHES)

    @property
    def colour_map(self) -> Any:
        return LinearSegmentedColormap.from_list("order", self.ramp)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of matplotlib's global settings, those that hang on the theme."""
        labels = ("axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor", "text.color")
        return {
            **dict.fromkeys(labels, self.text),
            "figure.facecolor": self.paper,
            "axes.facecolor": self.ground,
            "axes.edgecolor": self.edge,
            "grid.color": self.grid,
        }


LOOKS: Mapping[Theme, Look] = {
    "light": Look(
        lines=(
            *("#0173b2", "#d55e00", "#029e73", "#cc78bc"),
            *("#c98200", "#56b4e9", "#7a4f2b", "#5f5f5f"),
        ),
        odd="#c51b1b",
        gap="#8c8c8c",
        faint="#6b6b6b",
        text="#222222",
        edge="#c8c8c8",
        grid="#e6e6e6",
        paper="#ffffff",
        ground="#ffffff",
        ramp=("#b8cf5e", "#4fae86", "#2d7f8e", "#3b4f8a", "#3f1659"),
    ),
    "dark": Look(
        lines=(
            *("#58b4f0", "#ff8d52", "#3fcf9f", "#e59ad6"),
            *("#f2c14e", "#a9d8f7", "#cf9f7a", "#c2c6ce"),
        ),
        odd="#ff6b6b",
        gap="#8a8f98",
        faint="#9aa0a8",
        text="#dfe2e7",
        edge="#3a404a",
        grid="#2b313a",
        paper="#14171c",
        ground="#1b1f26",
        ramp=("#5a3d7a", "#4a64ad", "#3497a4", "#6cc67c", "#e8ee8c"),
    ),
}
_STYLE = ["seaborn-v0_8-whitegrid", "seaborn-v0_8-notebook"]
_SETTINGS = {
    "font.size": 10.0,
    "axes.labelsize": 10.0,
    "axes.titlesize": 11.5,
    "axes.unicode_minus": False,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.6,
    "grid.linewidth": 0.8,
    "svg.hashsalt": "exptrack",
    "pdf.fonttype": 42,
}


@contextmanager
def styled(theme: Theme) -> Iterator[Look]:
    """Draw in here: matplotlib's settings are this theme's, whatever the user's are, and put back after."""
    look = LOOKS[theme]
    own = {**_SETTINGS, **look.settings, "font.sans-serif": list(families())}
    with _ONE_AT_A_TIME, mpl.style.context([*_STYLE, own], after_reset=True):
        yield look


def sheet(size: tuple[float, float], title: str, subtitle: str, look: Look) -> Figure:
    """An empty figure of this size in inches, with its title and what is said below it."""
    width, height = size
    layout = ConstrainedLayoutEngine(
        w_pad=0.12, h_pad=0.1, hspace=0.04, wspace=0.04, rect=(0, 0, 1, 1 - _HEAD_INCHES / height)
    )
    figure = Figure(figsize=size, layout=layout)
    FigureCanvasAgg(figure)
    left = _EDGE_INCHES / width
    words, below = shown(title, int(width * 7.2)), shown(subtitle, int(width * 14))
    figure.suptitle(
        words, x=left, y=1 - 0.12 / height, ha="left", va="top", fontsize=14.0, fontweight="bold"
    )
    figure.text(left, 1 - 0.42 / height, below, fontsize=9.5, color=look.faint, va="top")
    return figure


def grid_of(amount: int) -> tuple[int, int]:
    """Rows and columns for so many panels."""
    columns = 1 if amount == 1 else 2 if amount <= 4 else 3
    return -(-amount // columns), columns


def dress(axes: Axes, look: Look) -> None:
    """Say the theme once more to ticks, which are made later, when the settings are put back."""
    axes.tick_params(which="both", colors=look.text, labelcolor=look.text, length=0)
    axes.tick_params(axis="both", which="major", labelsize=9.0)


def say_nothing(axes: Axes, words: str, look: Look) -> None:
    """An empty panel, and why it is empty."""
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.text(
        *(0.5, 0.5, shown(words, 90)),
        transform=axes.transAxes,
        ha="center",
        va="center",
        wrap=True,
        color=look.faint,
    )


def finished(figure: Figure, look: Look) -> Figure:
    """The figure with its layout settled, so that it looks the same wherever it is drawn later."""
    for axes in figure.axes:
        dress(axes, look)
    figure.draw_without_rendering()
    return figure


def file_of(figure: Figure, file_format: Format, dpi: int) -> bytes:
    """The figure as a file's bytes; nothing in them says when or by what they were made."""
    target = io.BytesIO()
    unsaid: Mapping[Format, Sequence[str]] = {
        "png": ("Software",),
        "svg": ("Date", "Creator"),
        "pdf": ("CreationDate", "Creator", "Producer"),
    }
    metadata = dict.fromkeys(unsaid[file_format])
    FigureCanvasAgg(figure).print_figure(target, format=file_format, dpi=dpi, metadata=metadata)
    return target.getvalue()
