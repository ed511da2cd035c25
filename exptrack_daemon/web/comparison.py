"""Runs beside each other: which config keys differ, and each metric's last and best value."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exptrack_daemon.plots.names import told_goal
from exptrack_daemon.store.catalog_list import flatten
from exptrack_daemon.store.reader import HomeReader
from exptrack_daemon.store.series import Array
from exptrack_daemon.web.charts import Charts, Question
from exptrack_daemon.web.index import Seen
from exptrack_daemon.web.listing import head

_MOST_METRICS = 100


def compare(charts: Charts, reader: HomeReader, runs: Sequence[Seen]) -> dict[str, Any]:
    """The whole answer; of metrics, the hundred that most of the runs have."""
    names = shared_names([seen.view.facts.summary for seen in runs])
    shown = tuple(names[:_MOST_METRICS])
    question = Question(
        names=shown,
        x="step",
        lo=None,
        hi=None,
        cells=2,
        stats=("min", "max"),
        rank=0,
        is_system=False,
    )
    values = charts.draw(reader, runs, question).values if shown else np.empty((0, len(runs), 2, 0))
    return {
        "runs": [head(seen) for seen in runs],
        "config": config_rows([seen.view.facts.run.config for seen in runs]),
        "metrics": [
            _metric(name, [seen.view.facts.summary.get(name) for seen in runs], values[at])
            for at, name in enumerate(shown)
        ],
        "metrics_total": len(names),
    }


def shared_names(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of numbers, those that most runs have first."""
    counts = Counter(
        name
        for summary in summaries
        for name, value in summary.items()
        if isinstance(value, int | float)
    )
    return sorted(counts, key=lambda name: (-counts[name], name))


def config_rows(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a key, with each run's value (null where it has none), those that differ first."""
    flat = [flatten(dict(config)) for config in configs]
    keys = sorted({key for config in flat for key in config})
    rows = [
        {
            "name": key,
            "values": [config.get(key) for config in flat],
            "missing": [key not in config for config in flat],
            "differs": len({_told(config, key) for config in flat}) > 1,
        }
        for key in keys
    ]
    return sorted(rows, key=lambda row: not row["differs"])


def _told(config: Mapping[str, Any], key: str) -> str:
    return json.dumps(config[key], sort_keys=True, default=str) if key in config else ""


def _metric(name: str, final: list[Any], extremes: Array) -> dict[str, Any]:
    """`extremes`: [run][min, max][cell]."""
    goal = told_goal(name)
    lows = [_folded(np.fmin, run[0]) for run in extremes]
    highs = [_folded(np.fmax, run[1]) for run in extremes]
    return {
        "name": name,
        "final": final,
        "min": lows,
        "max": highs,
        "best": {"min": lows, "max": highs, None: None}[goal],
        "goal": goal,
    }


def _folded(fold: np.ufunc, cells: Array) -> float | None:
    """The extreme of all cells; None where there is no finite point."""
    value = float(fold.reduce(cells)) if cells.size else math.nan
    return None if math.isnan(value) else value
