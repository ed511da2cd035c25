"""Made-up journals for the W&B sink: the same entries in every process that reads the same `Script`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import msgspec
import numpy as np

from exptrack_daemon.journal.entries import Entry, Event, Rows, RunInfo, Stream
from exptrack_proto import records
from exptrack_proto.records import Row

START_NS = 1_700_000_000 * 10**9


@dataclass(frozen=True)
class Script:
    """What happens in a run."""

    run_id: str = "run-1"
    rows: int = 100
    """By the trainer's rank 0, each with a number `i` of its own."""
    rows_per_entry: int = 10
    values: int = 3
    media_every: int = 0
    """A media item after so many rows entries, the kinds taking turns."""
    status: str | None = "finished"
    """How the run is closed; None: it stays open."""
    exit_code: int | None = None
    config: dict = field(default_factory=lambda: {"lr": 0.1})
    tags: tuple[str, ...] = ("a-tag",)
    second_attempt_rows: int = 0
    extras: list[dict] = field(default_factory=list)
    """What else happens: `{"after": rows, "item": {"kind": …}}` or `{…, "row": [step, time_ns, {…}]}`, and
    `rank` and `role` of who says it."""

    options: dict = field(default_factory=dict)
    """What the run asks of the sink."""

    @property
    def all_rows(self) -> int:
        return self.rows + self.second_attempt_rows

    @property
    def info(self) -> RunInfo:
        return RunInfo(
            run_id=self.run_id,
            project="the-project",
            name=f"name of {self.run_id}",
            created_ns=START_NS,
            group="the-group",
            job_type="train",
            tags=self.tags,
            notes="some notes",
            config=self.config,
            sink_options={"wandb": self.options},
        )


def stream(
    *, rank: int = 0, attempt: int = 1, role: str = "trainer", stream_id: str = ""
) -> Stream:
    return Stream(
        stream_id or f"{attempt:016x}{rank:016x}",
        rank,
        world_size=1,
        attempt=attempt,
        role=role,
        host="host",
        pid=1,
        opened_ns=START_NS,
    )


def entries_of(script: Script) -> list[Entry]:
    made: list[Entry] = []
    _attempt(made, script, attempt=1, first=0, rows=script.rows)
    if script.second_attempt_rows:
        _attempt(made, script, attempt=2, first=script.rows, rows=script.second_attempt_rows)
    return made


def _attempt(made: list[Entry], script: Script, *, attempt: int, first: int, rows: int) -> None:
    writer = stream(attempt=attempt)
    config = script.config if attempt == 1 else {"attempt": attempt}
    opened = records.Open(
        time_ns=START_NS, project="the-project", name="name", config=json.dumps(config)
    )
    made.append(Event(writer, 0, first, opened))
    last = first + rows
    for count, at in enumerate(range(first, last, script.rows_per_entry), 1):
        end = min(at + script.rows_per_entry, last)
        made.append(Rows(writer, at + 1, at, [_row(n, script.values) for n in range(at, end)]))
        made.extend(_extra(x) for x in script.extras if at < x["after"] <= end)
        if script.media_every and count % script.media_every == 0:
            made.append(Event(writer, end, end, _media(count // script.media_every, end)))
    if script.status is not None:
        closed = records.Close(
            time_ns=START_NS,
            status=script.status,  # type: ignore[arg-type]
            exit_code=script.exit_code,
        )
        made.append(Event(writer, last + 1, last, closed))


def _extra(extra: dict) -> Entry:
    writer = stream(rank=extra.get("rank", 0), role=extra.get("role", "trainer"))
    if "row" in extra:
        return Rows(writer, 1, extra["after"], [Row(*extra["row"])])
    item = msgspec.convert({"time_ns": START_NS, **extra["item"]}, type=records.Item)
    return Event(writer, 1, extra["after"], item)


def _row(number: int, values: int) -> Row:
    rest = {f"v{n}": number + n / 10 for n in range(1, values)}
    return Row(1_000_000 - number, START_NS + number * 10**9, {"i": number, **rest})


def _media(turn: int, step: int) -> records.Media:
    common = {"name": f"media/{turn}", "step": step, "time_ns": START_NS + turn}
    match turn % 4:
        case 0:
            pixels = np.full((8, 8, 3), turn % 256, dtype=np.uint8)
            return records.Image(pixels=array(pixels), caption="a picture", **common)
        case 1:
            values = np.linspace(0, turn, 1000, dtype=np.float32)
            return records.Histogram(values=array(values), **common)
        case 2:
            return records.TextItem(text=f"<b>{turn}</b> & more", **common)
        case _:
            return records.Table(
                columns=["a", "b"], rows=json.dumps([[1, "x"], [turn, None]]), **common
            )


def array(values: np.ndarray) -> records.Array:
    kind = "b1" if values.dtype.kind == "b" else f"{values.dtype.kind}{values.dtype.itemsize}"
    return records.Array(dtype=kind, shape=list(values.shape), data=values.tobytes())  # type: ignore[arg-type]
