"""What `Run` writes its rows with: the compiled hot path where it was built, else the one in Python.

Both write the same bytes and pass the same tests; `EXPTRACK_PURE=1` in the environment chooses Python.

The compiled part (`_pen.c`) holds the counters of an append, and does the plain case in one step that no
thread or signal handler can get into. Everything odd comes back here and goes through `RowLog.log`, under the
lock. The two cannot meet: `RowLog` appends either between two of its calls, where CPython passes the
interpreter's lock to nobody, or with `_limit` at -1, which sends the compiled part here too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgpack

from exptrack_agent.blackbox import BlackBox, Segment
from exptrack_agent.rows import RowLog
from exptrack_agent.scalars import ScalarLog
from exptrack_agent.values import ITEM_KINDS
from exptrack_proto.limits import MAX_NAME_CHARS, MAX_ROW_BYTES
from exptrack_proto.ring import CELL_HEAD, HEAD_COPIES


def _find_pen() -> type | None:
    if os.environ.get("EXPTRACK_PURE", "") not in ("", "0"):
        return None
    try:
        from exptrack_agent._pen import Pen
    except ImportError:
        return None
    return Pen


_pen = _find_pen()
IS_COMPILED = _pen is not None

if TYPE_CHECKING or _pen is None:
    HotRowLog = ScalarLog
else:

    class HotRowLog(_pen, ScalarLog):
        """A `RowLog` whose plain rows are written by compiled code."""

        def __init__(self, box: BlackBox | None, *, strict: bool) -> None:
            self._kinds_told: set[type] = set()
            self._most_row_bytes, self._most_name_chars = MAX_ROW_BYTES, MAX_NAME_CHARS
            super().__init__(box, strict=strict)

        def last_values(self) -> dict[str, Any]:
            """As in `RowLog`."""
            for row in self._last_rows():
                self._keep_row(row)
            return super().last_values()

        def _log_slowly(self, data: Mapping[str, Any], step: int | None) -> None:
            """What the compiled part left alone."""
            wants_shape = self._wants_shape
            RowLog.log(self, data, step)
            for kind in ITEM_KINDS - self._kinds_told:
                self._kinds_told.add(kind)
                self._know_kind(kind)
            if wants_shape:
                for row in self._learn(self._names):
                    self._keep_row(row)

        def _enter_segment(self, segment: Segment) -> None:
            super()._enter_segment(segment)
            self._point_at(self._memory, self._cells, CELL_HEAD, HEAD_COPIES)

        def _keep_row(self, row: bytes) -> None:
            """The last row of these names, unless Python wrote a later one."""
            _, time, values = msgpack.unpackb(row)
            known = self._name_sets.get(names := tuple(values))
            if known is None or not known.row or msgpack.unpackb(known.row)[1] <= time:
                self._remember_row(names, row)
