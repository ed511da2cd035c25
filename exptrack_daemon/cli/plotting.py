"""`exptrack plot`: pictures of runs as files, and charts in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from exptrack_daemon.cli.exits import UsageWrong
from exptrack_daemon.cli.frame import HomeOption, app, reading, show_notices, verb
from exptrack_daemon.cli.render import clean, console, error_console, table
from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.files import OsFiles, replace_durably
from exptrack_daemon.plots import FORMATS, KINDS, THEMES
from exptrack_daemon.plots.names import TRAINING_METRICS
from exptrack_daemon.plots.options import one_of
from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.store.reader import HomeReader

_IN_TERMINAL = ("training", "metrics")
_METRICS_ONLY = frozenset(("metrics", "x", "log", "log_x"))
_NARROW, _WIDE = 40, 160

MetricsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", "-m", metavar="NAME", help="A name or pattern (val/*); may be repeated."
    ),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="KEY",
        help="Group runs by this config key; `name`: by name without the seed.",
    ),
]
ThemeOption = Annotated[str, typer.Option("--theme", metavar="|".join(THEMES), help="Colours.")]
SizeOption = Annotated[
    str | None, typer.Option("--size", metavar="WxH", help="In inches, such as 8x5.")
]


@verb(
    app,
    examples=[
        "exptrack plot latest",
        "exptrack plot latest -o run.png --theme dark",
        'exptrack plot a b -m "val/*" --x relative -o runs.svg',
        "exptrack plot a b c d --kind seeds --group-by lr -o lr.pdf",
    ],
)
def plot(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="One run or more.", show_default=False),
    ] = None,
    home: HomeOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help=f"Ends in {', '.join(FORMATS)}."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", "-k", metavar="KIND", help="See --list.")
    ] = None,
    metric: MetricsOption = None,
    x: Annotated[
        str | None, typer.Option("--x", metavar="AXIS", help="step, relative, wall or epoch.")
    ] = None,
    smooth: Annotated[
        float | None,
        typer.Option("--smooth", help="Share of x to average over, such as 0.02; 0: off."),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="A logarithmic y axis.")] = False,
    log_x: Annotated[bool, typer.Option("--log-x", help="A logarithmic x axis.")] = False,
    group_by: GroupOption = None,
    interval: Annotated[
        str | None, typer.Option("--interval", help="Of seeds: ci95, iqr or minmax.")
    ] = None,
    centre: Annotated[
        str | None, typer.Option("--centre", help="Of seeds: mean or median.")
    ] = None,
    theme: ThemeOption = "light",
    size: SizeOption = None,
    dpi: Annotated[int | None, typer.Option("--dpi", help="Dots an inch (110).")] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Which rank's values (0).")] = None,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="Instead of the names.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the kinds of pictures.")] = False,
) -> None:
    """Draw runs: into a file, or here.

    Without -o a chart is drawn with characters, as wide as the terminal.
    """
    if list_:
        _list_kinds()
        return
    if not runs:
        raise UsageWrong("name at least one run: exptrack plot latest (or --list)")
    given = {
        "metrics": tuple(metric) if metric else None,
        "x": x,
        "smooth": smooth,
        "log": log or None,
        "log_x": log_x or None,
        "group_by": group_key(group_by),
        "interval": interval,
        "centre": centre,
        "size": size_of(size),
        "dpi": dpi,
        "rank": rank,
        "title": title,
    }
    options = {name: value for name, value in given.items() if value is not None}
    reader = reading(home)
    chosen = kind or _kind_for(reader, runs, options, group_by)
    one_of("kind", chosen, list(KINDS))
    if output is None:
        _draw_here(reader, chosen, runs, options)
    else:
        save(reader, chosen, runs, output, theme=theme, **options)
    show_notices(reader)


def _list_kinds() -> None:
    rows = (
        (kind.name, kind.says, "one" if kind.most_runs == 1 else "any") for kind in KINDS.values()
    )
    console().print(table(("KIND", "SHOWS~", "RUNS"), rows))


def _kind_for(
    reader: HomeReader, runs: list[str], options: dict[str, Any], group_by: str | None
) -> str:
    """What is most likely wanted, when nobody says: of one run its training, if it logged such metrics."""
    if group_by is not None or {"interval", "centre"} & set(options):
        return "seeds"
    if len(runs) > 1 or _METRICS_ONLY & set(options):
        return "metrics"
    summary = reader.find(runs[0]).facts.summary
    usual = {name for names in TRAINING_METRICS.values() for name in names}
    return "training" if usual & set(summary) or not summary else "metrics"


def group_key(group_by: str | None) -> str | None:
    """The config key; `name` means the name, as where nothing is said."""
    return None if group_by == "name" else group_by


def size_of(text: str | None) -> tuple[float, float] | None:
    """Width and height in inches.

    Raises:
        UsageWrong: it is not two numbers.
    """
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    try:
        return float(width), float(height)
    except ValueError:
        raise UsageWrong(
            f"--size takes width x height in inches, such as 8x5, not {clean(text)}"
        ) from None


def save(
    reader: HomeReader, kind: str, runs: list[str], output: Path, *, theme: str, **options: Any
) -> None:
    """Draw a picture into a file that appears whole or not at all, and say so."""
    ending = output.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise UsageWrong(
            f"the file ends in one of {', '.join(FORMATS)}, not {clean(output.name)!r}"
        )
    try:
        from exptrack_daemon.plots import render

        made = render(reader, kind, runs, theme=theme, format=ending, **options)  # type: ignore[arg-type]
    except ModuleNotFoundError as error:
        raise MissingExtra(f"drawing needs {error.name}: pip install 'exptrack[plots]'") from error
    try:
        replace_durably(OsFiles(), output, made)
    except OSError as error:
        raise ExptrackError(f"cannot write {output}: {error.strerror or error}") from error
    error_console().print(f"{kind} picture written to {clean(str(output), 4_096)}")


def _draw_here(reader: HomeReader, kind: str, runs: list[str], options: dict[str, Any]) -> None:
    if kind not in _IN_TERMINAL:
        raise UsageWrong(f"a {kind} picture needs a file: -o FILE.png")
    try:
        from exptrack_daemon.cli.charting import charts
        from exptrack_daemon.plots import read
    except ModuleNotFoundError as error:
        raise MissingExtra(f"drawing needs {error.name}: pip install 'exptrack[plots]'") from error
    data = read(reader, "metrics", runs, **options)
    out = console()
    width = min(_WIDE, max(_NARROW, out.width))
    for line in charts(data, width=width, smooth=options.get("smooth", 0.0), log="log" in options):
        out.print(line, no_wrap=True, overflow="crop", crop=True)
