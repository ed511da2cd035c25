"""The list of runs as the API gives it: searched, sorted, cut to a page, with the columns asked for. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from exptrack_daemon.store.reader import RunView
from exptrack_daemon.web.index import Seen

_FIELDS = frozenset(
    (
        *("id", "name", "project", "group", "job_type", "status", "created_ms", "updated_ms"),
        *("last_step", "rows", "points", "lost_items", "attempts", "ranks"),
    )
)


def head(seen: Seen) -> dict[str, Any]:
    """What every list shows of a run. Times are Unix milliseconds."""
    view, facts, run = seen.view, seen.view.facts, seen.view.facts.run
    return {
        "id": run.run_id,
        "version": seen.version,
        "name": run.name,
        "project": run.project,
        "group": run.group,
        "job_type": run.job_type,
        "status": view.status.name,
        "status_detail": view.status.detail,
        "tags": list(run.tags),
        "notes": run.notes,
        "created_ms": run.created_ns / 1e6,
        "updated_ms": facts.updated_ns / 1e6,
        "last_step": facts.last_step,
        "rows": facts.rows,
        "points": facts.points,
        "lost_items": facts.lost_items,
        "attempts": facts.attempts,
        "ranks": facts.ranks,
    }


def fits(view: RunView, words: Sequence[str]) -> bool:
    """Whether every word stands in the run's id, name, project, group, tags or notes."""
    run = view.facts.run
    texts = (run.run_id, run.name, run.project, run.group or "", *run.tags, run.notes)
    text = "\n".join(texts).casefold()
    return all(word in text for word in words)


def value_of(seen: Seen, column: str) -> Any:
    """A column's value: `config.NAME`, `summary.NAME`, a field of the run, or a summary value by its name."""
    kind, _, name = column.partition(".")
    if kind == "config" and name:
        return flat(seen.view.facts.run.config).get(name)
    if kind == "summary" and name:
        return seen.view.facts.summary.get(name)
    if column in _FIELDS:
        return head(seen)[column]
    return seen.view.facts.summary.get(column)


def ordered(runs: list[Seen], sort: str) -> list[Seen]:
    """The runs by a column, `-COLUMN` from the highest down; those without a value come last either way."""
    column = sort.removeprefix("-")
    keyed = [(_key(value_of(run, column)), run) for run in runs]
    known = [pair for pair in keyed if pair[0] is not None]
    known.sort(key=lambda pair: pair[0] or (0, 0.0, ""), reverse=sort.startswith("-"))
    return [run for _, run in known] + [run for key, run in keyed if key is None]


def _key(value: Any) -> tuple[int, float, str] | None:
    """Numbers before texts; NaN is no value."""
    if isinstance(value, int | float) and not math.isnan(value):
        return (0, float(value), "") if abs(value) < 1e300 else (0, float("inf"), "")
    return (1, 0.0, value.casefold()) if isinstance(value, str) else None


def flat(config: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested mappings as `a.b`, as the list's columns name them."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and depth < 8:
            found |= flat(value, f"{name}.", depth + 1)
        else:
            found[name] = value
    return found


def columns(runs: Iterable[Seen]) -> dict[str, list[dict[str, Any]]]:
    """Every name that a summary or a config holds, and in how many runs; the commonest first."""
    summary: Counter[str] = Counter()
    config: Counter[str] = Counter()
    for run in runs:
        summary.update(run.view.facts.summary.keys())
        config.update(flat(run.view.facts.run.config).keys())
    return {"summary": _counted(summary), "config": _counted(config)}


def _counted(names: Counter[str]) -> list[dict[str, Any]]:
    found = sorted(names.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"name": name, "runs": runs} for name, runs in found]
