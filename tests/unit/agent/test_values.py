"""What becomes a number, what is refused, and that reading a value never waits for a device."""

from __future__ import annotations

import decimal
import fractions
from collections import OrderedDict
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

from exptrack_agent import Text
from exptrack_agent.values import (
    IsMedia,
    NotScalar,
    clean_text,
    coerce_scalar,
    fit,
    flat_names,
    is_on_accelerator,
    is_sound,
    plain_values,
    shown,
)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (np.float32(0.5), 0.5),
        (np.float16(2), 2.0),
        (np.int64(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.array(7), 7),
        (np.array([[1.5]]), 1.5),
        (np.longdouble(2.5), 2.5),
        (decimal.Decimal("1.5"), 1.5),
        (fractions.Fraction(1, 4), 0.25),
        (np.str_("a"), "a"),
    ],
)
def test_scalars_of_other_libraries_become_plain_numbers(value, number):
    plain = coerce_scalar(value)

    assert plain == number
    assert type(plain) in (float, int, bool, str)


def test_torch_scalars_become_plain_numbers():
    torch = pytest.importorskip("torch")

    assert coerce_scalar(torch.tensor(0.5)) == 0.5
    assert coerce_scalar(torch.tensor(0.5, requires_grad=True)) == 0.5
    assert coerce_scalar(torch.tensor(3)) == 3
    assert coerce_scalar(torch.tensor([[2.0]])) == 2.0
    assert coerce_scalar(torch.tensor(1.5, dtype=torch.bfloat16)) == 1.5
    assert coerce_scalar(torch.tensor(True)) is True
    with pytest.raises(NotScalar, match="Histogram"):
        coerce_scalar(torch.ones(3))
    with pytest.raises(NotScalar):
        coerce_scalar(torch.ones((), device="meta"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.ones(3), r"shape \(3,\).*Histogram"),
        (np.ones(0), r"shape \(0,\)"),
        (np.complex64(1j), "real and imag"),
        (1j, "complex is no number"),
        (object(), "object is no number"),
        ([1, 2], "list is no number"),
    ],
)
def test_what_is_not_one_number_is_refused_with_what_to_do(value, words):
    with pytest.raises(NotScalar, match=words):
        coerce_scalar(value)


def test_media_is_known_by_its_type_not_by_an_attribute_that_answers_to_anything():
    with pytest.raises(IsMedia):
        coerce_scalar(Text("a"))

    class Anything:
        def __getattr__(self, name: str) -> object:
            return self

    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it raises, it is no medium
        coerce_scalar(Anything())
    assert not isinstance(caught.value, IsMedia)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (SimpleNamespace(type="cuda"), True),
        (SimpleNamespace(type="mps"), True),
        (SimpleNamespace(type="cpu"), False),
        (SimpleNamespace(type="meta"), False),
        (SimpleNamespace(platform="gpu"), True),
        (SimpleNamespace(platform="cpu"), False),
        ("cpu", False),
        ("/job:localhost/replica:0/task:0/device:GPU:0", True),
        ("/job:localhost/replica:0/task:0/device:CPU:0", False),
        (None, False),
    ],
)
def test_devices_of_torch_jax_and_tensorflow_are_told_from_the_cpu(device, expected):
    assert is_on_accelerator(SimpleNamespace(device=device)) is expected


def test_a_cupy_array_is_on_a_device():
    array = type("Array", (), {"__cuda_array_interface__": {}, "device": object()})()
    assert is_on_accelerator(array)
    assert not is_on_accelerator(np.float32(1))


def test_a_tensor_on_a_device_is_refused_and_never_read():
    class OnDevice:
        device = SimpleNamespace(type="cuda")

        def item(self) -> float:
            raise AssertionError("this would wait for the device")

        __float__ = __repr__ = __str__ = item

    with pytest.raises(NotScalar, match="accelerator"):
        coerce_scalar(OnDevice())
    assert "OnDevice" in shown(OnDevice())


@pytest.mark.parametrize(
    ("value", "fitted"),
    [
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (2**64, float(2**64)),
        (-(2**70), -float(2**70)),
        (10**400, float("inf")),
        (-(10**400), float("-inf")),
        ("a\ud800b", "a?b"),
        (None, None),
        (True, True),
    ],
)
def test_values_are_fitted_into_64_bits_and_utf8(value, fitted):
    assert fit(value) == fitted


def test_a_row_is_taken_apart_into_what_can_be_kept_and_what_is_wrong():
    parts = plain_values(
        {
            "good": 1,
            "nested": {"x": np.float32(2), "bad": object()},
            "proxy": MappingProxyType({"y": 3}),
            "ordered": OrderedDict(z=4),
            "array": np.ones(2),
            "text": Text("hello"),
            "in": {"text": Text("x")},
            3: 1,
            "a\ud800": 5,
        }
    )

    assert parts.plain == {
        "good": 1,
        "nested": {"x": 2.0},
        "proxy": {"y": 3},
        "ordered": {"z": 4},
        "a?": 5,
    }
    assert [name for name, _ in parts.media] == ["text", "in/text"]
    assert [fault.name for fault in parts.faults] == ["nested/bad", "array", "3"]


def test_a_value_or_mapping_whose_own_code_raises_costs_only_itself():
    class Bad:
        def __float__(self) -> float:
            raise ZeroDivisionError

    class BadMapping(dict):
        def keys(self):
            raise OSError

        def __iter__(self):
            raise OSError

    parts = plain_values({"a": 1, "bad": Bad(), "map": BadMapping(x=1), "b": 2})

    assert parts.plain == {"a": 1, "b": 2}
    assert [(fault.name, fault.reason) for fault in parts.faults] == [
        ("bad", "reading it raised ZeroDivisionError"),
        ("map", "reading it raised OSError"),
    ]


def test_mappings_are_kept_four_deep_and_joined_names_stay_within_bounds():
    parts = plain_values({"a": {"b": {"c": {"d": 1, "e": {"f": 2}}}}})
    assert parts.plain == {"a": {"b": {"c": {"d": 1}}}}
    assert [fault.name for fault in parts.faults] == ["a/b/c/e"]

    long = plain_values({"a" * 600: {"b" * 500: 1, "c": 2}})
    assert long.plain == {"a" * 600: {"c": 2}}


def test_a_mapping_that_holds_itself_ends():
    row: dict[str, object] = {"x": 1}
    row["row"] = row
    assert plain_values(row).plain["x"] == 1


@pytest.mark.parametrize(
    ("row", "sound"),
    [
        ({"a": 1.0, "b": "text", "c": None}, True),
        ({"a": {"b": {"c": {"d": 1}}}}, True),
        ({"a": {"b": {"c": {"d": {}}}}}, False),
        ({"a": [1]}, False),
        ({"a": (1,)}, False),
        ({"a": b"x"}, False),
        ({"a": {"b": bytearray(1)}}, False),
        ({"a": {1: 2}}, False),
        ({"a" * 1024: 1}, True),
        ({"a" * 1025: 1}, False),
        ({"a" * 600: {"b" * 423: 1}}, True),
        ({"a" * 600: {"b" * 424: 1}}, False),
    ],
)
def test_what_msgpack_packs_is_not_always_a_row(row, sound):
    assert is_sound(row) is sound


def test_flat_names_joins_nested_names_by_slashes():
    assert flat_names({"a": {"b": {"c": 1}}, "d": 2}) == {"a/b/c": 1, "d": 2}


def test_clean_text_replaces_lone_surrogates_and_keeps_all_else():
    assert clean_text("é\x00\udc80") == "é\x00?"


def test_shown_is_short_and_runs_no_code_of_the_value():
    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown(Bad()) == "an object of type Bad"
    assert len(shown("x" * 10_000)) < 100
    assert shown(10**5000) == "a number of very many digits"
    assert shown(None) == "None"
