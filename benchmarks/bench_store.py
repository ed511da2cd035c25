"""How fast are charts read from the store, how fast is it written, and how large is it?

- One series of 10 M points in a run, downsampled to 1,000 cells: by a new reader and by one that was asked
  before, against DuckDB and polars with the same cells (min, max, mean) from the same, cached files.
- 50 runs of one metric of 100 k points in one chart, likewise.
- 50 runs of 20 metrics of 100 k points in 20 charts: all names of a run at once, against one after another.
- The sink of the code gets rows of 20 metrics, as the delivery loop hands them over; by CPU second, fsyncs
  included, against decoding the same rows.
- Bytes a point at rest, cells included: ten random walks with step and time, as float64 with all its bits,
  and as values that were float32 once (what a tensor's `.item()` gives). The floor beside each: all values of
  a series packed as hard as zstd can, and each row's time once; no cells, and nothing to find a series by.
- One row more in a journal whose tail holds 100 k points: how long until `series` shows it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import polars
import pyarrow
import pyarrow.parquet

from benchmarks.bench_sinks import STREAM, decoding_job, points_per_cpu_s, sink_job
from benchmarks.harness import Plan, main
from benchmarks.results import Goal, Report
from benchmarks.stats import turns
from exptrack_daemon.clock import SystemClock
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.cursor import Cursor, load_cursor, save_cursor
from exptrack_daemon.journal.writer import Journal, JournalConfig
from exptrack_daemon.sinks import store
from exptrack_daemon.store.columns import Points, SeriesKey, sort
from exptrack_daemon.store.compaction import Sizes
from exptrack_daemon.store.manifest import FOLDER, SINK, Manifest
from exptrack_daemon.store.parts import cells_bytes, part_bytes
from exptrack_daemon.store.pieces import PartName
from exptrack_daemon.store.reader import HomeReader, open_home
from exptrack_daemon.store.series import width_for
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.frame import parse
from exptrack_proto.records import Open, Row

QUESTION = "How fast are charts read from the store, how fast is it written, and how large is it?"
START_NS = 1_700_000_000_000_000_000
LONG, MANY = "1 x 10 M", "50 x 100 k"
WIDE, WIDE_SINGLY = "50 x 20 x 100 k: at once", "50 x 20 x 100 k: one name after another"
DECODING = "decoding of the same rows"
GOALS = [
    Goal(measure=f"{LONG}: new reader", at_most=50.0),
    Goal(measure=f"{LONG}: asked before", at_most=15.0),
    Goal(measure=f"{MANY}: new reader", at_most=300.0),
    Goal(measure=WIDE, at_most=0.5, baseline=WIDE_SINGLY),
    Goal(measure="sink", at_least=1.5, baseline=DECODING),
    Goal(measure="at rest, float32 once", at_most=6.0, baseline="floor, float32 once"),
    Goal(measure="at rest, all bits", at_most=6.0, baseline="floor, all bits"),
    Goal(measure="one row more, 100 k in the tail", at_most=1_000.0),
]
CELLS = 1_000
MERGED = Sizes().chunk_points * Sizes().merge_parts


def run(plan: Plan, report: Report) -> None:
    repeats = plan.pick(9, 3)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        plan.say("making runs")
        long = plan.pick(10_000_000, 2_000_000)
        make_run(home, "long", ["loss"], long)
        many = [f"many{number}" for number in range(50)]
        for run_id in many:
            make_run(home, run_id, ["loss"], 100_000)
        charts(plan, report, home, {LONG: (["long"], long), MANY: (many, 100_000)}, repeats)
        wide(plan, report, home, plan.pick(5, 2))
        sizes(report, home)
        live(plan, report, home, repeats)
    sink_rate(plan, report, repeats)


def charts(
    plan: Plan, report: Report, home: Path, what: dict[str, tuple[list[str], int]], repeats: int
) -> None:
    kept = open_home(home)
    jobs: dict[str, Callable[[], object]] = {}
    for name, (runs, n) in what.items():
        files = [str(path) for run in runs for path in part_files(home, run)]
        width = width_for(0, n - 1, CELLS)
        jobs |= {
            f"{name}: new reader": lambda r=runs, n=n, w=width: cells(open_home(home), r, n, w),
            f"{name}: asked before": lambda r=runs, n=n, w=width: cells(kept, r, n, w),
            f"{name}: DuckDB": lambda f=files, w=width: by_duckdb(f, w),
            f"{name}: polars": lambda f=files, w=width: by_polars(f, w),
        }
    for number, name in turns(list(jobs), repeats + 1):
        plan.say(f"{name}, repeat {number} of {repeats}")
        began = time.perf_counter()
        jobs[name]()
        if number:
            report.add(name, "ms", (time.perf_counter() - began) * 1e3)


def cells(reader: HomeReader, runs: list[str], n: int, width: int) -> None:
    for run in runs:
        found = reader.cells(run, ["loss"], width=width, lo=0, hi=n - 1)["loss"]
        assert int(found.count.sum()) == n


def wide(plan: Plan, report: Report, home: Path, repeats: int) -> None:
    """20 charts of 50 runs at the width that a page asks for; all runs hold the same bytes."""
    names = [f"train/metric_{number}" for number in range(20)]
    make_run(home, "wide0", names, 100_000)
    runs = ["wide0", *(copied_run(home, "wide0", f"wide{number}") for number in range(1, 50))]
    reader, width = open_home(home), width_for(0, 99_999, 400)

    def at_once(asked: list[list[str]]) -> None:
        for run_id in runs:
            for names in asked:
                reader.cells(run_id, names, width=width, lo=0, hi=99_999)

    jobs = {WIDE: [names], WIDE_SINGLY: [[name] for name in names]}
    for number, name in turns(list(jobs), repeats + 1):
        plan.say(f"{name}, repeat {number} of {repeats}")
        began = time.perf_counter()
        at_once(jobs[name])
        if number:
            report.add(name, "ms", (time.perf_counter() - began) * 1e3)


def copied_run(home: Path, run_id: str, other: str) -> str:
    journal = open_journal(home, other)
    journal.commit()
    journal.close()
    shutil.copytree(Home(home).run(run_id) / FOLDER, Home(home).run(other) / FOLDER)
    save_cursor(
        OsFiles(),
        Home(home).cursor(other, SINK),
        load_cursor(OsFiles(), Home(home).cursor(run_id, SINK)),
    )
    return other


def by_duckdb(files: list[str], width: int) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(
            "SELECT filename, step // ? AS cell, min(value), max(value), avg(value)"
            " FROM read_parquet(?, filename = true) WHERE name = 'loss' GROUP BY ALL",
            [width, files],
        ).fetchnumpy()


def by_polars(files: list[str], width: int) -> None:
    value = polars.col("value")
    scan = polars.scan_parquet(files, include_file_paths="file").filter(
        polars.col("name") == "loss"
    )
    scan.group_by("file", polars.col("step") // width).agg(
        value.min().alias("min"), value.max().alias("max"), value.mean().alias("mean")
    ).collect()


def sizes(report: Report, home: Path) -> None:
    for name, is_short in (("float32 once", True), ("all bits", False)):
        run_id = "short" if is_short else "whole"
        make_run(home, run_id, [f"train/metric_{n}" for n in range(10)], 100_000, short=is_short)
        held = sum(path.stat().st_size for path in (Home(home).run(run_id) / FOLDER).iterdir())
        report.add(f"at rest, {name}", "bytes/point", held / 1e6)
        report.add(f"floor, {name}", "bytes/point", floor(100_000, short=is_short))


def floor(rows: int, *, short: bool, width: int = 10) -> float:
    """Bytes a point of values alone, and of times that are written once for all of a row's metrics."""
    walk = np.asarray(random_walk(rows, 0, short=short))
    columns = {
        "value": (walk, "BYTE_STREAM_SPLIT"),
        "time": (np.asarray(walk_of_times(rows)), "DELTA_BINARY_PACKED"),
    }
    packed = {}
    for name, (column, encoding) in columns.items():
        stream = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(
            pyarrow.table({name: column}),
            stream,
            compression="zstd",
            compression_level=19,
            use_dictionary=False,
            column_encoding={name: encoding},
        )
        packed[name] = len(stream.getvalue()) / rows
    return packed["value"] + packed["time"] / width


def live(plan: Plan, report: Report, home: Path, repeats: int) -> None:
    journal = open_journal(home, "live")
    journal.commit()
    for first in range(0, 10_000, 1000):
        append(journal, "live", first + 1, 1000)
    reader = open_home(home)
    assert len(reader.series("live", ["m0"])["m0"]) == 10_000
    for number in range(repeats):
        plan.say(f"live, repeat {number}")
        append(journal, "live", 10_001 + number, 1)
        began = time.perf_counter()
        found = reader.series("live", ["m0"])["m0"]
        report.add("one row more, 100 k in the tail", "ms", (time.perf_counter() - began) * 1e3)
        assert len(found) == 10_001 + number
    journal.close()


def sink_rate(plan: Plan, report: Report, repeats: int) -> None:
    rows = walking_rows(plan.pick(60_000, 10_000), 20)
    jobs = {"sink": sink_job(store.open_sink), DECODING: decoding_job(rows)}
    for number, name in turns(list(jobs), repeats + 1):
        plan.say(f"{name}, repeat {number} of {repeats}")
        rate = points_per_cpu_s(jobs[name], rows)
        if number:
            report.add(name, "M points/CPU s", rate / 1e6)


# --- what is read -------------------------------------------------------------------------------


def make_run(home: Path, run_id: str, names: list[str], rows: int, *, short: bool = True) -> None:
    """A run whose points all stand in parts, as the sink leaves them, and whose journal is empty."""
    journal = open_journal(home, run_id)
    journal.commit()
    journal.close()
    folder = Home(home).run(run_id) / FOLDER
    folder.mkdir(parents=True)
    parts: list[PartName] = []
    ordinal = 0
    times = walk_of_times(rows)
    values = np.array([random_walk(rows, seed, short=short) for seed in range(len(names))])
    for first in range(0, rows, max(1, MERGED // len(names))):
        last = min(rows, first + MERGED // len(names))
        points = columns(names, first, times[first:last], values[:, first:last], ordinal)
        part = PartName(ordinal, ordinal + len(points), 1)
        (folder / part.file).write_bytes(part_bytes(points))
        (folder / part.cells_file).write_bytes(cells_bytes(points, Sizes().cells_from))
        parts.append(part)
        ordinal += len(points)
    state = Manifest(tuple(parts), chunk_points=Sizes().chunk_points).dump()
    save_cursor(OsFiles(), Home(home).cursor(run_id, SINK), Cursor(state=state))


def columns(names: list[str], first: int, times: object, values: object, ordinal: int) -> Points:
    width, rows = len(names), np.asarray(times).shape[0]
    keys = tuple(SeriesKey("trainer", 0, name, 1) for name in names)
    count = rows * width
    return sort(
        Points(
            keys,
            np.tile(np.arange(width, dtype=np.int32), rows),
            np.repeat(np.arange(first, first + rows), width),
            np.repeat(times, width),
            np.asarray(values).T.reshape(-1).copy(),
            np.arange(ordinal, ordinal + count),
            np.zeros(count, np.uint8),
            {},
        )
    )


def random_walk(rows: int, seed: int, *, short: bool) -> object:
    """A loss that wanders, with noise; float64, of which with `short` only a float32's bits are used."""
    random = np.random.default_rng(seed)
    values = np.abs(2.3 + np.cumsum(random.normal(0, 1e-3, rows)) + random.normal(0, 1e-2, rows))
    return values.astype(np.float32).astype(np.float64) if short else values


def walk_of_times(rows: int) -> object:
    """Steps of 10 ms that jitter by 0.2 ms."""
    random = np.random.default_rng(7)
    return START_NS + np.cumsum(10_000_000 + random.normal(0, 200_000, rows)).astype(np.int64)


def walking_rows(count: int, width: int) -> list[Row]:
    walks = [random_walk(count, seed, short=True).tolist() for seed in range(width)]  # type: ignore[attr-defined]
    names = [f"train/metric_{number}" for number in range(width)]
    times = walk_of_times(count).tolist()  # type: ignore[attr-defined]
    return [
        Row(step, times[step], dict(zip(names, found, strict=True)))
        for step, found in enumerate(zip(*walks, strict=True))
    ]


def part_files(home: Path, run_id: str) -> list[Path]:
    return sorted((Home(home).run(run_id) / FOLDER).glob("*.parquet"))


def open_journal(home: Path, run_id: str) -> Journal:
    directory = Home(home).journal(run_id)
    journal = Journal(OsFiles(), directory, run_id, SystemClock(), JournalConfig())
    stream = bytes.fromhex(STREAM.stream_id)
    opened = Open(time_ns=START_NS, project="bench", name=run_id, host="host", pid=1)
    data = encode_item(run_id, stream, 0, opened)
    journal.append(parse(data), data)
    return journal


def append(journal: Journal, run_id: str, first: int, count: int) -> None:
    rows = [
        Row(first + n - 1, START_NS + n, {f"m{m}": 0.5 for m in range(10)}) for n in range(count)
    ]
    data = encode_rows(run_id, bytes.fromhex(STREAM.stream_id), first, rows)
    journal.append(parse(data), data)
    journal.commit()


if __name__ == "__main__":
    main(__file__)
