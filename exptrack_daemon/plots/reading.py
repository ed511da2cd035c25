"""Curves read through the store's door: points of short series, cells of long ones, whatever x is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from exptrack_daemon.plots.curves import CELLS, MOST_EXACT, Curve, ToX, of_cells, of_series
from exptrack_daemon.plots.options import Across, NothingToDraw
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.store.series import Array, Axis, Metric, width_for

EPOCHS = ("epoch", "train/epoch", "trainer/epoch")
_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Logged:
    """The metrics of one run by name, those of its trainers apart from the sampler's."""

    trainer: Mapping[str, Metric]
    system: Mapping[str, Metric]

    @property
    def begin_ns(self) -> int:
        """When the first value was logged; 0: none was."""
        every = [*self.trainer.values()] or [*self.system.values()]
        return min((metric.first_ns for metric in every), default=0)


def logged(reader: HomeReader, run: RunView) -> Logged:
    found = reader.metrics(run)
    return Logged(
        {metric.name: metric for metric in found if not metric.is_system},
        {metric.name: metric for metric in found if metric.is_system},
    )


def curves(  # noqa: PLR0913 - what, where from, and how it stands on the x axis
    reader: HomeReader,
    run: RunView,
    there: Mapping[str, Metric],
    names: Sequence[str],
    *,
    axis: Axis = "step",
    to_x: ToX | None = None,
    rank: int = 0,
    system: bool = False,
) -> dict[str, Curve]:
    """The named metrics; one that was not logged has no points."""
    place = to_x or as_steps
    asked = [name for name in names if name in there]
    short = [name for name in asked if there[name].points <= MOST_EXACT]
    found = {
        name: of_series(series, axis, place)
        for name, series in reader.series(run, short, rank=rank, system=system).items()
        if short
    }
    for (lo, hi), group in _by_range(there, [n for n in asked if n not in short], axis).items():
        cells = reader.cells(
            run,
            group,
            width=width_for(lo, hi, CELLS),
            lo=lo,
            hi=hi,
            axis=axis,
            rank=rank,
            system=system,
        )
        found |= {name: of_cells(held, lo, hi, place) for name, held in cells.items()}
    return {name: found.get(name, Curve()) for name in names}


def _by_range(
    there: Mapping[str, Metric], names: Sequence[str], axis: Axis
) -> dict[tuple[int, int], list[str]]:
    """Names by the range that they span: those of one range are read at once."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name in names:
        metric = there[name]
        steps, times = (metric.first_step, metric.last_step), (metric.first_ns, metric.last_ns)
        groups.setdefault(steps if axis == "step" else times, []).append(name)
    return groups


def as_steps(steps: Array) -> Array:
    return steps.astype(float)


def since(begin_ns: int) -> ToX:
    """From Unix nanoseconds to seconds since then."""
    return lambda times_ns: (times_ns - begin_ns) / 1e9


def as_days(times_ns: Array) -> Array:
    """From Unix nanoseconds to days since 1970, as matplotlib counts dates; exact to a microsecond."""
    days: Array = times_ns // _DAY_NS + (times_ns % _DAY_NS) / _DAY_NS
    return days


def zone() -> str:
    """This machine's distance from UTC now, such as `UTC+01:00`."""
    offset = datetime.now(UTC).astimezone().utcoffset()
    minutes = int(offset.total_seconds()) // 60 if offset else 0
    return "UTC" if minutes == 0 else f"UTC{minutes // 60:+03d}:{minutes % 60:02d}"


def placing(
    reader: HomeReader, run: RunView, held: Logged, across: Across, rank: int
) -> tuple[Axis, ToX]:
    """How this run's points come to stand on the x axis.

    Raises:
        NothingToDraw: epochs were asked for, and none was logged.
    """
    if across == "step":
        return "step", as_steps
    if across == "relative":
        return "time", since(held.begin_ns)
    if across == "wall":
        return "time", as_days
    name = next((name for name in EPOCHS if name in held.trainer), None)
    if name is None:
        raise NothingToDraw(
            f"run {run.id} has no metric of epochs ({', '.join(EPOCHS)}): take --x step"
        )
    epochs = curves(reader, run, held.trainer, [name], rank=rank)[name]
    if not len(epochs):
        raise NothingToDraw(f"run {run.id} logged no finite {name}: take --x step")
    return "step", epoch_of(epochs.x, epochs.y)


def epoch_of(steps: Array, epochs: Array) -> ToX:
    """From steps to epochs. Whole numbers grow evenly between the first steps of two epochs."""
    if np.all(epochs == np.round(epochs)):
        begins = np.flatnonzero(np.append(True, epochs[1:] != epochs[:-1]))
        usual = float(np.median(np.diff(steps[begins]))) if len(begins) > 1 else len(steps)
        end = steps[begins[-1]] + max(usual, 1.0)
        steps = np.append(steps[begins], end)
        epochs = np.append(epochs[begins], epochs[begins[-1]] + 1)
    return lambda at: np.interp(at.astype(float), steps, epochs)
