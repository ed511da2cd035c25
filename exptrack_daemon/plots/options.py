"""What may be asked of a picture, checked before anything is read. Loads nothing heavy."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, get_args

from exptrack_daemon.errors import ExptrackError

Theme: TypeAlias = Literal["light", "dark"]
Format: TypeAlias = Literal["png", "svg", "pdf"]
Across: TypeAlias = Literal["step", "relative", "wall", "epoch"]
Interval: TypeAlias = Literal["ci95", "iqr", "minmax"]
Centre: TypeAlias = Literal["mean", "median"]

_LEAST_INCHES, _MOST_INCHES = 2.0, 60.0
_MOST_PIXELS = 60_000_000
_MOST_SMOOTH = 0.5


class PlotRefused(ExptrackError):
    """What was asked for is no picture; the message says what is."""


class NothingToDraw(ExptrackError):
    """No metric of these runs fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a picture shows, and how. Each kind takes some of these, all take the last four.

    Raises:
        PlotRefused: one of them is out of range.
    """

    metrics: tuple[str, ...] = ()
    """Names or patterns (`val/*`); none: chosen by the kind."""
    x: Across = "step"
    smooth: float | None = None
    """The share of the x axis that the smooth line averages over; 0: none, None: by the kind."""
    log: bool = False
    """A logarithmic y axis."""
    log_x: bool = False
    group_by: str | None = None
    """A config key (dots for nested ones); None: the name without its seed."""
    interval: Interval | None = None
    """None: that of the centre, `ci95` of a mean and `iqr` of a median."""
    centre: Centre = "mean"
    size: tuple[float, float] | None = None
    """Width and height in inches."""
    dpi: int = 110
    rank: int = 0
    title: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("x", Across), ("interval", Interval), ("centre", Centre)):
            given = getattr(self, name)
            if given is not None and given not in get_args(allowed):
                raise PlotRefused(f"{name} is one of {_listed(get_args(allowed))}, not {given!r}")
        if self.smooth is not None and not 0 <= self.smooth <= _MOST_SMOOTH:
            raise PlotRefused(
                "smooth is the share of the x axis to average over, from 0 (off) to"
                f" {_MOST_SMOOTH}, such as 0.02; not {self.smooth}"
            )
        if self.x == "wall" and self.log_x:
            raise PlotRefused("the time of day has no logarithm: take x = relative with log_x")
        if self.size is not None:
            _check_size(self.size)
        width, height = self.size or (16.0, 16.0)
        if not 20 <= self.dpi <= 1_200 or width * height * self.dpi**2 > _MOST_PIXELS:
            raise PlotRefused(
                f"{width:g}x{height:g} inches at {self.dpi} dots an inch is too large (or too small)"
            )


def _check_size(size: tuple[float, float]) -> None:
    for inches in size:
        if not (math.isfinite(inches) and _LEAST_INCHES <= inches <= _MOST_INCHES):
            raise PlotRefused(
                f"size is width x height in inches, each from {_LEAST_INCHES:g} to"
                f" {_MOST_INCHES:g}; not {inches:g}"
            )


COMMON = ("size", "dpi", "rank", "title")
"""Options that every kind takes."""


def options_of(given: Mapping[str, Any], kind: str, taken: Sequence[str]) -> Options:
    """The options of one kind.

    Raises:
        PlotRefused: one is unknown, out of range, or means nothing for this kind.
    """
    known = [field.name for field in fields(Options)]
    takes = {*taken, *COMMON}
    for name in given:
        if name not in known:
            raise PlotRefused(f"there is no option {name!r}{hint(name, known)}")
        if name not in takes:
            raise PlotRefused(
                f"{name!r} means nothing for a {kind} picture, which takes {_listed(sorted(takes))}"
            )
    metrics = given.get("metrics", ())
    chosen = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    return Options(**{**given, "metrics": chosen})


def one_of(what: str, given: str, allowed: Sequence[str]) -> None:
    """Raise PlotRefused unless `given` is one of them."""
    if given not in allowed:
        raise PlotRefused(f"there is no {what} {given!r}{hint(given, allowed)}: {_listed(allowed)}")


def chosen(patterns: Sequence[str], names: Iterable[str]) -> list[str]:
    """The names that fit, pattern by pattern, each once.

    Raises:
        NothingToDraw: a pattern fits none; the message tells of near names.
    """
    there = list(dict.fromkeys(names))
    found: dict[str, None] = {}
    for pattern in patterns:
        fits = [pattern] if pattern in there else [n for n in there if fnmatchcase(n, pattern)]
        if not fits:
            raise NothingToDraw(_unknown(pattern, there))
        found.update(dict.fromkeys(fits))
    return list(found)


def _unknown(pattern: str, there: Sequence[str]) -> str:
    if not there:
        return f"no metric {pattern!r}: no metric was logged yet"
    near = hint(pattern, there)
    shown = "" if near else f"; there are {_listed(sorted(there)[:8])}"
    more = f" and {len(there) - 8} more" if len(there) > 8 and not near else ""
    return f"no metric {pattern!r}{near}{shown}{more}"


def hint(given: str, known: Sequence[str]) -> str:
    """`; did you mean …?`, or nothing."""
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower()[:200], list(folded), n=3, cutoff=0.5)
    inside = [name for name in known if given and given.strip("*").lower() in name.lower()]
    names = list(dict.fromkeys([*(folded[name] for name in near), *inside]))[:3]
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
