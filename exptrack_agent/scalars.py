"""One value of one name: half of what `log` with its mapping would cost, for drop-ins that get one at a time.

A row `[step, time_ns, {name: value}]` of one float has the same bytes for each name but for three numbers, so
a `struct` per name writes it in one call. What holds for `rows.RowLog.log` holds here: the bytes are stored
before the head is published, and nothing is called in between.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from time import time_ns

import msgpack

from exptrack_agent.blackbox import BlackBox
from exptrack_agent.rows import RowLog
from exptrack_proto.limits import MAX_NAME_CHARS
from exptrack_proto.ring import CELL_HEAD

_MOST_NAMES = 10_000
_INT64 = b"\x93\xd3"  # an array of three, whose first is a 64-bit integer
_UINT64 = 0xCF
_NUMBERS_BYTES = 2 + 8 + 1 + 8 + 8

_Pack = Callable[[bytes, int, int, int, bytes, float], bytes]


class ScalarLog(RowLog):
    """A `RowLog` that can also log one value of one name."""

    def __init__(self, box: BlackBox | None, *, strict: bool) -> None:
        super().__init__(box, strict=strict)
        self._shapes: dict[str, tuple[_Pack, bytes, int]] = {}

    def log_scalar(self, name: str, value: float, step: int) -> bool:
        """Append one row; False when it has to go the long way, through `log`."""
        try:
            pack, middle, size = self._shapes[name]
        except KeyError:
            if not self._learn(name):
                return False
            pack, middle, size = self._shapes[name]
        except TypeError:  # a tag that is no text
            return False
        with self.lock:
            try:
                row = pack(_INT64, step, _UINT64, time_ns(), middle, value)
            except struct.error:  # a step beyond 64 bits
                return False
            start = self._head
            end = start + size
            if end > self._limit:
                return False
            self._memory[start:end] = row
            self._cells[CELL_HEAD] = end | end << 21 | end << 42
            self._head = end
            self._sequence += 1
        return True

    def _learn(self, name: object) -> bool:
        """Remember how a row of this name is written; False when it is no name, or one too many."""
        if not isinstance(name, str) or len(name) > MAX_NAME_CHARS:
            return False
        if len(self._shapes) >= _MOST_NAMES:
            return False
        try:
            middle = b"\x81" + msgpack.packb(name) + b"\xcb"
        except UnicodeEncodeError:
            return False
        shape = struct.Struct(f">2sqBQ{len(middle)}sd")
        assert shape.size == _NUMBERS_BYTES + len(middle)
        self._shapes[name] = shape.pack, middle, shape.size
        return True
