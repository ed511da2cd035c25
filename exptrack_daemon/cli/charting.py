"""Charts for a terminal: as wide as it is, colours only where they are wanted, names made harmless."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.text import Text

from exptrack_daemon.cli.render import clean
from exptrack_daemon.plots.braille import Chart, chart
from exptrack_daemon.plots.curves import Curve, broken, smoothed
from exptrack_daemon.plots.metrics import Metrics
from exptrack_daemon.plots.wording import duration, short_number, short_value

_COLOURS = ("blue", "red", "green", "magenta", "yellow", "cyan", "white")
_LABEL, _LEAST_COLUMNS, _ROWS = 9, 20, 10
_MOST_NAMED = 14


def charts(data: Metrics, *, width: int, smooth: float, log: bool) -> Iterator[Text]:
    """One chart a metric, under it which colour is which run; `width` in characters."""
    for name, lines in data.lines.items():
        yield Text(clean(name, width), "bold")
        yield from _chart(lines, data, width=width, smooth=smooth, log=log)
        yield Text("")
    if len(data.runs) > 1:
        yield from _names(data.runs, width)


def _chart(
    lines: Sequence[Curve], data: Metrics, *, width: int, smooth: float, log: bool
) -> Iterator[Text]:
    columns = max(_LEAST_COLUMNS, width - _LABEL - 2)
    drawn = chart([_line(curve, smooth) for curve in lines], columns=columns, rows=_ROWS, log=log)
    if drawn is None:
        yield Text(f"{'':>{_LABEL}} {_why_empty(lines, log=log)}", "dim")
        return
    for at, pieces in enumerate(drawn.rows):
        row = Text(
            f"{_value_at(drawn, at):>{_LABEL}} ┤" if at in (0, _ROWS - 1) else f"{'':>{_LABEL}} │"
        )
        for characters, line in pieces:
            row.append(characters, "" if line < 0 else _COLOURS[line % len(_COLOURS)])
        row.rstrip()
        yield row
    yield Text(_x_axis(drawn, data, columns))
    odd = sum(curve.odd_points for curve in lines)
    if odd:
        yield Text(f"{'':>{_LABEL}}  {odd:,} of {_points(lines):,} points are not finite", "red")


def _line(curve: Curve, smooth: float) -> tuple[np.ndarray, np.ndarray]:
    even = smoothed(curve, smooth)
    return broken(curve, curve.y if even is None else even)


def _points(lines: Sequence[Curve]) -> int:
    return sum(curve.points for curve in lines)


def _why_empty(lines: Sequence[Curve], *, log: bool) -> str:
    if not _points(lines):
        return "nothing logged here"
    return "no positive value" if log and any(len(curve) for curve in lines) else "no finite value"


def _value_at(drawn: Chart, row: int) -> str:
    return short_value(float(f"{drawn.high if row == 0 else drawn.low:.4g}"))[:_LABEL]


def _x_axis(drawn: Chart, data: Metrics, columns: int) -> str:
    left, right = _place(drawn.first, data), _place(drawn.last, data)
    middle = f"{data.across}".center(max(0, columns - len(left) - len(right)))
    return f"{'':>{_LABEL}} └{left}{middle}{right}"


def _place(at: float, data: Metrics) -> str:
    if data.across == "relative":
        return duration(float(f"{at:.3g}"))
    if data.across == "wall":
        return str(np.datetime64(round(at * 86_400), "s"))
    return short_number(round(at, 3))


def _names(runs: Sequence[str], width: int) -> Iterator[Text]:
    for at, name in enumerate(runs[:_MOST_NAMED]):
        yield Text.assemble(("━━ ", _COLOURS[at % len(_COLOURS)]), clean(name, width - 4))
    if len(runs) > _MOST_NAMED:
        yield Text(f"… and {len(runs) - _MOST_NAMED} more", "dim")
