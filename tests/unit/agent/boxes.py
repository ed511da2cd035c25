"""What stands in a black box, read as the daemon reads it; and boxes small enough to be filled."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from exptrack_agent.blackbox import BlackBox, Places
from exptrack_agent.hotpath import HotRowLog
from exptrack_agent.rows import RowLog
from exptrack_agent.settings import BoxLimits
from exptrack_proto.codec import decode, pack_frames, split_items
from exptrack_proto.frame import parse
from exptrack_proto.records import Row
from exptrack_proto.ring_reader import read_segment

STREAM = bytes(range(16))
MIB = 1024 * 1024


class Stored(NamedTuple):
    """An item with its sequence, decoded by the daemon's own decoder."""

    sequence: int
    item: Any


def make_box(tmp_path: Path, *, ring: bool = True, spool: bool = True, **limits: int) -> BlackBox:
    """A box with its places below `tmp_path`; `limits` override the usual ones."""
    places = Places(tmp_path / "ring" if ring else None, tmp_path / "spool" if spool else None)
    box = BlackBox("a-run", STREAM, places, BoxLimits(**{"keep_free_bytes": 0, **limits}))
    _made.append(box)
    return box


_made: list[BlackBox] = []


def close_boxes() -> None:
    """Give back the descriptors and the memory of all boxes made so far."""
    while _made:
        box = _made.pop()
        with contextlib.suppress(Exception):  # closed already, or broken by its test
            box.close(keep=False)


def make_log(
    tmp_path: Path, *, strict: bool = False, kind: type[RowLog] = HotRowLog, **limits: int
) -> RowLog:
    """A log of this kind over such a box."""
    return kind(make_box(tmp_path, **limits), strict=strict)


def stored(*folders: Path) -> list[Stored]:
    """All items in the segments of these folders; each must decode, and none stand twice."""
    found: dict[int, Any] = {}
    segments = [
        segment
        for folder in folders
        for path in folder.glob("*.seg")
        if (segment := read_segment(path.read_bytes())) is not None
    ]
    for segment in sorted(segments, key=lambda segment: segment.number):
        assert not segment.is_damaged
        for part in segment.parts:
            items = list(split_items(part.items))
            for data in pack_frames(segment.run_id, segment.stream, part.first, items):
                frame = parse(data)
                body = decode(frame)
                decoded = body if isinstance(body, list) else [body]
                for sequence, item in enumerate(decoded, frame.first):
                    assert found.get(sequence, item) == item
                    found[sequence] = item
    return [Stored(sequence, found[sequence]) for sequence in sorted(found)]


def rows_in(log: RowLog) -> list[Row]:
    """The rows in the ring of a box that is still open."""
    places = log._box._places
    folders = [folder for folder in (places.ring, places.spool) if folder is not None]
    return [item.item for item in stored(*folders) if isinstance(item.item, Row)]


def values_in(log: RowLog) -> list[dict[str, Any]]:
    """The values of each row."""
    return [row.values for row in rows_in(log)]


def sent(box: BlackBox) -> list[Any]:
    """Every item of the box's closed spans, as their frames hold them."""
    items: list[Any] = []
    for span in box.spans:
        body = decode(parse(span.frame(box.run_id, box.stream)))
        items += body if isinstance(body, list) else [body]
    return items


def event(text: str) -> bytes:
    """A packed item that is no row."""
    return msgpack.packb({"kind": "alert", "time_ns": 1, "title": text})
