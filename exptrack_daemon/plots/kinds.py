"""The kinds of pictures, and the three ways to one: its data, its figure, its file."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from exptrack_daemon.plots.options import Format, Options, Theme, one_of, options_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from exptrack_daemon.plots.look import Look
    from exptrack_daemon.store.reader import HomeReader, RunView

THEMES: tuple[Theme, ...] = ("light", "dark")
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of picture; its module in this package has its name."""

    name: str
    says: str
    """What it shows, in one line."""
    takes: tuple[str, ...] = ()
    """Options, besides those that all take."""
    most_runs: int | None = None
    """None: any number."""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("training", "loss, accuracy, gradient norm, NaN and Inf of one run", ("smooth",), 1),
        Kind(
            "metrics",
            "any metrics of any runs, a panel each",
            ("metrics", "x", "smooth", "log", "log_x"),
        ),
        Kind(
            "seeds",
            "runs grouped: mean or median and an interval over seeds",
            ("metrics", "x", "group_by", "interval", "centre", "log"),
        ),
        Kind("system", "GPU, CPU, memory, disk and network over time", (), 1),
        Kind("gradients", "gradient norms by layer and step", ("metrics",), 1),
        Kind("histograms", "distributions over steps, as ridges", ("metrics",), 1),
        Kind("parallel", "what was configured, coloured by what came out", ("metrics",)),
        Kind("steps", "where the time of a step goes", (), 1),
    )
}


class Picture(Protocol):
    """A module of a kind: a thin reader, and a drawing that is pure."""

    def read(self, reader: HomeReader, runs: Sequence[RunView], options: Options) -> Any:
        """What is to be drawn, as arrays and words."""

    def draw(self, data: Any, look: Look, options: Options) -> Figure:
        """The picture."""


def render(
    reader: HomeReader,
    kind: str,
    run_ids: Sequence[str],
    *,
    theme: Theme = "light",
    format: Format = "png",  # noqa: A002 - as savefig calls it
    **options: Any,
) -> bytes:
    """The picture as a file's bytes; the same runs give the same bytes. Threads may call it as they like.

    Args:
        reader: from `open_home`.
        kind: one of `KINDS`.
        run_ids: ids, or what else means a run on the command line.
        theme: `light` or `dark`.
        format: `png`, `svg` or `pdf`.
        options: fields of `Options`.

    Raises:
        PlotRefused: no such kind, theme, format or option, or too many runs for the kind.
        NothingToDraw: no metric of these runs fits.
        RunNotFound: a run is not there.
    """
    return drawn(reader, kind, run_ids, theme=theme, format=format, **options)[1]


def drawn(
    reader: HomeReader,
    kind: str,
    run_ids: Sequence[str],
    *,
    theme: Theme = "light",
    format: Format = "png",  # noqa: A002 - as `render`
    **options: Any,
) -> tuple[Any, bytes]:
    """As `render`, and what was drawn."""
    from exptrack_daemon.plots.look import file_of, styled

    one_of("format", format, FORMATS)
    picture, chosen, data = _read(reader, kind, run_ids, theme, options)
    with styled(theme) as look:
        return data, file_of(picture.draw(data, look, chosen), format, chosen.dpi)


def figure(
    reader: HomeReader,
    kind: str,
    run_ids: Sequence[str],
    *,
    theme: Theme = "light",
    **options: Any,
) -> Figure:
    """The picture as matplotlib's Figure, to be changed, combined or saved; else as `render`."""
    from exptrack_daemon.plots.look import finished, styled

    picture, chosen, data = _read(reader, kind, run_ids, theme, options)
    with styled(theme) as look:
        drawn = picture.draw(data, look, chosen)
        drawn.set_dpi(chosen.dpi)
        return finished(drawn, look)


def read(reader: HomeReader, kind: str, run_ids: Sequence[str], **options: Any) -> Any:
    """What the picture would show, as arrays; raises as `render`."""
    return _read(reader, kind, run_ids, "light", options)[2]


def _read(
    reader: HomeReader, kind: str, run_ids: Sequence[str], theme: str, given: dict[str, Any]
) -> tuple[Picture, Options, Any]:
    from exptrack_daemon.plots.runs import views

    one_of("kind", kind, list(KINDS))
    one_of("theme", theme, THEMES)
    known = KINDS[kind]
    options = options_of(given, kind, known.takes)
    runs = views(reader, run_ids, kind, known.most_runs)
    picture = cast(Picture, importlib.import_module(f"exptrack_daemon.plots.{kind}"))
    return picture, options, picture.read(reader, runs, options)
