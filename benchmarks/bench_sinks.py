"""How many points a second does each sink write on one core?

The sink of the code, without the daemon around it, gets the same rows in batches as the delivery loop makes
them, and ends with everything on disk. Sinks and baseline take turns; the rate is points by CPU second of
this process (the baseline's writing thread included). TensorBoard is set against what a script does without
us: `EventFileWriter`, one Event a scalar (it gets fewer rows, as it takes so long). The catalogue is set
against decoding the same rows, without which no sink can do. MLflow, with its local database, is set against
its own `log_metric`, one call a point; both get few rows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.harness import Plan, main
from benchmarks.results import Goal, Report
from benchmarks.stats import turns
from exptrack_daemon.clock import SystemClock
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Rows, RunInfo, Stream
from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks import catalog, mlflow, tensorboard
from exptrack_daemon.sinks.base import Batch, OpenSink, SinkContext
from exptrack_proto.codec import decode, encode_rows
from exptrack_proto.frame import parse
from exptrack_proto.records import Row
from tests.support import mlflow_places

QUESTION = "How many points a second does each sink write on one core?"
STOCK = "EventFileWriter, one Event a scalar"
DECODING = "decoding of the same rows"
ONE_BY_ONE = "MLflow's log_metric, a call a point"
GOALS = [
    Goal(measure="TensorBoard", at_least=0.6, baseline=STOCK),
    Goal(measure="TensorBoard, two kinds of rows in turn", at_least=0.6, baseline=STOCK),
    Goal(measure="catalogue", at_least=0.6, baseline=DECODING),
    Goal(measure="MLflow, its database local", at_least=0.003, baseline=ONE_BY_ONE),
]

METRICS, BATCH_ROWS = 20, 2_000
CREATED_NS = 1_700_000_000_000_000_000
STREAM = Stream("0" * 32, 0, 1, 1, "trainer", "host", 1, CREATED_NS)
RUN = RunInfo("bench", "bench", "bench", CREATED_NS)

Job = Callable[[list[Row], Path], None]


def run(plan: Plan, report: Report) -> None:
    repeats, count = plan.pick(7, 2), plan.pick(20_000, 10_000)
    plain, alternating = make_rows(count, False), make_rows(count, True)
    jobs: dict[str, tuple[Job, list[Row]]] = {
        "TensorBoard": (sink_job(tensorboard.open_sink), plain),
        "TensorBoard, two kinds of rows in turn": (sink_job(tensorboard.open_sink), alternating),
        "catalogue": (sink_job(catalog.open_sink), plain),
        DECODING: (decoding_job(plain), plain),
        STOCK: (write_with_event_file_writer, plain[: count // 50]),
        "MLflow, its database local": (sink_job(mlflow.open_sink), plain[:500]),
        ONE_BY_ONE: (log_one_by_one, plain[:10]),
    }
    for number, name in turns(list(jobs), repeats + 1):
        plan.say(f"{name}, repeat {number} of {repeats}")
        rate = points_per_cpu_s(*jobs[name])
        if number:  # the first round warms imports and caches
            report.add(name, "M points/CPU s", rate / 1e6)


def make_rows(count: int, alternate: bool) -> list[Row]:
    names = [f"train/metric_{number}" for number in range(METRICS)]
    halves = (names[: METRICS // 2], names[METRICS // 2 :]) if alternate else (names, names)
    return [
        Row(step, CREATED_NS + step * 10**6, dict.fromkeys(halves[step % 2], step * 0.001))
        for step in range(count)
    ]


def points_per_cpu_s(job: Job, rows: list[Row]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        mlflow_places.prepare(Path(folder))  # making a database takes MLflow seconds, once a home
        began = time.process_time()
        job(rows, Path(folder))
        took = time.process_time() - began
    return sum(len(row.values) for row in rows) / took


def sink_job(open_sink: OpenSink) -> Job:
    def write(rows: list[Row], folder: Path) -> None:
        context = SinkContext(Home(folder), folder, {}, SystemClock(), lambda pid: None)
        sink = open_sink(RUN, context, None)
        for batch in batches(rows):
            sink.write(batch)
            sink.settled()
        sink.close()

    return write


def batches(rows: list[Row]) -> Iterator[Batch]:
    for start in range(0, len(rows), BATCH_ROWS):
        part = rows[start : start + BATCH_ROWS]
        entry = Rows(STREAM, start, start, part)
        end = Position(record=start + 1, rows=start + len(part))
        yield Batch(RUN, (entry,), Position(record=start, rows=start), end)


def decoding_job(rows: list[Row]) -> Job:
    stream = bytes.fromhex(STREAM.stream_id)
    frames = [
        encode_rows(RUN.run_id, stream, start, rows[start : start + 200])
        for start in range(0, len(rows), 200)
    ]

    def decode_all(_rows: list[Row], _folder: Path) -> None:
        for data in frames:
            decode(parse(data))

    return decode_all


def log_one_by_one(rows: list[Row], folder: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow/mlflow.db")
    run_id = client.create_run("0").info.run_id
    for row in rows:
        for name, number in row.values.items():
            client.log_metric(run_id, name, number, row.time_ns // 10**6, row.step)


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


if __name__ == "__main__":
    main(__file__)
