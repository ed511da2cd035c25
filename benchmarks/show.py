"""Results for people: tables on the terminal, and a picture."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results import Goal, Measure, Report, Session
from benchmarks.stats import Spread

_WIDTH = 150
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


def plot(session: Session, path: Path) -> None:
    """One panel a question and unit: medians as bars, the spread as lines, goals as ticks."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = [
        (report, unit)
        for report in session.reports
        for unit in dict.fromkeys(measure.unit for measure in report.measures.values())
    ]
    heights = [_lines(report, unit) for report, unit in panels]
    figure, axes = pyplot.subplots(
        len(panels),
        figsize=(11, 0.26 * sum(heights) + 0.9 * len(panels)),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
        layout="constrained",
    )
    for (report, unit), axis in zip(panels, axes[:, 0], strict=True):
        _draw(report, unit, axis)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _lines(report: Report, unit: str) -> int:
    return sum(measure.unit == unit for measure in report.measures.values())


def _draw(report: Report, unit: str, axis: object) -> None:
    measures = [measure for measure in report.measures.values() if measure.unit == unit]
    spreads = [measure.spread for measure in measures]
    medians = [found.median for found in spreads]
    errors = [
        [found.median - found.low for found in spreads],
        [found.high - found.median for found in spreads],
    ]
    axis.barh(range(len(measures)), medians, xerr=errors, color="#7aa6c2", ecolor="#444444")  # type: ignore[attr-defined]
    axis.set_yticks(range(len(measures)), [measure.name for measure in measures], fontsize=7)  # type: ignore[attr-defined]
    axis.invert_yaxis()  # type: ignore[attr-defined]
    for goal in report.goals:
        place = [index for index, measure in enumerate(measures) if measure.name == goal.measure]
        axis.plot([goal.limit] * len(place), place, "|", color="#c0392b", markersize=14)  # type: ignore[attr-defined]
    if min(medians) > 0 and max(medians) > 100 * min(medians):
        axis.set_xscale("log")  # type: ignore[attr-defined]
    axis.set_title(f"{report.name} ({unit})", fontsize=9, loc="left")  # type: ignore[attr-defined]
