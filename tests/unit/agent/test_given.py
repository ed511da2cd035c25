"""What callers give where it is no row yet (exptrack_agent.given)."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest

from exptrack_agent.given import made_plain, name_fault, rows_of, split_row, whole_number
from exptrack_proto.limits import MAX_METRICS_PER_ROW, MAX_NAME_CHARS, MAX_ROW_BYTES


class Fetched:
    """A 0-d tensor, as far as it matters here."""

    is_cuda = False

    def __init__(self, value: float) -> None:
        self.value = value

    def item(self) -> float:
        return self.value


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (3, 3),
        (True, 1),
        (2.0, 2),
        (2.5, None),
        (float("nan"), None),
        (np.int64(-7), -7),
        (Fetched(4.0), 4),
        (Fetched(4.5), None),
        ("3", None),
        (None, None),
    ],
)
def test_a_step_is_a_whole_number_of_whatever_type(given, number):
    assert whole_number(given) == number


def test_names_are_texts_of_bounded_length():
    assert name_fault("n" * MAX_NAME_CHARS) == ""
    assert f"more than {MAX_NAME_CHARS}" in name_fault("n" * (MAX_NAME_CHARS + 1))
    assert "is a text, not 3" in name_fault(3)


def test_only_the_odd_values_of_a_copy_become_plain():
    row = {"a": np.float32(1.5), "b": 2.0}
    assert made_plain(row, ("a",)) == {"a": 1.5, "b": 2.0}
    assert type(row["a"]) is np.float32


def test_too_many_or_too_large_values_become_several_rows_of_one_step_and_time():
    many = {f"m{number}": 1.0 for number in range(MAX_METRICS_PER_ROW + 1)}
    large = {f"t{number}": "x" * (MAX_ROW_BYTES // 3) for number in range(4)}
    for values in ({}, {"a": 1.0}, many, large):
        rows = [msgpack.unpackb(row) for row in rows_of(values, 5, 7)]
        assert all(row[:2] == [5, 7] for row in rows)
        assert {name: value for row in rows for name, value in row[2].items()} == values
        assert all(len(row[2]) <= MAX_METRICS_PER_ROW for row in rows)
    assert len(list(rows_of(many, 5, 7))) > 1 < len(list(rows_of(large, 5, 7)))


def test_a_row_with_nested_names_is_split_with_them_joined():
    packed = msgpack.packb((1, 2, {"a": {"b": 1.0}, "c": "x" * MAX_ROW_BYTES}))
    rows = [msgpack.unpackb(part)[2] for part in split_row(packed)]
    assert rows == [{"a/b": 1.0}, {"c": "x" * MAX_ROW_BYTES}]
