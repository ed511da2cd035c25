"""What a benchmark found, and as JSON: measures (one value a repeat), goals, and whether they are met."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.stats import Spread, spread

FORMAT = 1


@dataclass(slots=True)
class Measure:
    """One thing that was measured, once a repeat."""

    name: str
    unit: str
    values: list[float] = field(default_factory=list)

    @property
    def spread(self) -> Spread:
        return spread(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a measure should reach. The median counts; a `worst_counts` goal looks at the worst repeat."""

    measure: str
    at_most: float | None = None
    at_least: float | None = None
    later: float | None = None
    """The next, sharper goal."""
    baseline: str = ""
    """The measure of the same run that it is set against."""
    worst_counts: bool = False

    @property
    def limit(self) -> float:
        limit = self.at_most if self.at_most is not None else self.at_least
        assert limit is not None
        return limit

    def reached_by(self, found: Spread) -> float:
        """The number that is held against the limit."""
        if not self.worst_counts:
            return found.median
        return found.high if self.at_most is not None else found.low

    def is_met(self, found: Spread) -> bool:
        value = self.reached_by(found)
        return value <= self.limit if self.at_most is not None else value >= self.limit


@dataclass(slots=True)
class Report:
    """The answer to one question."""

    name: str
    question: str
    measures: dict[str, Measure] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    stolen_share: float = 0.0
    """Share of the processors' time that the hypervisor kept from this machine meanwhile."""

    def add(self, name: str, unit: str, value: float) -> None:
        """Note the value of one more repeat."""
        self.measures.setdefault(name, Measure(name, unit)).values.append(value)

    def median(self, name: str) -> float:
        return self.measures[name].spread.median

    def ratio(self, goal: Goal) -> float | None:
        """The measure in units of its baseline; None without one."""
        if goal.baseline not in self.measures or not self.median(goal.baseline):
            return None
        return self.median(goal.measure) / self.median(goal.baseline)

    def is_met(self, goal: Goal) -> bool:
        return goal.is_met(self.measures[goal.measure].spread)


def report_to_dict(report: Report) -> dict[str, Any]:
    """The report as JSON: every value, and what follows from them for those who read it without us."""
    return {
        "name": report.name,
        "question": report.question,
        "wall_s": round(report.wall_s, 2),
        "stolen_share": report.stolen_share,
        "notes": report.notes,
        "measures": [
            {
                "name": measure.name,
                "unit": measure.unit,
                "values": measure.values,
                **measure.spread._asdict(),
            }
            for measure in report.measures.values()
        ],
        "goals": [
            {**asdict(goal), "ratio": report.ratio(goal), "met": report.is_met(goal)}
            for goal in report.goals
        ],
    }


def report_from_dict(data: dict[str, Any]) -> Report:
    """A report as it was saved."""
    derived = ("ratio", "met")
    goals = [
        Goal(**{key: value for key, value in goal.items() if key not in derived})
        for goal in data["goals"]
    ]
    measures = {
        measure["name"]: Measure(measure["name"], measure["unit"], measure["values"])
        for measure in data["measures"]
    }
    report = Report(data["name"], data["question"], measures, goals, data["notes"])
    report.wall_s, report.stolen_share = data["wall_s"], data["stolen_share"]
    return report


@dataclass(slots=True)
class Session:
    """Everything that was measured in one go, and on what."""

    machine: dict[str, Any]
    reports: list[Report]
    is_quick: bool = False


def save(session: Session, path: Path) -> None:
    """Write a result file."""
    data = {
        "format": FORMAT,
        "quick": session.is_quick,
        "machine": session.machine,
        "benchmarks": [report_to_dict(report) for report in session.reports],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n")


def load(path: Path) -> Session:
    """Read a result file.

    Raises:
        ValueError: it is none, or of another format.
    """
    data = json.loads(path.read_text())
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"{path} is no result file of format {FORMAT}")
    reports = [report_from_dict(report) for report in data["benchmarks"]]
    return Session(data["machine"], reports, data["quick"])
