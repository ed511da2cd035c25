"""The hot path and everything odd that leaves it: nothing raises, only the odd value is lost, and said."""

from __future__ import annotations

import gc
import itertools
import logging
import signal
import sys
import threading
import time
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import msgpack
import numpy as np
import pytest

from exptrack_agent import Image, Misuse, Text
from exptrack_agent.given import split_row
from exptrack_agent.hotpath import IS_COMPILED, HotRowLog
from exptrack_agent.rows import MAX_ITEM_BYTES, RowLog
from exptrack_agent.scalars import ScalarLog
from exptrack_proto.frame import Kind
from exptrack_proto.limits import MAX_ROW_BYTES, MAX_STEP, MIN_STEP
from exptrack_proto.records import Alert, Row, TextItem
from tests.unit.agent import boxes
from tests.unit.agent.boxes import MIB, event, rows_in, sent, stored, values_in


@pytest.fixture(
    autouse=True,
    params=[
        pytest.param(ScalarLog, id="python"),
        pytest.param(
            HotRowLog,
            id="compiled",
            marks=pytest.mark.skipif(
                not IS_COMPILED, reason="needs the compiled hot path (a C compiler at install)"
            ),
        ),
    ],
)
def make_log(request: pytest.FixtureRequest) -> Callable[..., RowLog]:
    """Every test here is run with each of the two hot paths."""
    return partial(boxes.make_log, kind=request.param)


@pytest.fixture
def log(make_log, tmp_path) -> RowLog:
    return make_log(tmp_path, segments=64)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="exptrack")
    return caplog


class Raises:
    """Whatever is asked of it, it raises."""

    def _raise(self, *args: object) -> None:
        raise RuntimeError("own code")

    __float__ = __index__ = __repr__ = __str__ = __len__ = __eq__ = _raise
    __hash__ = None


CLOSE = msgpack.packb({"kind": "close", "time_ns": 1, "status": "finished", "exit_code": 0})


# --- steps ----------------------------------------------------------------------------------------


def test_a_step_that_is_not_given_is_one_more_than_the_last(log):
    for step in (None, None, 10, None, 3, None):
        log.log({"a": 1}, step=step)
    assert [row.step for row in rows_in(log)] == [0, 1, 10, 11, 3, 4]


def test_steps_may_go_back_and_stand_still(log):
    for step in (5, 5, 2, -7, MIN_STEP, MAX_STEP):
        log.log({"a": 1}, step=step)
    assert [row.step for row in rows_in(log)] == [5, 5, 2, -7, MIN_STEP, MAX_STEP]


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        (3.0, 3),
        (np.int32(3), 3),
        (np.float32(3), 3),
        (np.float64(3), 3),
        (np.array(3), 3),
        (True, 1),
        (1e18, 10**18),
    ],
    ids=["float", "int32", "float32", "float64", "array", "bool", "large"],
)
def test_whole_steps_of_any_type_are_taken(log, said, step, kept):
    log.log({"a": 1}, step=step)
    assert [row.step for row in rows_in(log)] == [kept]
    assert said.messages == []


def test_torch_steps_are_taken(log):
    torch = pytest.importorskip("torch")
    log.log({"a": 1}, step=torch.tensor(4))
    log.log({"a": 1}, step=torch.tensor(5.0))
    assert [row.step for row in rows_in(log)] == [4, 5]


@pytest.mark.parametrize(
    "step", ["7", 3.5, float("nan"), float("inf"), [1], Raises(), np.ones(2), 1j, b"1"]
)
def test_what_is_no_step_is_said_and_the_next_step_is_used(log, said, step):
    log.log({"a": 1}, step=41)
    log.log({"a": 2}, step=step)
    assert [row.step for row in rows_in(log)] == [41, 42]
    assert log.refused == 1
    assert len(said.messages) == 1
    assert "a step is a whole number" in said.text


def test_a_step_on_a_device_is_not_read(log, said):
    class OnDevice:
        device = type("Device", (), {"type": "cuda"})()

        def __index__(self) -> int:
            raise AssertionError("this would wait for the device")

        item = __index__

    log.log({"a": 1}, step=OnDevice())
    assert [row.step for row in rows_in(log)] == [0]
    assert len(said.messages) == 1


@pytest.mark.parametrize(
    ("step", "kept"),
    [(2**63, MAX_STEP), (10**5000, MAX_STEP), (-(2**63) - 1, MIN_STEP), (1e30, MAX_STEP)],
    ids=["next", "huge", "low", "float"],
)
def test_a_step_beyond_64_bits_becomes_the_nearest(log, said, step, kept):
    log.log({"a": 1}, step=step)
    assert [row.step for row in rows_in(log)] == [kept]
    assert "beyond 64 bits" in said.text


def test_after_the_last_step_there_the_last_step_comes_again(log):
    log.log({"a": 1}, step=MAX_STEP)
    log.log({"a": 2})
    log.log({"a": [1], "b": 3})
    assert [row.step for row in rows_in(log)] == [MAX_STEP] * 3


# --- values ---------------------------------------------------------------------------------------


def test_nan_and_infinities_are_kept(log):
    log.log({"a": float("nan"), "b": float("inf"), "c": float("-inf"), "d": np.float32("nan")})
    (values,) = values_in(log)
    assert values["a"] != values["a"]
    assert values["d"] != values["d"]
    assert (values["b"], values["c"]) == (float("inf"), float("-inf"))


ODD_VALUES = [
    [1.0, 2.0],
    (1, 2),
    b"bytes",
    bytearray(b"x"),
    memoryview(b"x"),
    {1, 2},
    object(),
    1j,
    np.ones(1_000_000),
    np.array(["a", "b"]),
    np.datetime64("2026-01-01"),
    Raises(),
    {1: 2},
    {"x": [1]},
    {"a": {"b": {"c": {"d": 1}}}},
    lambda: 1,
    float,
    [],
    (),
]


@pytest.mark.parametrize(
    "odd", ODD_VALUES, ids=[f"{n}-{type(v).__name__}" for n, v in enumerate(ODD_VALUES)]
)
def test_one_odd_value_costs_only_itself_and_is_said_once(log, said, odd):
    for number in range(3):
        log.log({"before": number, "odd": odd, "after": "text"}, step=number)

    kept = [(row.step, row.values["before"], row.values["after"]) for row in rows_in(log)]
    assert kept == [(0, 0, "text"), (1, 1, "text"), (2, 2, "text")]
    assert log.refused == 3
    assert len(said.messages) == 1
    assert "odd" in said.messages[0]


def test_a_value_that_turns_odd_after_good_ones_is_found(log):
    log.log({"a": 1.0, "b": 2.0})
    log.log({"a": 1.0, "b": [1, 2]})
    log.log({"a": 1.0, "b": b"x"})
    log.log({"a": 1.0, "b": {"c": {2: 1}}})
    log.log({"a": 1.0, "b": 3.0})
    assert values_in(log) == [{"a": 1, "b": 2}, {"a": 1}, {"a": 1}, {"a": 1}, {"a": 1, "b": 3}]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (2**64 - 1, 2**64 - 1),
        (2**64, float(2**64)),
        (-(2**63) - 1, float(-(2**63) - 1)),
        (10**400, float("inf")),
        (np.uint64(2**63), 2**63),
        ("a\ud800", "a?"),
        ("\x00\x1b[31m", "\x00\x1b[31m"),
        (None, None),
        (np.float64(0.5), 0.5),
        (True, True),
    ],
)
def test_values_at_the_edge_are_kept(log, said, value, kept):
    log.log({"a": value, "b": 1})
    assert values_in(log) == [{"a": kept, "b": 1}]
    assert said.messages == []


def test_torch_values_are_kept(log, said):
    torch = pytest.importorskip("torch")
    log.log(
        {
            "loss": torch.tensor(0.5, requires_grad=True),
            "bf16": torch.tensor(1.5, dtype=torch.bfloat16),
            "half": torch.tensor([0.25], dtype=torch.float16),
            "int": torch.tensor(3),
            "many": torch.ones(5),
        }
    )
    assert values_in(log) == [{"loss": 0.5, "bf16": 1.5, "half": 0.25, "int": 3}]
    assert len(said.messages) == 1


def test_a_long_text_is_kept_and_one_beyond_a_frame_is_left_out_alone(log, said):
    log.log({"a": "x" * 500_000, "b": 1})
    assert [len(values["a"]) for values in values_in(log)] == [500_000]
    log.log({"a": "x" * 600_000, "b": 2})
    assert values_in(log)[1:] == [{"b": 2}]
    assert "left out" in said.text
    assert log.refused == 1


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "../../etc/passwd", "a/b", "/", "\x00\n\x1b", "é漢😀", "a" * 1024, "~", ".", "con", " "],
)
def test_any_text_of_up_to_1024_characters_is_a_name(log, said, name):
    log.log({name: 1.0})
    assert values_in(log) == [{name: 1.0}]
    assert said.messages == []


@pytest.mark.parametrize("name", [1, None, b"a", ("a",), 1.5, "a" * 1_025, "a" * 10_000])
def test_what_is_no_name_costs_only_its_value(log, said, name):
    log.log({"a": 1, name: 2, "b": 3})
    log.log({"a": 4, name: 5, "b": 6})
    assert values_in(log) == [{"a": 1, "b": 3}, {"a": 4, "b": 6}]
    assert log.refused == 2
    assert len(said.messages) == 1


def test_a_name_with_a_surrogate_is_kept_with_a_question_mark(log):
    log.log({"a\udc80": 1, "b": 2})
    assert values_in(log) == [{"a?": 1, "b": 2}]


def test_a_key_whose_own_code_raises_costs_only_its_value(log):
    class Key:
        def __hash__(self) -> int:
            return hash("a")

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("own code")

    for number in range(3):
        log.log({Key(): 1, "b": number})
    assert values_in(log) == [{"b": 0}, {"b": 1}, {"b": 2}]


def test_thousands_of_wrong_names_take_no_quadratic_time(log):
    log.log(dict.fromkeys(range(50_000), 1) | {"good": 1})
    assert values_in(log) == [{"good": 1}]
    assert log.refused == 50_000


def test_a_hundred_thousand_distinct_names_take_bounded_memory(log):
    for number in range(100_000):
        log.log({f"metric/{number}": 1.0}, step=number)
    assert len(log._name_sets) <= 256
    assert log.rows == 100_000


def test_wide_rows_of_ever_new_names_take_bounded_memory(make_log, tmp_path):
    log = make_log(tmp_path, segments=64)
    for turn in range(40):
        log.log({f"{turn}/{'name' * 10}/{number}": 1.0 for number in range(9_000)})
    assert log._remembered_bytes < 10 * MIB
    assert log._remembered_bytes == sum(len(known.row) for known in log._name_sets.values())


# --- mappings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mapping",
    [
        OrderedDict(a=1, b=2),
        MappingProxyType({"a": 1, "b": 2}),
        UserDict({"a": 1, "b": 2}),
        defaultdict(int, {"a": 1, "b": 2}),
        type("Sub", (dict,), {})(a=1, b=2),
    ],
    ids=lambda mapping: type(mapping).__name__,
)
def test_any_mapping_is_taken(log, mapping):
    log.log(mapping)
    log.log({"in": mapping})
    assert values_in(log) == [{"a": 1, "b": 2}, {"in/a": 1, "in/b": 2}]


@pytest.mark.parametrize("odd", [None, 5, "loss", [("a", 1)], Raises(), {"a"}, b"", object()])
def test_what_is_no_mapping_is_said_once(log, said, odd):
    log.log(odd)
    log.log(odd, step=5)
    assert rows_in(log) == []
    assert log.refused == 2
    assert len(said.messages) == 1
    assert "log() takes a mapping" in said.text


def test_a_mapping_whose_own_code_raises_is_said(log, said):
    class Bad(Mapping):
        def __getitem__(self, key: str) -> float:
            raise KeyError(key)

        def __iter__(self):
            return iter("ab")

        def __len__(self) -> int:
            return 2

    log.log(Bad())
    log.log({"in": Bad(), "a": 1})
    assert values_in(log) == [{"a": 1}]
    assert log.refused == 2


def test_an_empty_row_is_kept(log):
    log.log({})
    log.log({"a": {}})
    assert values_in(log) == [{}, {}]


def test_a_dict_that_holds_itself_costs_only_what_is_too_deep(log):
    row: dict[str, object] = {"x": 1}
    row["me"] = row
    log.log(row)
    assert values_in(log) == [{"x": 1, "me/x": 1, "me/me/x": 1, "me/me/me/x": 1}]


def test_nested_mappings_are_kept_four_deep(log, said):
    log.log({"a": {"b": {"c": {"d": 1}}}, "e": 2})
    assert values_in(log) == [{"a/b/c/d": 1, "e": 2}]
    assert said.messages == []


def test_a_dict_that_a_value_s_own_code_changes_is_still_one_whole_row(log):
    class Changing:
        def __init__(self, row: dict[str, object]) -> None:
            self.row = row

        def __float__(self) -> float:
            self.row.pop("first", None)
            self.row["added"] = 1.0
            return 0.5

    for _ in range(3):
        row: dict[str, object] = {"first": 1.0}
        row |= {"odd": Changing(row), "last": 2.0}
        log.log(row)
    assert all(values["odd"] == 0.5 and values["last"] == 2.0 for values in values_in(log))
    assert len(rows_in(log)) == 3


def test_a_dict_that_another_thread_changes_is_logged_or_said_and_never_torn(log):
    shared: dict[str, object] = {f"m{number}": 1.0 for number in range(50)}
    shared["tensor"] = np.float32(1)
    ended = threading.Event()

    def change() -> None:
        number = 0
        while not ended.is_set():
            shared[f"new{number % 40}"] = 1.0
            shared.pop(f"new{(number - 20) % 40}", None)
            number += 1

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for step in range(2_000):
            log.log(shared, step=step)
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(interval)
    log.close_rows()
    rows = sent(log._box)  # every frame decodes
    assert [row.step for row in rows] == list(range(2_000))


def test_a_very_wide_row_is_split_and_nothing_of_it_is_lost(log):
    wide = {f"layer/{number}/gradient/norm": float(number) for number in range(50_000)}
    log.log({"a": 1.0}, step=6)
    log.log(wide, step=7)
    rows = rows_in(log)[1:]
    assert len(rows) > 1
    assert {row.step for row in rows} == {7}
    assert len({row.time_ns for row in rows}) == 1
    assert {name: value for row in rows for name, value in row.values.items()} == wide
    assert log.last_values() == {"a": 1.0, **wide}


def test_a_wide_nested_row_is_split_too(log):
    wide = {f"gradient/{number}": float(number) for number in range(40_000)}
    log.log({"layers": wide})
    found = {name: value for row in rows_in(log) for name, value in row.values.items()}
    assert found == {f"layers/{name}": value for name, value in wide.items()}


def test_more_names_than_a_row_may_have_are_split_even_when_short(log):
    many = {f"{number:x}": 1 for number in range(70_000)}
    log.log(many, step=1)
    log.log(many, step=2)
    found = [(row.step, name) for row in rows_in(log) for name in row.values]
    assert len(found) == len(set(found)) == 140_000


def test_parts_of_a_split_row_fit(log):
    row = log._pack((1, 2, {f"name{number}": "x" * 100 for number in range(20_000)}))
    parts = list(split_row(row))
    assert max(map(len, parts)) <= MAX_ROW_BYTES


# --- strict ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "step"),
    [
        (None, None),
        ({1: 2}, None),
        ({"a": object()}, None),
        ({"a": [1]}, None),
        ({"a": np.ones(2)}, None),
        ({"a" * 2000: 1}, None),
        ({"a": 1}, "x"),
        ({"a": 1}, 2**63),
        ({"a": "x" * 600_000}, None),
        ({"a": {"b": {"c": {"d": {"e": 1}}}}}, None),
        ({"img": Image("no such file")}, None),
    ],
)
def test_strict_raises_at_once_and_the_next_row_is_logged(make_log, tmp_path, said, data, step):
    log = make_log(tmp_path, strict=True)
    with pytest.raises(Misuse):
        log.log(data, step=step)
    log.log({"after": 1}, step=9)
    assert (rows_in(log)[-1].step, rows_in(log)[-1].values) == (9, {"after": 1})
    assert said.messages == []


def test_what_is_kept_is_no_misuse(make_log, tmp_path):
    log = make_log(tmp_path, strict=True)
    log.log({"a": float("nan"), "b": 2**70, "": 1, "c": np.float32(1), "../d": None}, step=3.0)
    assert len(rows_in(log)) == 1


# --- media ----------------------------------------------------------------------------------------


def test_media_travel_beside_the_row_of_the_same_step(log):
    log.log({"a": 1, "note": Text("hello"), "in": {"image": Image(np.zeros((2, 2)))}}, step=4)
    row, text, image = [item.item for item in stored(log._box._places.ring)]
    assert (row.step, row.values) == (4, {"a": 1})
    assert (text.name, text.step, text.text) == ("note", 4, "hello")
    assert (image.name, image.step) == ("in/image", 4)
    assert row.time_ns == text.time_ns == image.time_ns


def test_media_that_raises_costs_only_itself(log, said):
    class Bad:
        exptrack_media = True

        def items(self, name: str, step: int, time_ns: int) -> list[dict[str, object]]:
            raise OSError("no codec")

    log.log({"a": 1, "bad": Bad(), "worse": Image("no such file.png"), "good": Text("x")})
    kinds = [type(item.item) for item in stored(log._box._places.ring)]
    assert kinds == [Row, TextItem]
    assert log.refused == 2
    assert "no codec" in said.text


def test_an_item_that_no_frame_can_hold_is_refused(log, said):
    class Large:
        exptrack_media = True

        def items(self, name: str, step: int, time_ns: int) -> list[dict[str, object]]:
            return [{"kind": "text", "text": "x" * MAX_ITEM_BYTES}]

    log.log({"a": 1, "large": Large()})
    assert [type(item.item) for item in stored(log._box._places.ring)] == [Row]
    assert "too large" in said.text


def test_encoding_media_does_not_hold_up_another_thread(log):
    encoding, encoded = threading.Event(), threading.Event()

    class Slow:
        exptrack_media = True

        def items(self, name: str, step: int, time_ns: int) -> list[dict[str, object]]:
            encoding.set()
            encoded.wait(10)
            return []

    thread = threading.Thread(target=lambda: log.log({"slow": Slow()}))
    thread.start()
    encoding.wait(10)
    log.log({"a": 1})
    assert values_in(log) == [{"a": 1}]
    encoded.set()
    thread.join()


def test_pieces_of_two_threads_images_do_not_mix(make_log, tmp_path):
    log = make_log(tmp_path, burst_segments=64)
    image = Image(np.zeros((1024, 700, 3), np.uint8))
    threads = [
        threading.Thread(target=lambda: [log.log({"image": image}) for _ in range(3)])
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [type(item.item).__name__ for item in stored(log._box._places.ring)]
    assert names == ["Chunk"] * 5 + ["Image"] + (["Chunk"] * 5 + ["Image"]) * 5


# --- handlers, threads ----------------------------------------------------------------------------


def test_threads_of_one_run_lose_and_double_nothing(make_log, tmp_path):
    log = make_log(tmp_path, segments=64, burst_segments=64)

    def work(number: int) -> None:
        for step in range(3_000):
            log.log({f"thread/{number}": float(step)}, step=step)
            if step % 500 == 0:
                log.put_item(event(f"{number}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        log.close_rows()
        time.sleep(0.001)
    log.close_rows()

    rows = [item for item in sent(log._box) if isinstance(item, Row)]
    for number in range(4):
        name = f"thread/{number}"
        assert [row.step for row in rows if name in row.values] == list(range(3_000))
    assert len(sent(log._box)) == log.sequence


def test_a_signal_handler_that_logs_inside_log_loses_and_tears_nothing(make_log, tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB, segments=64, burst_segments=128)
    fired = itertools.count()

    def handler(number: int, frame: object) -> None:
        mine = next(fired)  # another one may come while this one logs
        log.log({"handler": float(mine)}, step=mine)
        log.put_item(event(str(mine)))

    wide = {f"metric/{number}": np.float32(number) for number in range(30)}
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0003)
    try:
        end = time.monotonic() + 1
        step = 0
        while time.monotonic() < end and step < 100_000:  # more would fill memory and spool
            log.log(wide if step % 3 else {"plain": 1.0}, step=step)
            if step % 50 == 0:
                log.log({"text": Text("x" * 1000), "list": [1]}, step=step)
            step += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    log.close_rows()

    items = sent(log._box)
    count = next(fired)
    assert count > 100
    handled = sorted(r.step for r in items if isinstance(r, Row) and "handler" in r.values)
    assert handled == list(range(count))
    told = sorted(int(item.title) for item in items if isinstance(item, Alert))
    assert told == list(range(count))
    logged = [
        r.step for r in items if isinstance(r, Row) and ("plain" in r.values or len(r.values) == 30)
    ]
    assert logged == list(range(step))
    assert sum(isinstance(item, TextItem) for item in items) == (step + 49) // 50
    assert len(items) == log.sequence
    assert [item.sequence for item in stored(log._box._places.ring)] == list(range(log.sequence))


@pytest.mark.parametrize("value", [1.0, np.float32(1), [1]], ids=["plain", "odd", "refused"])
def test_the_garbage_collector_may_run_code_that_logs_inside_the_packer(make_log, tmp_path, value):
    log = make_log(tmp_path, segment_bytes=MIB, segments=64, burst_segments=128)
    beside: list[dict[str, object]] = []

    def collected(phase: str, _: object) -> None:
        if phase == "start" or is_inside.locked():
            return
        with is_inside:
            for given in (value, float(len(beside))):
                beside.append({"finalizer": given})
                log.log(beside[-1], step=-1)

    is_inside = threading.Lock()
    before = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(3)  # so that a dict's items in the packer are enough
    try:
        for step in range(300):
            log.log({f"metric/{number}": float(step) for number in range(1 + step % 7)}, step=step)
            log.log({"scalar": np.float32(step)}, step=step)
    finally:
        gc.callbacks.remove(collected)
        gc.set_threshold(*before)
    log.close_rows()

    items = sent(log._box)
    assert [row.values for row in items if row.step < 0] == [
        row for row in beside if type(row["finalizer"]) is not list
    ]
    assert len(beside) > 200
    mine = [row.values for row in items if row.step >= 0]
    assert mine[1::2] == [{"scalar": step} for step in range(300)]
    assert mine[::2] == [
        {f"metric/{number}": step for number in range(1 + step % 7)} for step in range(300)
    ]


def test_an_interrupt_inside_log_leaves_whole_rows_and_a_log_that_goes_on(make_log, tmp_path):
    log = make_log(tmp_path, segment_bytes=MIB, segments=64, burst_segments=256)

    def handler(number: int, frame: object) -> None:
        nonlocal signals
        signals += 1
        raise KeyboardInterrupt

    def interrupted_in_log() -> None:
        nonlocal interrupts
        had = signals
        try:
            signal.setitimer(signal.ITIMER_REAL, dice)
            while signals == had:  # Python swallows an exception that meets a finalizer
                log.log(wide, step=0)
                log.put_item(big)
        except KeyboardInterrupt:
            interrupts += 1

    interrupts = signals = 0
    big = event("x" * 1000)
    wide = {f"metric/{number}": np.float32(number) for number in range(3_000)}
    before = signal.signal(signal.SIGALRM, handler)
    try:
        gc.disable()  # finalizers of whatever other tests left
        for number in range(300):
            dice = 0.0002 + 0.00001 * (number % 97)
            interrupted_in_log()
            log.log({"after": float(number)}, step=number)
    finally:
        gc.enable()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    log.close_rows()

    items = sent(log._box)
    assert interrupts == 300
    after = [row.step for row in items if isinstance(row, Row) and "after" in row.values]
    assert after == list(range(300))
    assert len(items) == log.sequence
    assert [item.sequence for item in stored(log._box._places.ring)] == list(range(log.sequence))


def test_ending_the_run_in_a_handler_while_an_item_is_placed_keeps_the_close_last(
    make_log, tmp_path
):
    log = make_log(tmp_path, segment_bytes=MIB)
    box = log._box
    turn = box.turn

    def ended_while_turning(*args: object, **options: object) -> object:
        segment = turn(*args, **options)
        box.turn = turn
        log.end(CLOSE, "over")
        return segment

    box.turn = ended_while_turning
    while log._box is not None:
        log.log({f"m{number}": 1.0 for number in range(1_000)})
    log.log({"late": 1})

    items = sent(box)
    assert items[-1].status == "finished"
    assert all(isinstance(item, Row) for item in items[:-1])
    assert stored(tmp_path / "ring")[-1].item == items[-1]


def test_a_fault_of_ours_costs_one_row_and_never_raises(log, said, monkeypatch):
    def broken(*args: object) -> bool:
        raise ZeroDivisionError

    log.log({"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(log, "_make_room", broken)
        log.put_item(event("lost"))
        log.log({"a": 2})
    log.log({"a": 3})
    assert values_in(log) == [{"a": 1}, {"a": 3}]
    assert (log.rows, log.refused, log.dropped) == (2, 2, 0)
    assert "ZeroDivisionError" in said.text


def test_words_are_said_when_no_lock_is_held(log):
    free: list[bool] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            def other_thread() -> None:
                free.append(log.lock.acquire(timeout=1))
                log.lock.release()

            thread = threading.Thread(target=other_thread)
            thread.start()
            thread.join()

    logger, handler = logging.getLogger("exptrack"), Handler()
    logger.addHandler(handler)
    try:
        log.log({"a": object()})
        log.log({1: 1})
        log.log({"a": 1}, step="x")
        log.log(None)
    finally:
        logger.removeHandler(handler)
    assert free == [True] * 4


# --- the rest -------------------------------------------------------------------------------------


def test_last_values_are_those_of_every_metric(log):
    log.log({"a": 1, "b": 1})
    log.log({"c": {"d": 1}})
    log.log({"a": 2, "b": 2})
    log.log({"a": 3})
    log.log({"bad": object(), "e": 5})
    assert log.last_values() == {"a": 3, "b": 2, "c/d": 1, "e": 5}


def test_a_log_without_a_box_takes_everything_and_keeps_only_the_last_values(said):
    log = RowLog(None, strict=False)
    for number in range(3):
        log.log({"a": number, "bad": object()})
    assert log.put_item(event("x")) is False
    assert log.last_values() == {"a": 2}
    assert (log.sequence, log.rows, log.dropped) == (0, 0, 0)


def test_after_the_end_rows_are_refused_and_said_once(log, said):
    box = log.end(CLOSE, "run r is finished")
    for _ in range(3):
        log.log({"a": 1})
    assert log.refused == 3
    assert len(said.messages) == 1
    assert "run r is finished" in said.text
    assert len(sent(box)) == 1


def test_the_cost_of_a_call_is_sampled(log):
    log.__dict__["log"] = log.log_timed
    log.log({"a": 1})
    log.log({"a": 2})
    assert len(log.costs_ns) == 1
    log.costs_ns = [1] * 4096
    log.log_timed({"a": 3})
    assert len(log.costs_ns) == 4096


def test_a_forked_child_s_log_is_silent_and_has_fresh_locks(log, said):
    log.lock.acquire()
    log._waiting.append((b"x", Kind.EVENT))
    log._placing = True
    before = log.sequence
    log.reset_after_fork()
    assert log.lock.acquire(blocking=False)
    log.lock.release()
    log.log({"a": 1, "bad": object()})
    assert log.sequence == before
