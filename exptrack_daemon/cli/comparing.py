"""`exptrack compare`: what runs were given, and what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import RenderableType
from rich.text import Text

from exptrack_daemon.cli.comparison import (
    VARIED,
    Compared,
    Comparison,
    Spread,
    as_number,
    comparison_of,
    document_of,
)
from exptrack_daemon.cli.exits import UsageWrong
from exptrack_daemon.cli.frame import HomeOption, JsonOption, app, reading, show_notices, verb
from exptrack_daemon.cli.machine import dumps
from exptrack_daemon.cli.plotting import (
    GroupOption,
    MetricsOption,
    SizeOption,
    ThemeOption,
    group_key,
    save,
    size_of,
)
from exptrack_daemon.cli.render import clean, console, heading, table, value
from exptrack_daemon.plots.configs import MISSING, said
from exptrack_daemon.plots.names import Goal, goal_of, outcomes
from exptrack_daemon.plots.options import chosen
from exptrack_daemon.plots.runs import names_of, views
from exptrack_daemon.store.reader import HomeReader, RunView

_UNASKED_METRICS = 5
_SIDE_BY_SIDE = 3
"""So many runs stand as columns; more stand as rows."""
_MOST_KEYS, _MOST_COLUMNS = 24, 3


@verb(
    app,
    examples=[
        "exptrack compare baseline wide",
        'exptrack compare a b c -m "val/*" --goal max --json',
        "exptrack compare s1 s2 s3 s4 --group-by lr -o lr.png",
    ],
)
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", help="Two or more.", show_default=False)
    ],
    home: HomeOption = None,
    metric: MetricsOption = None,
    group_by: GroupOption = None,
    goal: Annotated[
        str | None,
        typer.Option("--goal", metavar="min|max", help="Which is best; default: by the name."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A picture of the curves too."),
    ] = None,
    theme: ThemeOption = "light",
    size: SizeOption = None,
    json_: JsonOption = False,
) -> None:
    """Compare runs: config differences, last and best values.

    With --group-by runs are grouped: mean ± standard deviation over seeds.
    """
    asked, reader = _asked(goal), reading(home)
    found = views(reader, runs, "comparison", None)
    if len(found) < 2:
        raise UsageWrong("name at least two runs; `exptrack show` tells all about one")
    names = _metrics(found, metric)
    compared = comparison_of(
        _compared(reader, found, names, asked),
        names,
        group_key(group_by),
        grouped=group_by is not None,
        goal=asked,
    )
    if json_:
        typer.echo(dumps(document_of(compared)))
    else:
        for part in _shown(compared):
            console().print(part)
    if output is not None:
        _save(reader, found, output, names, group_by, theme, size)
    show_notices(reader)


def _asked(goal: str | None) -> Goal | None:
    if goal not in (None, "min", "max"):
        raise UsageWrong(f"--goal is min or max, not {clean(goal, 40)}")
    return cast("Goal | None", goal)


def _save(  # what to draw is already decided
    reader: HomeReader,
    found: Sequence[RunView],
    output: Path,
    names: Sequence[str],
    group_by: str | None,
    theme: str,
    size: str | None,
) -> None:
    ids = [run.id for run in found]
    options: dict[str, Any] = {"metrics": tuple(names)} if names else {}
    if size is not None:
        options["size"] = size_of(size)
    if group_by is None:
        save(reader, "metrics", ids, output, theme=theme, **options)
    else:
        options["group_by"] = group_key(group_by)
        save(reader, "seeds", ids, output, theme=theme, **options)


def _metrics(found: Sequence[RunView], patterns: Sequence[str] | None) -> list[str]:
    logged = list(
        dict.fromkeys(
            name
            for run in found
            for name, last in run.facts.summary.items()
            if isinstance(last, int | float)
        )
    )
    if patterns:
        return chosen(patterns, logged)
    return outcomes(logged)[:_UNASKED_METRICS]


def _compared(
    reader: HomeReader, found: Sequence[RunView], names: Sequence[str], goal: Goal | None
) -> list[Compared]:
    return [
        Compared(
            run.id,
            name,
            run.run.config,
            {metric: run.facts.summary[metric] for metric in names if metric in run.facts.summary},
            _best(reader, run, {metric: goal or goal_of(metric) for metric in names}),
        )
        for run, name in zip(found, names_of(found), strict=True)
    ]


def _best(reader: HomeReader, run: RunView, goals: Mapping[str, Goal]) -> dict[str, float]:
    """The best value of each metric by the cells of the store: one that covers all of its steps."""
    from exptrack_daemon.store.series import width_for

    best: dict[str, float] = {}
    there = {metric.name: metric for metric in reader.metrics(run) if not metric.is_system}
    for name, goal in ((name, goal) for name, goal in goals.items() if name in there):
        lo, hi = there[name].first_step, there[name].last_step
        cells = reader.cells(
            run, [name], width=width_for(lo, hi, 2), lo=lo, hi=hi, rank=there[name].ranks[0]
        )[name]
        ends = cells.min if goal == "min" else cells.max
        finite = [float(end) for end in ends if end == end]
        if finite:
            best[name] = min(finite) if goal == "min" else max(finite)
    return best


def _shown(compared: Comparison) -> Iterator[RenderableType]:
    rows = _group_rows(compared) if compared.groups else _run_rows(compared)
    columns = _columns(compared)
    if not columns:
        yield Text("The configurations do not differ, and no number was logged.")
        return
    if len(rows) <= _SIDE_BY_SIDE:
        yield from _side_by_side(rows, columns)
    else:
        yield from _below_each_other(rows, columns)
    if any(kind == "best" for kind, _ in columns):
        guessed = ", ".join(
            f"{clean(metric, 40)} {'lowest' if compared.goal(metric) == 'min' else 'highest'}"
            for metric in compared.metrics
        )
        by = "best by name" if compared.asked is None else "best, as asked"
        yield Text(f"\n{by}: {guessed}; * is the best of all", "dim")


Row = tuple[str, Mapping[tuple[str, str], Text]]


def _columns(compared: Comparison) -> list[tuple[str, str]]:
    keys = [("config", key) for key in list(compared.differences)[:_MOST_KEYS]]
    return keys + [(kind, metric) for metric in compared.metrics for kind in ("last", "best")]


def _run_rows(compared: Comparison) -> list[Row]:
    cells: list[dict[tuple[str, str], Text]] = [{} for _ in compared.runs]
    for key, values in compared.differences.items():
        for held, run in zip(cells, compared.runs, strict=True):
            held["config", key] = Text(clean(said(values.get(run.id, MISSING)), 40))
    for metric in compared.metrics:
        for kind in ("last", "best"):
            given = [getattr(run, kind).get(metric) for run in compared.runs]
            numbers = [None if one is None else as_number(one) for one in given]
            top = compared.best_of(metric, numbers)
            for at, (held, one) in enumerate(zip(cells, given, strict=True)):
                held[kind, metric] = _marked(value(one), is_best=at in top)
    return [(run.name, held) for run, held in zip(compared.runs, cells, strict=True)]


def _group_rows(compared: Comparison) -> list[Row]:
    cells: list[dict[tuple[str, str], Text]] = [{} for _ in compared.groups]
    for key, values in compared.differences.items():
        for held, group in zip(cells, compared.groups, strict=True):
            common = group.config(key, values)
            held["config", key] = Text("varied" if common is VARIED else clean(said(common), 40))
    for metric in compared.metrics:
        for kind in ("last", "best"):
            spreads = [getattr(group, kind)(metric) for group in compared.groups]
            top = compared.best_of(metric, [spread and spread.mean for spread in spreads])
            for at, (held, spread) in enumerate(zip(cells, spreads, strict=True)):
                held[kind, metric] = _marked(_spread(spread), is_best=at in top)
    named = [f"{group.name} ×{len(group.runs)}" for group in compared.groups]
    return list(zip(named, cells, strict=True))


def _marked(text: str, *, is_best: bool) -> Text:
    return Text(f"{text} *", "bold green") if is_best else Text(text)


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    return f"{spread.mean:.4g}" if spread.std is None else f"{spread.mean:.4g} ± {spread.std:.2g}"


def _side_by_side(
    rows: Sequence[Row], columns: Sequence[tuple[str, str]]
) -> Iterator[RenderableType]:
    """A line a key or metric, a column a run."""
    titles = ("", *(f"{clean(name, 24)}#" for name, _ in rows))
    for title, kinds in (("Config", ("config",)), ("Metrics", ("last", "best"))):
        lines: list[tuple[str | Text, ...]] = [
            (_line_name(kind, name), *(held[kind, name] for _, held in rows))
            for kind, name in columns
            if kind in kinds
        ]
        if lines:
            yield heading(title)
            yield table(titles, lines)


def _line_name(kind: str, name: str) -> str:
    shown = clean(name, 30)
    return f"  {shown}" if kind == "config" else f"  {kind} {shown}"


def _below_each_other(
    rows: Sequence[Row], columns: Sequence[tuple[str, str]]
) -> Iterator[RenderableType]:
    """A line a run, in blocks of as many columns as have room."""
    for first in range(0, len(columns), _MOST_COLUMNS):
        block = columns[first : first + _MOST_COLUMNS]
        titles = ("RUN", *(f"{_title(kind, name)}#" for kind, name in block))
        yield Text("")
        yield table(
            titles, [(clean(name, 28), *(held[column] for column in block)) for name, held in rows]
        )


def _title(kind: str, name: str) -> str:
    return clean(name, 15).upper() if kind == "config" else f"{kind} {clean(name, 15)}"
