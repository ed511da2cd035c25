"""Several runs at once: a long table, and SQL through DuckDB over parts and journals' tails."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.store.live import TailTooLong
from exptrack_daemon.store.manifest import FOLDER
from exptrack_daemon.store.parts import DiskPart, table_of

if TYPE_CHECKING:
    from exptrack_daemon.store.door import PointsDoor

_COLUMNS = "role, rank, name, attempt, step, time, value, ordinal, kind, text"


def long_table(
    door: PointsDoor, run_ids: Sequence[str], names: Sequence[str] | None, rank: int
) -> Any:
    """The named series of several runs, one after the other, as a `pyarrow.Table`."""
    import pyarrow as pa

    labels: list[tuple[str, str]] = []
    found = []
    for run_id in run_ids:
        chosen = names
        if chosen is None:
            chosen = [m.name for m in door.metrics(run_id) if not m.is_system and rank in m.ranks]
        for name, series in door.series(run_id, chosen, rank=rank).items():
            labels.append((run_id, name))
            found.append(series)
    counts = [len(series) for series in found]
    at = np.repeat(np.arange(len(found), dtype=np.int32), counts)
    whole, real = np.empty(0, np.int64), np.empty(0)
    times = np.concatenate([whole, *(series.times_ns for series in found)])
    return pa.table(
        {
            "run": _words([run for run, _ in labels], at),
            "name": _words([name for _, name in labels], at),
            "rank": pa.array(np.full(len(at), rank, np.int32)),
            "step": pa.array(np.concatenate([whole, *(series.steps for series in found)])),
            "time": pa.array(times).view(pa.timestamp("ns", tz="UTC")),
            "value": pa.array(np.concatenate([real, *(series.values for series in found)])),
        }
    )


def _words(words: Sequence[str], at: Any) -> Any:
    import pyarrow as pa

    distinct = list(dict.fromkeys(words))
    numbers = {word: number for number, word in enumerate(distinct)}
    indices = np.array([numbers[word] for word in words], np.int32)[at]
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(distinct, pa.string()))


def ask_duckdb(door: PointsDoor, question: str, run_ids: Sequence[str] | None) -> Any:
    """The answer as a DuckDB relation, on a connection of its own.

    Raises:
        MissingExtra: DuckDB is not installed.
        ExptrackError: most of a long run is in no part yet.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra(
            "SQL needs DuckDB, which is not installed: pip install 'exptrack[query]'"
        ) from error
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    files, tails = _points(door, door.run_ids() if run_ids is None else run_ids)
    connection.register("tails", tails)
    view = f"SELECT run, {_COLUMNS} FROM tails"
    if files:
        names = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        run = rf"regexp_extract(filename, '([^/]+)/{FOLDER}/[^/]+$', 1)"
        view += (
            f" UNION ALL SELECT {run} AS run, {_COLUMNS}"
            f" FROM read_parquet([{names}], filename = true)"
        )
    connection.execute(f"CREATE VIEW points AS {view}")
    connection.register("runs", _runs(door, run_ids))
    return connection.sql(question)


def _points(door: PointsDoor, run_ids: Sequence[str]) -> tuple[list[str], Any]:
    """The files of the runs' parts, and one table of all that is in none."""
    import pyarrow as pa

    files: list[str] = []
    tables: list[Any] = []
    for run_id in run_ids:
        try:
            parts = door.parts(run_id)
        except TailTooLong as error:
            raise ExptrackError(
                f"most of run {run_id} is not in the store yet; wait for it, or bring it there:"
                f" exptrack replay {run_id} --to store"
            ) from error
        for part in parts:
            if isinstance(part, DiskPart):
                files.append(str(part.path))
            elif len(part) or not tables:
                table = table_of(part.points())
                run = _words([run_id], np.zeros(len(part), np.int32))
                tables.append(table.append_column("run", run))
    plain = [_undictionary(table) for table in tables]
    return files, pa.concat_tables(plain) if plain else _undictionary(_no_points())


def _undictionary(table: Any) -> Any:
    import pyarrow as pa

    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _no_points() -> Any:
    from exptrack_daemon.store.columns import concat, sort

    table = table_of(sort(concat([])))
    return table.append_column("run", _words([], np.empty(0, np.int32)))


def _runs(door: PointsDoor, run_ids: Sequence[str] | None) -> Any:
    import pyarrow as pa

    chosen = None if run_ids is None else set(run_ids)
    rows = []
    for view in door.runs(values=True):
        if chosen is not None and view.id not in chosen:
            continue
        facts, run = view.facts, view.run
        rows.append(
            {
                "id": view.id,
                "project": run.project,
                "name": run.name,
                "group": run.group,
                "job_type": run.job_type,
                "tags": list(run.tags),
                "notes": run.notes,
                "status": view.status.name,
                "created": run.created_ns,
                "rows": facts.rows,
                "points": facts.points,
                "attempts": facts.attempts,
                "ranks": facts.ranks,
                "last_step": facts.last_step,
                "config": json.dumps(run.config),
                "summary": json.dumps({**facts.values.rank0, **facts.values.user}),
            }
        )
    return pa.Table.from_pylist(rows, schema=_runs_schema())


def _runs_schema() -> Any:
    import pyarrow as pa

    texts = ("id", "project", "name", "group", "job_type", "notes", "status", "config", "summary")
    kinds = {name: pa.string() for name in texts} | {
        "tags": pa.list_(pa.string()),
        "created": pa.timestamp("ns", tz="UTC"),
    }
    order = ("id", "project", "name", "group", "job_type", "tags", "notes", "status", "created")
    counts = ("rows", "points", "attempts", "ranks", "last_step")
    columns = (*order, *counts, "config", "summary")
    return pa.schema([(name, kinds.get(name, pa.int64())) for name in columns])
