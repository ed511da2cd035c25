"""From frames to entries: who wrote them, which attempt it was, and media put together from its chunks.

Pure, and a function of the journal alone: whoever replays a journal from its start gets the same entries
with the same ordinals. The state after any frame can be kept (`dump`) and taken up again (`load`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from exptrack_daemon.journal.entries import Entry, Event, Rows, RunInfo, Stream
from exptrack_daemon.journal.position import Position
from exptrack_daemon.journal.reader import Found
from exptrack_proto.codec import decode
from exptrack_proto.frame import Frame, parse
from exptrack_proto.limits import MAX_BLOB_BYTES
from exptrack_proto.records import (
    Array,
    Chunk,
    Close,
    Graph,
    Histogram,
    Image,
    Open,
    Row,
)
from exptrack_proto.records import (
    Event as EventItem,
)


@dataclass(slots=True)
class _Pieces:
    """Chunks of one stream that wait for their media item."""

    since: Position
    data: list[bytes] = field(default_factory=list)
    size: int = 0


class Replay:
    """Folds frames, in journal order, into entries."""

    def __init__(self, run_id: str) -> None:
        self.run = RunInfo(run_id, project="", name=run_id, created_ns=0)
        self.streams: dict[bytes, Stream] = {}
        self.closed: set[bytes] = set()
        self._pieces: dict[bytes, _Pieces] = {}

    @property
    def has_ended(self) -> bool:
        """Every trainer that began has closed its stream."""
        trainers = {stream for stream, info in self.streams.items() if info.role == "trainer"}
        return bool(trainers) and trainers <= self.closed

    def entries(self, found: Found) -> Entry | None:
        """The entry that a durable frame holds; None for a chunk.

        Raises:
            ProtocolError: the frame does not decode (it was written by a newer exptrack, or by a bug).
        """
        frame = parse(found.frame)
        body = decode(frame)
        if isinstance(body, Open):
            self._open(frame, body)
        if isinstance(body, Chunk):
            self._keep(frame, body, found.start)
            return None
        stream = self.streams.get(frame.stream) or self._unknown(frame)
        if isinstance(body, list):
            return _rows(stream, frame, found, body)
        item = self._join(frame.stream, body)
        if isinstance(body, Close):
            self.closed.add(frame.stream)
            self._pieces.pop(frame.stream, None)
        return Event(stream, frame.first, found.start.rows, item)

    def safe(self, end: Position) -> Position:
        """From where a new replay must read to go on after `end`: chunks that still wait are read again."""
        return min([end, *(pieces.since for pieces in self._pieces.values())])

    def dump(self) -> dict[str, Any]:
        """The state as JSON values, for a cursor."""
        streams = {stream.hex(): msgspec.to_builtins(info) for stream, info in self.streams.items()}
        closed = [stream.hex() for stream in sorted(self.closed)]
        return {"run": msgspec.to_builtins(self.run), "streams": streams, "closed": closed}

    def load(self, saved: dict[str, Any]) -> None:
        """Take up a state that `dump` gave."""
        self.run = msgspec.convert(saved["run"], RunInfo)
        self.closed = {bytes.fromhex(stream) for stream in saved["closed"]}
        self.streams = {
            bytes.fromhex(stream): msgspec.convert(info, Stream)
            for stream, info in saved["streams"].items()
        }

    def _open(self, frame: Frame, item: Open) -> None:
        if self.run.created_ns == 0 and item.role == "trainer":
            self.run = _run_info(frame.run_id, item)
        before = [s for s in self.streams.values() if (s.role, s.rank) == (item.role, item.rank)]
        self.streams[frame.stream] = Stream(
            stream_id=frame.stream.hex(),
            rank=item.rank,
            world_size=item.world_size,
            attempt=len(before) + 1,
            role=item.role,
            host=item.host,
            pid=item.pid,
            opened_ns=item.time_ns,
        )

    def _unknown(self, frame: Frame) -> Stream:
        """A stream whose `open` was lost to damage: its rows still count, as rank 0's."""
        stream = Stream(frame.stream.hex(), 0, 1, 1, "trainer", "", 0, 0)
        self.streams[frame.stream] = stream
        return stream

    def _keep(self, frame: Frame, chunk: Chunk, start: Position) -> None:
        pieces = self._pieces.setdefault(frame.stream, _Pieces(start))
        pieces.size += len(chunk.data)
        if pieces.size <= MAX_BLOB_BYTES:
            pieces.data.append(chunk.data)

    def _join(self, stream: bytes, item: Close | EventItem | Open) -> Close | EventItem | Open:
        pieces = self._pieces.pop(stream, None) if _has_arrays(item) else None
        if pieces is None:
            return item
        rest = iter(pieces.data)
        changes: dict[str, Array] = {}
        for name in item.__struct_fields__:
            array = getattr(item, name)
            if isinstance(array, Array) and array.chunks:
                data = b"".join(piece for _, piece in zip(range(array.chunks), rest, strict=False))
                changes[name] = Array(array.dtype, array.shape, 0, data)
        return msgspec.structs.replace(item, **changes)


def _has_arrays(item: object) -> bool:
    return isinstance(item, Image | Histogram | Graph)


def _rows(stream: Stream, frame: Frame, found: Found, rows: list[Row]) -> Rows:
    return Rows(stream, frame.first, found.start.rows, rows)


def _run_info(run_id: str, item: Open) -> RunInfo:
    return RunInfo(
        run_id=run_id,
        project=item.project,
        name=item.name,
        created_ns=item.time_ns,
        group=item.group,
        job_type=item.job_type,
        tags=tuple(item.tags),
        notes=item.notes,
        config=json_object(item.config),
        sinks=None if item.sinks is None else tuple(item.sinks),
        sink_options=json_object(item.sink_options),
    )


def json_object(text: str) -> dict[str, Any]:
    """A JSON text that should be an object; anything else becomes `{"value": …}` or, unreadable, {}."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {"value": value}


def with_config(run: RunInfo, update: dict[str, Any]) -> RunInfo:
    """The run with config keys merged in."""
    return replace(run, config={**run.config, **update})
