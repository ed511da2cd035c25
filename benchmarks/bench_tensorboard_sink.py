"""How many points a second does the TensorBoard sink write on one core, against TensorBoard's own writer?

    python benchmarks/bench_tensorboard_sink.py [--repeats 5] [--rows 20000] [--metrics 20] [--json FILE]

Both get the same rows and end with everything on disk. The baseline is what a training script does without
us: `EventFileWriter`, one Event a scalar; it is given fewer rows, as it takes so long. The contenders take
turns, so that load from elsewhere meets all of them. Times are CPU seconds of this process (the baseline's
writing thread included) and wall seconds; the rate is points by CPU second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Rows, RunInfo, Stream
from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks.base import Batch, SinkContext
from exptrack_daemon.sinks.tensorboard import open_sink
from exptrack_proto.records import Row

CREATED_NS = 1_700_000_000_000_000_000
STREAM = Stream("0" * 32, 0, 1, 1, "trainer", "host", 1, CREATED_NS)
RUN = RunInfo("bench", "bench", "bench", CREATED_NS)
BATCH_ROWS = 5_000


@dataclass(frozen=True)
class Contender:
    name: str
    write: Callable[[list[Row], Path], None]
    share: int = 1
    """It gets one row in so many."""


def write_with_sink(rows: list[Row], folder: Path) -> None:
    context = SinkContext(Home(folder), folder, {}, SystemClock(), lambda pid: None)
    sink = open_sink(RUN, context, None)
    for start in range(0, len(rows), BATCH_ROWS):
        part = rows[start : start + BATCH_ROWS]
        entry = Rows(STREAM, start, start, part)
        sink.write(Batch(RUN, (entry,), Position(rows=start), Position(rows=start + len(part))))
        sink.settled()
    sink.close()


def write_with_event_file_writer(rows: list[Row], folder: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for row in rows:
        for name, number in row.values.items():
            summary = Summary(value=[Summary.Value(tag=name, simple_value=number)])
            writer.add_event(Event(wall_time=row.time_ns / 1e9, step=row.step, summary=summary))
    writer.close()


def make_rows(count: int, metrics: int, *, alternate: bool) -> list[Row]:
    names = [f"train/metric_{number}" for number in range(metrics)]
    halves = (names[: metrics // 2], names[metrics // 2 :]) if alternate else (names, names)
    return [
        Row(step, CREATED_NS + step * 10**6, dict.fromkeys(halves[step % 2], step * 0.001))
        for step in range(count)
    ]


@dataclass(frozen=True)
class Result:
    name: str
    points: int
    cpu_s: list[float]
    wall_s: list[float]

    @property
    def rates(self) -> list[float]:
        return sorted(self.points / seconds / 1e6 for seconds in self.cpu_s)


def measure(contender: Contender, rows: list[Row]) -> tuple[int, float, float]:
    part = rows[: len(rows) // contender.share]
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        contender.write(part, Path(folder))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return sum(len(row.values) for row in part), cpu, wall


def run(rows: int, metrics: int, repeats: int) -> list[Result]:
    plain = make_rows(rows, metrics, alternate=False)
    alternating = make_rows(rows, metrics, alternate=True)
    jobs = [
        (Contender("sink", write_with_sink), plain),
        (Contender("sink, two kinds of rows in turn", write_with_sink), alternating),
        (Contender("EventFileWriter", write_with_event_file_writer, share=50), plain),
    ]
    results = [Result(contender.name, 0, [], []) for contender, _ in jobs]
    for number in range(repeats + 1):
        for index, (contender, its_rows) in enumerate(jobs):
            points, cpu, wall = measure(contender, its_rows)
            if number:  # the first round only warms imports and caches
                before = results[index]
                results[index] = Result(
                    before.name, points, [*before.cpu_s, cpu], [*before.wall_s, wall]
                )
    return results


def show(results: list[Result], metrics: int) -> None:
    print(f"{metrics} metrics a row; M points by CPU second")
    print(f"{'':34}{'median':>9}{'least':>9}{'most':>9}{'wall s':>9}")
    for result in results:
        rates = result.rates
        cells = (statistics.median(rates), rates[0], rates[-1], statistics.median(result.wall_s))
        print(f"{result.name:34}" + "".join(f"{cell:9.3f}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--metrics", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = run(options.rows, options.metrics, options.repeats)
    show(results, options.metrics)
    if options.json:
        table = [
            {
                "name": result.name,
                "points": result.points,
                "million_points_per_cpu_s": result.rates,
                "wall_s": result.wall_s,
            }
            for result in results
        ]
        options.json.write_text(
            json.dumps({"metrics": options.metrics, "results": table}, indent=2)
        )


if __name__ == "__main__":
    main()
