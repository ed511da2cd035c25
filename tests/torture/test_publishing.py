"""A kill may come between any two stores: bytes stand in the black box before its head counts them."""

from __future__ import annotations

from exptrack_agent.rows import RowLog
from exptrack_proto.frame import Kind
from exptrack_proto.ring import CELL_HEAD, head_of
from tests.unit.agent.boxes import event, make_log, values_in


class WatchedMemory:
    """A segment's memory that notes what its head says whenever bytes are stored."""

    def __init__(self, memory: memoryview, cells: memoryview) -> None:
        self.memory, self.cells = memory, cells
        self.heads: list[tuple[int, int]] = []
        """Of each store: its end, and the head at that time."""

    def __setitem__(self, where: slice, data: bytes) -> None:
        self.heads.append((where.stop, head_of(self.cells[CELL_HEAD])))
        self.memory[where] = data


def test_bytes_are_stored_before_the_head_counts_them(tmp_path):
    log = make_log(tmp_path, kind=RowLog)
    log._memory = watched = WatchedMemory(log._memory, log._cells)
    log.log({"a": 1.0})
    log.put_item(event("between"), Kind.EVENT)
    log.log({"a": 2.0})
    assert len(watched.heads) == 3
    assert all(head < end for end, head in watched.heads)
    assert head_of(log._cells[CELL_HEAD]) == watched.heads[-1][0]
    assert values_in(log) == [{"a": 1.0}, {"a": 2.0}]
