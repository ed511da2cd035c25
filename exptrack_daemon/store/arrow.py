"""Between numpy and Arrow, by buffers.

Where pandas is installed, `pa.array` and `to_numpy` import it: half a second, and 40 MB in each process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from exptrack_daemon.store.series import Array

_MOST_TEXT_BYTES = np.iinfo(np.int32).max


def array_of(column: Any, kind: Any) -> Array:
    """A `pyarrow.ChunkedArray` of numbers as numpy sees it; float64 that is null is NaN."""
    pieces = [_piece_of(chunk, np.dtype(kind)) for chunk in column.chunks if len(chunk)]
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate([np.empty(0, kind), *pieces])


def _piece_of(chunk: Any, kind: Any) -> Array:
    valid, data = chunk.buffers()
    which = slice(chunk.offset, chunk.offset + len(chunk))
    values: Array = np.frombuffer(data, kind, which.stop)[which]
    if valid is None or not chunk.null_count:
        return values
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
    return np.where(bits[which], values, np.nan)


def column_of(values: Array, kind: Any, missing: Array | None = None) -> Any:
    """A `pyarrow.Array` of numbers of this type, whose bytes are those of the array; null where `missing`."""
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [_validity(missing), data])


def words_of(words: Sequence[str | None]) -> Any:
    """A `pyarrow.Array` of texts."""
    encoded = [b"" if word is None else word.encode() for word in words]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    if ends[-1] > _MOST_TEXT_BYTES:
        return pa.array(words, pa.string())
    missing = np.array([word is None for word in words], bool)
    buffers = [
        _validity(missing),
        pa.py_buffer(ends.astype(np.int32)),
        pa.py_buffer(b"".join(encoded)),
    ]
    return pa.Array.from_buffers(pa.string(), len(words), buffers)


def _validity(missing: Array | None) -> Any:
    if missing is None or not missing.any():
        return None
    return pa.py_buffer(np.packbits(~missing, bitorder="little"))
