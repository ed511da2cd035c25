"""`define_metric`: which value of a metric becomes its summary. Pure; what stands on a device is not read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from exptrack_agent.values import IsMedia, NotScalar, coerce_scalar

_KINDS = ("min", "max", "mean", "first", "last", "none", "copy", "best")


class Metric:
    """What was said of a metric."""

    def __init__(self, name: str, kinds: tuple[str, ...] = ()) -> None:
        self.name = name
        self.kinds = kinds


class Goals:
    """Minima, maxima, means and first values of the metrics that were defined so."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[str, ...]] = {}
        self._lowest: dict[str, float] = {}
        self._highest: dict[str, float] = {}
        self._first: dict[str, float] = {}
        self._sums: dict[str, tuple[float, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def define(self, name: str, summary: str | None, goal: str | None) -> Metric:
        """Remember what is wanted of a metric, or of all that match a pattern.

        Raises:
            ValueError: there is no such summary.
        """
        kinds = tuple(kind.strip() for kind in (summary or "").split(",") if kind.strip())
        unknown = [kind for kind in kinds if kind not in _KINDS]
        if unknown:
            raise ValueError(f"a summary is of {', '.join(_KINDS)}, not {unknown[0]!r}")
        best = "max" if goal and goal.startswith("max") else "min"
        kinds = tuple(best if kind == "best" else kind for kind in kinds)
        if kinds:
            self._kinds[name] = kinds
        return Metric(name, kinds)

    def see(self, values: Mapping[str, Any]) -> None:
        """Take a row into account."""
        for name, given in values.items():
            value = _number(given) if self._of(name) else None
            if value is not None:
                self._lowest[name] = min(value, self._lowest.get(name, value))
                self._highest[name] = max(value, self._highest.get(name, value))
                self._first.setdefault(name, value)
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + value, count + 1)

    def found(self) -> dict[str, float]:
        """The summaries so far, by W&B's names."""
        found: dict[str, float] = {}
        for name, (total, count) in self._sums.items():
            values = {
                "min": self._lowest[name],
                "max": self._highest[name],
                "mean": total / count,
                "first": self._first[name],
            }
            wanted = [kind for kind in self._of(name) if kind in values]
            found |= {f"{name}.{kind}": values[kind] for kind in wanted}
        return found

    def _of(self, name: str) -> tuple[str, ...]:
        known = self._kinds.get(name)
        if known is not None:
            return known
        matching = [kinds for glob, kinds in self._kinds.items() if fnmatchcase(name, glob)]
        return matching[0] if matching else ()


def _number(value: Any) -> float | int | None:
    if not isinstance(value, float | int):
        try:
            value = coerce_scalar(value)
        except (IsMedia, NotScalar):
            return None
    is_number = isinstance(value, float | int) and not math.isnan(value)
    return value if is_number else None
