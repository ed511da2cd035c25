"""From frames to entries: who wrote them, which attempt it was, and media put together from its chunks.

Pure, and a function of the journal alone: whoever replays a journal from its start gets the same entries
with the same ordinals. The state after any frame can be kept (`dump`) and taken up again (`load`).
"""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import islice
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
    Loss,
    Open,
)
from exptrack_proto.records import (
    Event as EventItem,
)

FOR_WANDB = "_wandb"
"""In a config update: what is meant for the W&B sink, and is no part of the config."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_MOST_PIECES = 768
"""Three arrays of a histogram, each in at most 256 chunks."""


@dataclass(slots=True)
class _Pieces:
    """Chunks of one stream that wait for their media item, each with where it stands."""

    waiting: deque[tuple[Position, bytes]] = field(default_factory=deque)
    size: int = 0

    def add(self, start: Position, data: bytes) -> None:
        """Keep a chunk; the oldest go when there are more than any item can have."""
        self.waiting.append((start, data))
        self.size += len(data)
        while self.size > MAX_BLOB_BYTES or len(self.waiting) > _MOST_PIECES:
            self.size -= len(self.waiting.popleft()[1])


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
            return Rows(stream, frame.first, found.start.rows, body)
        item = self._join(frame.stream, body)
        if isinstance(body, Close):
            self.closed.add(frame.stream)
        return Event(stream, frame.first, found.start.rows, item)

    def safe(self, end: Position) -> Position:
        """From where a new replay must read to go on after `end`: chunks that still wait are read again."""
        waits = (pieces.waiting[0][0] for pieces in self._pieces.values() if pieces.waiting)
        return min([end, *waits])

    def dump(self) -> dict[str, Any]:
        """The state as JSON values, for a cursor.

        A config stays a text: it may hold what other JSON encoders refuse or change, such as NaN.
        """
        config, options = json.dumps(self.run.config), json.dumps(self.run.sink_options)
        run = {
            **_builtins(replace(self.run, config={}, sink_options={})),
            "json": [config, options],
        }
        streams = {stream.hex(): msgspec.to_builtins(info) for stream, info in self.streams.items()}
        closed = [stream.hex() for stream in sorted(self.closed)]
        return {"run": run, "streams": streams, "closed": closed}

    def load(self, saved: dict[str, Any]) -> None:
        """Take up a state that `dump` gave."""
        run = msgspec.convert(saved["run"], RunInfo)
        if "json" in saved["run"]:
            config, options = map(json_object, saved["run"]["json"])
            run = replace(run, config=config, sink_options=options)
        self.run = run
        self.closed = {bytes.fromhex(stream) for stream in saved["closed"]}
        self.streams = {
            bytes.fromhex(stream): msgspec.convert(info, Stream)
            for stream, info in saved["streams"].items()
        }

    def _open(self, frame: Frame, item: Open) -> None:
        if self.run.created_ns == 0 and item.role == "trainer":
            self.run = _run_info(frame.run_id, item)
        if frame.stream in self.streams:
            return  # read again, after a cursor that waits for chunks
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
        self._pieces.setdefault(frame.stream, _Pieces()).add(start, chunk.data)

    def _join(self, stream: bytes, item: Close | EventItem | Open) -> Close | EventItem | Open:
        """Media with the bytes that stand in the chunks before it; other items as they are.

        Its chunks are the last ones. Earlier ones belong to media that was lost before it was whole, and
        after a loss there is no telling: such media comes with bytes missing, never with another's.
        """
        if not isinstance(item, Image | Histogram | Graph):
            if isinstance(item, Loss | Close):
                self._pieces.pop(stream, None)
            return item
        pieces = self._pieces.pop(stream, _Pieces())
        arrays = {name: getattr(item, name) for name in item.__struct_fields__}
        chunked = {n: a for n, a in arrays.items() if isinstance(a, Array) and a.chunks}
        wanted = sum(array.chunks for array in chunked.values())
        data = [data for _, data in pieces.waiting]
        rest = iter(data[len(data) - wanted :] if wanted <= len(data) else [])
        return msgspec.structs.replace(
            item,
            **{
                name: Array(array.dtype, array.shape, 0, b"".join(islice(rest, array.chunks)))
                for name, array in chunked.items()
            },
        )


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


def without_asides(update: dict[str, Any]) -> dict[str, Any]:
    """A config update without what is meant for a sink alone (`define_metric` tells the W&B sink in one)."""
    return {name: value for name, value in update.items() if name != FOR_WANDB}


def json_object(text: str) -> dict[str, Any]:
    """A JSON text that should be an object; anything else becomes `{"value": …}` or, unreadable, {}.

    Half of a surrogate pair (Python escapes an undecodable file name so) becomes "?": no backend takes it.
    """
    try:
        value = json.loads(text)
        if _SURROGATE.search(text):
            value = _encodable(value)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {"value": value}


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _builtins(run: RunInfo) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(run)
    return plain


def with_config(run: RunInfo, update: dict[str, Any]) -> RunInfo:
    """The run with config keys merged in."""
    return replace(run, config={**run.config, **update})
