"""A run's journal entries as records of event files: which writer, which session, what an item becomes. Pure.

The whole of what the past means for the next entry is `state()`; it is saved with the cursor, and a failed
batch is undone by starting again from it.

Where things go: rank 0 in the run's own folder, rank r in `rank_r`, the sampler in `system`. The sampler
has a folder of its own because its steps count samples, not training steps, its attempts are not the
trainer's, and its tags could meet the user's.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.graph_pb2 import GraphDef

from exptrack_daemon.errors import BatchRejected
from exptrack_daemon.journal.entries import Entry, Event, Rows, RunInfo, Stream
from exptrack_daemon.journal.replay import without_asides
from exptrack_daemon.sinks.shown_names import ShownNames
from exptrack_daemon.sinks.tensorboard import events, hparams
from exptrack_daemon.sinks.tensorboard.arrays import to_numpy
from exptrack_daemon.sinks.tensorboard.graphs import graph_of_nodes
from exptrack_daemon.sinks.tensorboard.histograms import histogram_value
from exptrack_daemon.sinks.tensorboard.images import image_value
from exptrack_daemon.sinks.tensorboard.lanes import Lanes, Room
from exptrack_daemon.sinks.tensorboard.markdown import (
    alert_markdown,
    pairs_markdown,
    table_markdown,
)
from exptrack_daemon.sinks.tensorboard.options import names_of
from exptrack_daemon.sinks.tensorboard.writer import Named, Pages, Writer
from exptrack_proto.records import (
    Alert,
    Close,
    ConfigUpdate,
    Graph,
    Histogram,
    Hparams,
    Image,
    Media,
    Open,
    Table,
    TextItem,
)

_MOST_PENDING = 300
"""Config keys kept until the session starts; the state they stand in is small by contract."""


class Projection:
    """One run, from any saved state on."""

    def __init__(self, run: RunInfo, state: dict[str, Any] | None = None) -> None:
        self._run = run
        self._names = ShownNames(names_of(run))
        self._pages: Pages = defaultdict(list)
        self._room = Room()
        self._writers: dict[str, Writer] = {}
        self._states: dict[str, dict[str, Any]] = {}
        """Of the writers that were not touched since."""
        self._pending: dict[str, object] | None = {}
        """Config set before the session started; None once it has."""
        if state is not None:
            self._restore(state)

    def take(self, entries: Iterable[Entry]) -> dict[str, bytes]:
        """What the entries add to each folder's file.

        Raises:
            BatchRejected: an item cannot be shown; this object is then of no more use.
        """
        for entry in entries:
            writer = self._writer(_folder(entry.stream))
            writer.enter(entry.stream)
            if isinstance(entry, Rows):
                self._start_pending(entry.stream)
                writer.write_rows(entry.rows)
            else:
                self._take_event(entry, writer)
        pages = {folder: b"".join(records) for folder, records in self._pages.items() if records}
        self._pages.clear()
        return pages

    def state(self) -> dict[str, Any]:
        """JSON values, bounded (see `lanes`)."""
        for folder, writer in self._writers.items():
            if folder not in self._states:
                self._states[folder] = writer.state()
        return {"pending": self._pending, "writers": dict(self._states)}

    def _restore(self, state: dict[str, Any]) -> None:
        self._pending = None if state["pending"] is None else dict(state["pending"])
        for folder, saved in state["writers"].items():
            lanes = Lanes.from_state(folder, self._room, saved)
            self._writers[folder] = Writer(lanes, self._pages, self._run.created_ns, self._names)
            self._writers[folder].restore(saved)

    def _writer(self, folder: str) -> Writer:
        self._states.pop(folder, None)
        if folder not in self._writers:
            lanes = Lanes(folder, self._room)
            self._writers[folder] = Writer(lanes, self._pages, self._run.created_ns, self._names)
        return self._writers[folder]

    def _take_event(self, entry: Event, writer: Writer) -> None:
        match entry.item:
            case Image() | Histogram() | TextItem() | Table() as media:
                writer.write_values(_media_values(media), media.step, media.time_ns)
            case Hparams() as item:
                self._take_hparams(item, writer)
            case Graph() as item:
                writer.write_plain(events.graph_event(_graph(item), item.time_ns), item.time_ns)
            case Alert() as item:
                writer.write_note("alerts", alert_markdown(item), item.time_ns)
            case Open() | Close() | ConfigUpdate() as item if entry.stream.role == "trainer":
                self._take_lifetime(item, entry.stream)
            case _:
                pass  # summaries and losses have no place on TensorBoard's pages

    def _take_lifetime(self, item: Open | Close | ConfigUpdate, stream: Stream) -> None:
        if isinstance(item, Open):
            self._start_session(hparams.flatten(self._run.config))
        elif isinstance(item, ConfigUpdate):
            self._note_config(item)
        else:
            self._start_pending(stream)
            self._end_session(item, stream)

    def _note_config(self, item: ConfigUpdate) -> None:
        if self._pending is None:
            return
        changes = without_asides(_json_object(item.config, "a config update"))
        update = hparams.flatten(changes)
        merged = {**self._pending, **update}
        self._pending = dict(list(merged.items())[:_MOST_PENDING])

    def _start_pending(self, stream: Stream) -> None:
        if self._pending and stream.role == "trainer":
            self._start_session(self._pending)

    def _start_session(self, values: dict[str, object]) -> None:
        # Only a run's first session start counts on the page. So it waits until there is something to show:
        # the config given at the start, else what was set before the first row, else hparams of their own.
        if self._pending is None or not values:
            return
        self._pending = None
        start = hparams.session_start(values, self._run.created_ns)
        self._write_outside_steps(start, self._run.created_ns)

    def _end_session(self, item: Close, stream: Stream) -> None:
        end = hparams.session_end(item.outcome, item.time_ns)
        if self._pending is None and stream.rank == 0 and end is not None:
            self._write_outside_steps(end, item.time_ns)

    def _write_outside_steps(self, value: events.Value, time_ns: int) -> None:
        self._writer("").write_plain(events.summary_event(0, time_ns, [value]), time_ns)

    def _take_hparams(self, item: Hparams, writer: Writer) -> None:
        values = hparams.flatten(_json_object(item.hparams, "hparams"))
        metrics = _json_object(item.metrics, "the metrics of hparams")
        if self._pending is None and values:
            writer.write_note("hparams", pairs_markdown(values), item.time_ns)
        self._start_session({**(self._pending or {}), **values})
        named = [_metric(name, value) for name, value in metrics.items() if value is not None]
        if named:
            writer.write_values(named, writer.last_step, item.time_ns, own_step=False)


def _folder(stream: Stream) -> str:
    base = "system" if stream.role == "sampler" else ""
    if stream.rank == 0:
        return base
    return f"{base}/rank_{stream.rank}" if base else f"rank_{stream.rank}"


def _media_values(item: Media) -> list[Named]:
    match item:
        case Image():
            values: list[Named] = [(item.name, "image", image_value(item))]
            if item.caption:
                values.append((f"{item.name}/caption", "text", events.text(item.caption)))
            return values
        case Histogram():
            shown, left_out = histogram_value(item)
            values = [(item.name, "histogram", shown)]
            if left_out:
                values.append((f"{item.name}/nonfinite", "scalar", events.scalar(left_out)))
            return values
        case TextItem():
            return [(item.name, "text", events.text(item.text))]
        case Table():
            return [(item.name, "text", events.text(table_markdown(item)))]


def _metric(name: str, value: object) -> Named:
    if isinstance(value, int | float):
        try:
            return name, "scalar", events.scalar(value)
        except OverflowError:
            return name, "scalar", events.scalar(float("inf") if value > 0 else float("-inf"))
    return name, "text", events.text(value if isinstance(value, str) else json.dumps(value))


def _json_object(text: str, owner: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BatchRejected(f"{owner}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise BatchRejected(f"{owner}: JSON, but no object")
    return value


def _graph(item: Graph) -> bytes:
    if item.graph is None:
        return graph_of_nodes(item.nodes)
    graph = to_numpy(item.graph, "graph").tobytes()
    try:
        GraphDef.FromString(graph)
    except DecodeError as error:
        raise BatchRejected("graph: its bytes are no GraphDef") from error
    return graph
