"""`exptrack runs --group-by`: runs that have a value in common, as one line. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exptrack_daemon.cli.comparison import Spread, spread_of
from exptrack_daemon.store.run_list import RunRow


@dataclass(frozen=True, slots=True)
class RunGroup:
    """The runs with one value of what was grouped by."""

    value: Any
    runs: Sequence[RunRow]
    """In the order of the list."""

    @property
    def statuses(self) -> Mapping[str, int]:
        """How many runs have each status, the most frequent first."""
        return dict(Counter(run.status for run in self.runs).most_common())

    @property
    def updated_ns(self) -> int:
        return max(run.updated_ns for run in self.runs)

    def spread(self, column: str) -> Spread | None:
        """Mean and deviation of a column over the runs whose value is a finite number."""
        return spread_of([run.values[column] for run in self.runs])


def groups_of(rows: Sequence[RunRow], key: str) -> list[RunGroup]:
    """The runs by their values of the column `key`, in the order in which a list shows each first."""
    found: dict[str, list[RunRow]] = {}
    for row in rows:
        found.setdefault(json.dumps(row.values[key], sort_keys=True), []).append(row)
    return [RunGroup(runs[0].values[key], runs) for runs in found.values()]


def group_document(group: RunGroup, columns: Sequence[str]) -> dict[str, Any]:
    """A group in `runs --group-by --json`."""
    spreads = {name: group.spread(name) for name in columns}
    return {
        "group": group.value,
        "runs": [run.id for run in group.runs],
        "statuses": dict(group.statuses),
        "values": {
            name: spread and {"mean": spread.mean, "std": spread.std, "runs": spread.runs}
            for name, spread in spreads.items()
        },
    }
