"""Two result files side by side: `python -m benchmarks.compare BEFORE.json AFTER.json`.

A difference counts when the spreads do not overlap and the medians are more than a tenth apart; all else is
noise. Times taken on different machines are shown, and said to be no comparison.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from benchmarks.results import Measure, Session, load
from benchmarks.show import console, number, range_of

_NOISE = 1.1


class Difference(NamedTuple):
    """One measure, before and after."""

    question: str
    before: Measure
    after: Measure

    @property
    def ratio(self) -> float | None:
        """After in units of before; None when before is zero."""
        before = self.before.spread.median
        return self.after.spread.median / before if before else None

    @property
    def verdict(self) -> str:
        """`less`, `more`, or nothing for what may be noise."""
        before, after = self.before.spread, self.after.spread
        if after.high < before.low and before.median > _NOISE * after.median:
            return "less"
        if after.low > before.high and after.median > _NOISE * before.median:
            return "more"
        return ""


def differences(before: Session, after: Session) -> Iterator[Difference]:
    """What both sessions measured."""
    old = {report.name: report for report in before.reports}
    for report in after.reports:
        if report.name not in old:
            continue
        known = old[report.name].measures
        for name, measure in report.measures.items():
            if name in known:
                yield Difference(report.name, known[name], measure)


def cautions(before: Session, after: Session) -> list[str]:
    """Why these two may not be comparable."""
    found = [
        f"the {what} differs: {before.machine.get(what)} and {after.machine.get(what)}"
        for what in ("processor", "cores", "system", "python", "packages", "disk")
        if before.machine.get(what) != after.machine.get(what)
    ]
    if before.is_quick or after.is_quick:
        found.append("a quick pass is for looking, not for comparing")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--all", action="store_true", help="also what did not change")
    options = parser.parse_args()
    before, after = load(options.before), load(options.after)
    table = Table("question", "measured", "unit", "before", "after", "ratio", "")
    for found in differences(before, after):
        if found.verdict or options.all:
            table.add_row(*_cells(found))
    console.print(table if table.row_count else "Nothing changed beyond the noise.")
    for caution in cautions(before, after):
        console.print(f"Note: {caution}")


def _cells(found: Difference) -> tuple[str, ...]:
    ratio = "–" if found.ratio is None else f"{found.ratio:.2f}×"
    old, new = found.before.spread, found.after.spread
    before, after = (f"{number(spread.median)} ({range_of(spread)})" for spread in (old, new))
    return found.question, found.before.name, found.before.unit, before, after, ratio, found.verdict


if __name__ == "__main__":
    main()
