"""Configs and summaries as JSON: anything goes in, nothing raises, hangs or grows without bound."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from exptrack_agent.jsontext import json_text


class Bad:
    def __str__(self) -> str:
        raise RuntimeError

    __float__ = __repr__ = __str__


@dataclasses.dataclass
class Point:
    x: float
    next: object = None


def plain(values: object) -> object:
    return json.loads(json_text({"v": values}, "config"))["v"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (0.5, 0.5),
        (True, True),
        (None, None),
        ("a\ud800", "a?"),
        (2**64 - 1, 2**64 - 1),
        (2**100, str(2**100)),
        (10**5000, "(int)"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (Path("/a"), "/a"),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({1: {2.5: None}}), {"1": {"2.5": None}}),
        (Point(1, Point(2)), {"x": 1, "next": {"x": 2, "next": None}}),
        (Bad(), "(Bad)"),
        (1j, "1j"),
        (b"x", "b'x'"),
        (int, "builtins.int"),
    ],
    ids=range(20),
)
def test_values_of_any_type_become_json(value, expected):
    assert plain(value) == expected


def test_nan_and_infinities_survive():
    assert json_text({"a": float("inf")}, "config") == '{"a": Infinity}'


def test_keys_of_any_type_become_texts():
    assert json.loads(json_text({1: 1, None: 2, (1, 2): 3, Bad(): 4}, "config")) == {
        "1": 1,
        "None": 2,
        "(1, 2)": 3,
        "(Bad)": 4,
    }


def test_what_holds_itself_says_so_and_ends_at_once():
    both: dict[str, object] = {"x": 1}
    both |= {"a": both, "b": both}
    loop: list[object] = [1]
    loop.append(loop)
    point = Point(1)
    point.next = point
    assert plain(both)["a"] == "(itself)"
    assert plain(loop) == [1, "(itself)"]
    assert plain(point) == {"x": 1, "next": "(itself)"}


def test_the_same_value_twice_is_no_recursion():
    shared = {"a": 1}
    assert plain([shared, shared]) == [{"a": 1}, {"a": 1}]


def test_a_tree_of_shared_branches_takes_bounded_time_and_room():
    tree: dict[str, object] = {"leaf": 1}
    for _ in range(30):
        tree = {"left": tree, "right": tree}
    began = time.monotonic()
    text = json_text(tree, "config")
    assert time.monotonic() - began < 5
    assert len(text) < 768 * 1024


def test_very_deep_values_end():
    deep: object = 1
    for _ in range(5_000):
        deep = [deep]
    assert "(list)" in json_text({"v": deep}, "config")


def test_a_huge_config_is_cut_to_fit_and_says_so(caplog):
    caplog.set_level(logging.WARNING, logger="exptrack")
    config = {"lr": 0.1, "long": "x" * 2_000_000, **{f"key{n}": "y" * 100 for n in range(20_000)}}
    text = json_text(config, "config", 500_000)
    found = json.loads(text)
    assert len(text) <= 500_000
    assert found["lr"] == 0.1
    assert found["long"].startswith('(cut) "xxx')
    assert len(found) > 3_000
    assert len(caplog.messages) == 1


def test_a_large_array_is_no_large_text():
    assert len(json_text({"w": np.zeros(1_000_000)}, "config")) < 2_000


def test_a_mapping_whose_own_code_raises_leaves_a_word():
    class Broken(dict):
        def keys(self):
            raise OSError

        def __iter__(self):
            raise OSError

    assert plain(Broken(a=1)) == {"": "(reading it raised OSError)"}


def test_a_tensor_on_a_device_is_named_and_not_read():
    class OnDevice:
        device = type("Device", (), {"type": "cuda"})()

        def item(self) -> float:
            raise AssertionError("this would wait for the device")

        __str__ = __repr__ = __float__ = item

    assert plain(OnDevice()) == "(OnDevice)"
