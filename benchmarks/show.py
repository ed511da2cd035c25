"""Results for people: tables on the terminal, and a picture."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from math import exp, log
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.results import Goal, Measure, Report, Session
from benchmarks.stats import Spread, growth_exponent

_WIDTH = 150
_CURVE_HEIGHT = 9
_SHADES = ("#1b4965", "#3d7ea6", "#7aa6c2", "#b5cfe0", "#d9a441")
_SIZES = re.compile(r"(.+), with ([\w ]+) = ([\d,]+)")
_SHARES = re.compile(r"(.+): (p[\d.]+|max|>1 ms)")

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=_WIDTH)


def number(value: float) -> str:
    """Three figures, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def limits(goal: Goal) -> str:
    """A goal in words, with the later one in brackets."""
    sign = "≤" if goal.at_most is not None else "≥"
    later = f" [{number(goal.later)}]" if goal.later is not None else ""
    return f"{sign} {number(goal.limit)}{later}"


def range_of(found: Spread) -> str:
    return f"{number(found.low)} – {number(found.high)}"


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line that says what is being measured; on a terminal it stands still, else each is printed."""
    if not console.is_terminal:
        yield _print_once
        return
    with console.status("…") as status:
        yield status.update


def _print_once(text: str, last: list[str] = []) -> None:  # noqa: B006  # it is the memory
    if last != [text]:
        last[:] = [text]
        console.print(f"… {text}")


def print_machine(session: Session) -> None:
    about = session.machine
    packages = ", ".join(f"{name} {found}" for name, found in about["packages"].items())
    console.print(
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']},"
        f" {about['disk']}; Python {about['python']}; {packages}; commit {about['commit']}"
    )
    console.print(
        f"{'quick pass; ' * session.is_quick}before the start others kept"
        f" {about['busy_cores_before']} cores busy; a timer costs {about['timer_ns']:.0f} ns"
    )


def print_report(report: Report) -> None:
    """Everything that one benchmark measured."""
    console.print(f"\n[bold]{report.name}: {report.question}[/bold]")
    shares = [measure for name, measure in report.measures.items() if _SHARES.fullmatch(name)]
    rest = [measure for measure in report.measures.values() if measure not in shares]
    if shares:
        console.print(_shares_table(shares))
    if rest:
        console.print(_plain_table(rest))
    for note in dict.fromkeys(report.notes):
        console.print(f"  {note}")
    print_goals([report])


def _plain_table(measures: list[Measure]) -> Table:
    table = Table()
    table.add_column("measured")
    for name in ("unit", "median", "spread", "n"):
        table.add_column(name, justify="left" if name == "unit" else "right")
    for measure in measures:
        found = measure.spread
        cells = (number(found.median), range_of(found), str(len(measure.values)))
        table.add_row(measure.name, measure.unit, *cells)
    return table


def _shares_table(measures: list[Measure]) -> Table:
    """Latencies, a line each: measures named `WHAT: pNN`; their spreads stand in the JSON."""
    lines: dict[str, dict[str, str]] = {}
    for measure in measures:
        found = _SHARES.fullmatch(measure.name)
        assert found is not None
        what, share = found.groups()
        unit = "" if share == ">1 ms" else f" ({measure.unit})"
        lines.setdefault(what, {})[f"{share}{unit}"] = number(measure.spread.median)
    shares = list(dict.fromkeys(share for line in lines.values() for share in line))
    table = Table("median over the repeats of")
    for share in shares:
        table.add_column(share, justify="right")
    for what, line in lines.items():
        table.add_row(what, *(line.get(share, "") for share in shares))
    return table


def print_goals(reports: list[Report]) -> None:
    """One line a goal: what was asked, what was found, set against what, met or not."""
    table = Table(title="Goals", title_justify="left", title_style="bold")
    for name in (
        "question",
        "measured",
        "goal [later]",
        "median",
        "spread",
        "baseline",
        "ratio",
        "",
    ):
        table.add_column(name, overflow="fold")
    for report in reports:
        for goal in report.goals:
            table.add_row(report.name, *goal_cells(report, goal))
    if table.row_count:
        console.print(table)


def goal_cells(report: Report, goal: Goal) -> tuple[str, ...]:
    """A goal's cells for a table."""
    measure = report.measures[goal.measure]
    found, ratio = measure.spread, report.ratio(goal)
    return (
        goal.measure,
        f"{limits(goal)} {measure.unit}",
        number(found.median),
        range_of(found),
        goal.baseline or "–",
        "–" if ratio is None else f"{number(ratio)}×",
        "met" if report.is_met(goal) else "MISSED",
    )


def goals_markdown(reports: list[Report]) -> str:
    """The table of `print_goals` for a document."""
    head = ("question", "measured", "goal [later]", "median", "spread", "baseline", "ratio", "")
    lines = [head, ("---",) * len(head)]
    lines += [
        (report.name, *goal_cells(report, goal)) for report in reports for goal in report.goals
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


class Panel(NamedTuple):
    """A part of the picture: what stands in it, a line each."""

    title: str
    lines: dict[str, dict[str, Measure]]
    """By line: its measures, several (p50, p99 …) only in a panel of latencies."""
    goals: list[Goal]


class Curve(NamedTuple):
    """How something grows: medians at several sizes of one thing, with the exponent that fits them."""

    title: str
    of: str
    sizes: list[float]
    medians: list[float]

    @property
    def exponent(self) -> float:
        return growth_exponent(self.sizes, self.medians)


def curves_of(report: Report) -> list[Curve]:
    """The measures that are named `WHAT, with THING = SIZE`, by what and thing."""
    curves: dict[str, Curve] = {}
    for measure in report.measures.values():
        if (found := _SIZES.fullmatch(measure.name)) is None:
            continue
        what, thing, size = found.groups()
        title = f"{report.name}: {what}, with {thing} ({measure.unit})"
        curve = curves.setdefault(title, Curve(title, thing, [], []))
        curve.sizes.append(float(size.replace(",", "")))
        curve.medians.append(measure.spread.median)
    return [curve for curve in curves.values() if len(set(curve.sizes)) > 1]


def panels_of(report: Report) -> list[Panel]:
    """One panel for each unit; latencies of one thing share a line."""
    panels: dict[str, Panel] = {}
    for measure in report.measures.values():
        if _SIZES.fullmatch(measure.name):
            continue  # it is a point of a curve
        found = _SHARES.fullmatch(measure.name)
        what, share = found.groups() if found else (measure.name, "")
        title = f"{report.name} ({measure.unit}{', p50 to max' * (share not in ('', '>1 ms'))})"
        panel = panels.setdefault(title, Panel(title, {}, report.goals))
        panel.lines.setdefault(what, {})[share] = measure
    return list(panels.values())


def plot(session: Session, path: Path) -> None:
    """A panel for each question and unit: medians as dots, the spread as lines, goals as red ticks.

    Below them a panel for each curve, with the line that fits it.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = [panel for report in session.reports for panel in panels_of(report)]
    curves = [curve for report in session.reports for curve in curves_of(report)]
    heights = [len(panel.lines) + 1 for panel in panels] + [_CURVE_HEIGHT] * len(curves)
    figure, axes = pyplot.subplots(
        len(heights),
        figsize=(11, 0.22 * sum(heights) + 0.6 * len(heights)),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
        layout="constrained",
    )
    for panel, axis in zip(panels, axes[:, 0], strict=False):
        _draw(panel, axis)
    for curve, axis in zip(curves, axes[len(panels) :, 0], strict=True):
        _draw_curve(curve, axis)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _draw_curve(curve: Curve, axis: Any) -> None:
    exponent = curve.exponent
    middle = [sum(map(log, values)) / len(values) for values in (curve.sizes, curve.medians)]
    fitted = [exp(middle[1] + exponent * (log(size) - middle[0])) for size in curve.sizes]
    axis.plot(curve.sizes, fitted, "-", color=_SHADES[2], linewidth=1)
    axis.plot(curve.sizes, curve.medians, "o", color=_SHADES[0], markersize=4)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.minorticks_off()
    axis.set_xticks(curve.sizes, [f"{size:,.0f}" for size in curve.sizes])
    axis.set_yticks(curve.medians, [number(median) for median in curve.medians])
    axis.set_xlabel(curve.of, fontsize=7)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    axis.set_title(f"{curve.title}: grows with exponent {exponent:.2f}", fontsize=9, loc="left")


def _draw(panel: Panel, axis: Any) -> None:
    limits_of = {goal.measure: goal.limit for goal in panel.goals}
    medians = []
    for place, line in enumerate(panel.lines.values()):
        for shade, measure in enumerate(line.values()):
            found = measure.spread
            medians.append(found.median)
            color = _SHADES[shade % len(_SHADES)]
            axis.plot([found.low, found.high], [place, place], "-", color=color, linewidth=1)
            axis.plot(found.median, place, "o", color=color, markersize=4)
            if measure.name in limits_of:
                axis.plot(limits_of[measure.name], place, "|", color="#c0392b", markersize=11)
    axis.set_yticks(range(len(panel.lines)), list(panel.lines), fontsize=7)
    axis.set_ylim(len(panel.lines) - 0.5, -0.5)
    axis.grid(axis="x", alpha=0.3)
    if min(medians) > 0 and max(medians) > 20 * min(medians):
        axis.set_xscale("log")
    axis.set_title(panel.title, fontsize=9, loc="left")
