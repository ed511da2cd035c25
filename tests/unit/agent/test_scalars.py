"""One value of one name, as drop-ins log it: the row that `log` would have written, or left to `log`."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptrack_agent.hotpath import HotRowLog
from exptrack_agent.scalars import ScalarLog
from exptrack_proto.limits import MAX_NAME_CHARS
from exptrack_proto.records import Row
from tests.unit.agent.boxes import make_log, rows_in

# One and the same where the hot path is not compiled.
KINDS = pytest.mark.parametrize("kind", sorted({ScalarLog, HotRowLog}, key=str))


@KINDS
def test_a_row_of_one_float(tmp_path: Path, kind: type[ScalarLog]) -> None:
    log = make_log(tmp_path, kind=kind)
    assert log.log_scalar("tag", 0.5, 7)
    assert log.log_scalar("größe", -0.0, -1)
    first, second = rows_in(log)
    assert first == Row(7, first.time_ns, {"tag": 0.5})
    assert second == Row(-1, second.time_ns, {"größe": -0.0})
    assert log.sequence == 2


@KINDS
@pytest.mark.parametrize(
    ("name", "step"),
    [("tag", 2**70), ("t" * (MAX_NAME_CHARS + 1), 1), (7, 1), ([], 1), ("half \ud800", 1)],
)
def test_what_is_odd_is_left_to_log(
    tmp_path: Path, kind: type[ScalarLog], name: str, step: int
) -> None:
    log = make_log(tmp_path, kind=kind)
    assert not log.log_scalar(name, 0.5, step)
    assert rows_in(log) == []


@KINDS
def test_without_room_before_the_fence_log_makes_some(
    tmp_path: Path, kind: type[ScalarLog]
) -> None:
    log = make_log(tmp_path, kind=kind, segments=64)
    taken = 0
    for step in range(20_000):
        if log.log_scalar("tag", 0.5, step):
            taken += 1
        else:
            log.log({"tag": 0.5}, step)
    assert 0 < taken < 20_000
    assert [row.step for row in rows_in(log)] == list(range(20_000))
