"""Runs beside each other: config keys that differ, last and best values, means over seeds. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exptrack_daemon.plots.configs import MISSING, differing, group_of
from exptrack_daemon.plots.names import Goal, goal_of

_SEEDS = frozenset(("seed", "random_seed", "rng_seed"))


@dataclass(frozen=True, slots=True)
class Compared:
    """One run."""

    id: str
    name: str
    config: Mapping[str, Any]
    last: Mapping[str, Any]
    """By metric, the last value; missing where it was not logged."""
    best: Mapping[str, float]
    """By metric, the best finite value."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A value over the runs of a group: mean and the sample's standard deviation (None: one run)."""

    mean: float
    std: float | None
    runs: int
    """Runs whose value is finite."""


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    runs: Sequence[Compared]

    def last(self, metric: str) -> Spread | None:
        return spread_of([run.last.get(metric) for run in self.runs])

    def best(self, metric: str) -> Spread | None:
        return spread_of([run.best.get(metric) for run in self.runs])

    def config(self, key: str, values: Mapping[str, Any]) -> Any:
        """What all runs of the group have there; `VARIED` where they differ."""
        mine = [values.get(run.id, MISSING) for run in self.runs]
        return mine[0] if not differing([{key: value} for value in mine]) else VARIED


VARIED = object()
"""The runs of a group differ in this key."""


@dataclass(frozen=True, slots=True)
class Comparison:
    runs: Sequence[Compared]
    differences: Mapping[str, Mapping[str, Any]]
    """By config key that differs, by run id its value; a run without the key is not in there."""
    metrics: Sequence[str]
    groups: Sequence[Group] = ()
    """Empty: runs were not grouped."""
    asked: Goal | None = None
    """Which way is better for all metrics; None: what each name says."""

    def goal(self, metric: str) -> Goal:
        return self.asked or goal_of(metric)

    def best_of(self, metric: str, values: Sequence[float | None]) -> set[int]:
        """The places of the best values; none where there is nothing to choose from."""
        there = [value for value in values if value is not None and math.isfinite(value)]
        if len(there) < 2 or min(there) == max(there):
            return set()
        top = min(there) if self.goal(metric) == "min" else max(there)
        return {at for at, value in enumerate(values) if value == top}


def comparison_of(
    runs: Sequence[Compared],
    metrics: Sequence[str],
    group_by: str | None,
    *,
    grouped: bool,
    goal: Goal | None = None,
) -> Comparison:
    """The comparison of these runs; `group_by` as in pictures of seeds, `goal` for all metrics."""
    found = {
        key: {
            run.id: value for run, value in zip(runs, values, strict=True) if value is not MISSING
        }
        for key, values in differing([run.config for run in runs]).items()
    }
    if not grouped:
        return Comparison(runs, found, metrics, asked=goal)
    members: dict[str, list[Compared]] = {}
    for run in runs:
        members.setdefault(group_of(run.name, run.config, group_by), []).append(run)
    kept = {key: values for key, values in found.items() if key not in _SEEDS}
    groups = [Group(name, held) for name, held in members.items()]
    return Comparison(runs, kept, metrics, groups, goal)


def spread_of(values: Sequence[Any]) -> Spread | None:
    """Mean and standard deviation of the finite ones; None: there is none."""
    there = [as_number(value) for value in values]
    finite = [value for value in there if math.isfinite(value)]
    if not finite:
        return None
    std = statistics.stdev(finite) if len(finite) > 1 else None
    return Spread(statistics.fmean(finite), std, len(finite))


def as_number(value: Any) -> float:
    """A number as float, NaN for all else."""
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.nan


def document_of(compared: Comparison) -> dict[str, Any]:
    """What `--json` prints."""
    document: dict[str, Any] = {
        "differences": list(compared.differences),
        "metrics": [{"name": metric, "goal": compared.goal(metric)} for metric in compared.metrics],
        "runs": [_run_document(run, compared) for run in compared.runs],
    }
    if compared.groups:
        document["groups"] = [_group_document(group, compared) for group in compared.groups]
    return document


def _run_document(run: Compared, compared: Comparison) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "config": {
            key: values[run.id] for key, values in compared.differences.items() if run.id in values
        },
        "last": {metric: run.last.get(metric) for metric in compared.metrics},
        "best": {metric: run.best.get(metric) for metric in compared.metrics},
    }


def _group_document(group: Group, compared: Comparison) -> dict[str, Any]:
    return {
        "name": group.name,
        "runs": [run.id for run in group.runs],
        "last": {metric: _spread(group.last(metric)) for metric in compared.metrics},
        "best": {metric: _spread(group.best(metric)) for metric in compared.metrics},
    }


def _spread(spread: Spread | None) -> dict[str, Any] | None:
    if spread is None:
        return None
    return {"mean": spread.mean, "std": spread.std, "runs": spread.runs}
