"""The compiled hot path writes the very bytes that the one in Python writes, and leaves it what is odd."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exptrack_agent.hotpath import IS_COMPILED, HotRowLog
from exptrack_agent.rows import RowLog
from exptrack_proto.limits import MAX_STEP, MIN_STEP
from tests.unit.agent.boxes import close_boxes, make_log, rows_in, values_in

needs_compiled = pytest.mark.skipif(not IS_COMPILED, reason="needs the compiled hot path")

NUMBERS = st.one_of(
    st.floats(),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1]),
    st.sampled_from([-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)]),
    st.booleans(),
    st.floats(width=32).map(np.float32),
    st.floats(width=16).map(np.float16),
    st.floats().map(np.float64),
    st.integers(-128, 127).map(np.int8),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.booleans().map(np.bool_),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
ROWS = st.tuples(
    st.dictionaries(NAMES, NUMBERS, max_size=40),
    st.none() | st.integers(MIN_STEP, MAX_STEP),
)


def packed_rows(log: RowLog) -> list[bytes]:
    """The rows in the ring, without their times."""
    return [msgpack.packb((row.step, row.values)) for row in rows_in(log)]


@needs_compiled
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROWS, max_size=6))
def test_both_write_the_same_rows(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    compiled = make_log(tmp_path_factory.mktemp("c"), kind=HotRowLog)
    plain = make_log(tmp_path_factory.mktemp("p"), kind=RowLog)
    for log in (compiled, plain):
        for values, step in rows * 2:  # known from the second time on
            log.log(dict(values), step)
    assert packed_rows(compiled) == packed_rows(plain)
    assert compiled.sequence == plain.sequence
    last = [msgpack.packb(sorted(log.last_values().items())) for log in (compiled, plain)]
    assert last[0] == last[1]
    close_boxes()  # one example after another


@needs_compiled
@pytest.mark.parametrize("count", [1, 15, 16, 2_000])
def test_the_bytes_are_msgpack_s_own(tmp_path: Path, count: int) -> None:
    log = make_log(tmp_path)
    values = {f"metric/{number}": number / 7 for number in range(count)}
    log.log(values, 3)
    start = log._head
    log.log(values, 4)
    row = bytes(log._memory[start : log._head])
    step, time_ns, found = msgpack.unpackb(row)
    assert (step, found) == (4, values)
    assert row == msgpack.packb((step, time_ns, values))


@needs_compiled
def test_names_that_are_equal_but_not_the_same_object_are_known(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    for number in range(3):
        log.log({"".join(["lo", "ss"]): number, "".join(["größ", "e"]): 1.5})
        assert not log._wants_shape or number == 0
    assert values_in(log) == [{"loss": number, "größe": 1.5} for number in range(3)]


@needs_compiled
def test_more_combinations_of_names_than_are_kept_lose_no_last_value(tmp_path: Path) -> None:
    log = make_log(tmp_path, segments=64)
    for turn in range(3):
        for number in range(150):
            for value in (-1, turn):  # the second one by compiled code
                log.log({f"metric {number}": value, "all": number})
    assert len(log._last_rows()) == 64
    values = log.last_values()
    assert values["all"] == 149
    assert {values[f"metric {number}"] for number in range(150)} == {2}


@needs_compiled
def test_the_last_value_is_the_last_also_when_python_wrote_it(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    for value in (1, 2, 3):
        log.log({"a": value})
    log.log({"a": "text"})
    log.log({"b": 1})
    assert log.last_values() == {"a": "text", "b": 1}


@needs_compiled
def test_rows_too_large_for_the_table_go_through_python(tmp_path: Path) -> None:
    log = make_log(tmp_path, segments=64)
    wide = {f"{number:04d}{'x' * 600}": 1.0 for number in range(900)}
    log.log(wide)
    log.log(wide)
    assert log._last_rows() == []
    assert sum(len(values) for values in values_in(log)) == 1_800


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), {}),
        (({"a": 1}, 1, 2), {}),
        (({"a": 1},), {"steps": 1}),
        (({"a": 1}, 1), {"step": 1}),
        (({"a": 1},), {"data": {}}),
    ],
)
def test_wrong_arguments_are_a_type_error(tmp_path: Path, arguments: tuple, named: dict) -> None:
    log = make_log(tmp_path)
    with pytest.raises(TypeError, match=r"argument|takes"):
        log.log(*arguments, **named)
    assert rows_in(log) == []


def test_arguments_may_be_named(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    for number in range(2):
        log.log(data={"a": number}, step=number)
        log.log(step=number, data={"a": number})
    assert [row.step for row in rows_in(log)] == [0, 0, 1, 1]


@pytest.mark.parametrize("kind", [RowLog, HotRowLog])
def test_the_step_after_the_last_is_the_last(tmp_path: Path, kind: type[RowLog]) -> None:
    log = make_log(tmp_path, kind=kind)
    for step in (MAX_STEP - 1, None, None, MIN_STEP, None):
        log.log({"a": 1}, step)
    steps = [row.step for row in rows_in(log)]
    assert steps == [MAX_STEP - 1, MAX_STEP, MAX_STEP, MIN_STEP, MIN_STEP + 1]


def test_threads_that_log_plain_and_odd_rows_lose_and_double_nothing(tmp_path: Path) -> None:
    log = make_log(tmp_path, segments=64, burst_segments=64)
    count = 3_000
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(number: int) -> None:
        for turn in range(count):
            if turn % 3:
                log.log({"at": turn, f"of {number}": 1.0}, turn)
            else:
                log.log({"at": turn, f"of {number}": "text"}, turn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    rows = rows_in(log)
    assert log.sequence == len(rows) == 4 * count
    for number in range(4):
        mine = [row for row in rows if f"of {number}" in row.values]
        assert [row.step for row in mine] == list(range(count))
        assert all(row.values["at"] == row.step for row in mine)


@pytest.mark.parametrize("kind", [RowLog, HotRowLog])
def test_nothing_is_kept_of_values(tmp_path: Path, kind: type[RowLog]) -> None:
    log = make_log(tmp_path, kind=kind, segments=64)
    value, name = float("1.25"), "".join(["a ", "name"])
    log.log({name: value})
    counts = sys.getrefcount(value), sys.getrefcount(name)
    for _ in range(1_000):
        log.log({name: value})
    assert (sys.getrefcount(value), sys.getrefcount(name)) == counts


@needs_compiled
def test_a_log_is_garbage_like_any_other_object(tmp_path: Path) -> None:
    name = "".join(["kept", " name"])
    log = make_log(tmp_path)
    log.log({name: 1.0})
    log.log_scalar(name, 1.0, 0)
    log.me = log
    assert sys.getrefcount(name) > 3
    del log
    gc.collect()
    assert sys.getrefcount(name) == 2


@pytest.mark.parametrize(
    ("pure", "compiled"), [("", IS_COMPILED), ("0", IS_COMPILED), ("1", False)]
)
def test_the_environment_chooses_python(pure: str, compiled: bool) -> None:
    code = "from exptrack_agent import Run; from exptrack_agent.hotpath import IS_COMPILED as c; print(c)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "", "EXPTRACK_PURE": pure},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(compiled)
