"""Frames of very many rows, cut into shorter ones, so that no stream holds the intake for long. Pure.

A frame of 1 MiB may hold 65,536 rows, which take 30 to 200 ms. Nothing is decoded here, only told apart, and
the rows stay as they came; a frame that cannot be told apart stays whole, and the desk says what is wrong.
"""

from __future__ import annotations

from math import ceil

import msgspec

from exptrack_proto.frame import Frame, Kind, encode_header, parse, rows_prefix
from exptrack_proto.limits import FRAME_TARGET_BYTES

MOST_ROWS = 4_096
MOST_BYTES = 2 * FRAME_TARGET_BYTES
"""Agents send shorter ones, but for a single long row."""
_rows = msgspec.msgpack.Decoder(list[msgspec.Raw])
_DAMAGE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)


def pieces(
    frame: Frame, data: bytes, most_rows: int = MOST_ROWS, most_bytes: int = MOST_BYTES
) -> list[tuple[Frame, bytes]]:
    """The frame in pieces of about so many rows and bytes, each with its bytes; nearly always just itself."""
    count = max(ceil(frame.items / most_rows), ceil(len(data) / most_bytes))
    if frame.kind is not Kind.ROWS or count < 2:
        return [(frame, data)]
    try:
        rows = _rows.decode(frame.body)
    except _DAMAGE:
        return [(frame, data)]
    if len(rows) != frame.items:
        return [(frame, data)]
    step = ceil(len(rows) / count)
    made = (
        encode_header(Kind.ROWS, frame.run_id, frame.stream, frame.first + start, len(part))
        + rows_prefix(len(part))
        + b"".join(part)
        for start in range(0, len(rows), step)
        if (part := rows[start : start + step])
    )
    return [(parse(piece), piece) for piece in made]
