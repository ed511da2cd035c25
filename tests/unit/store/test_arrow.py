"""Arrow's columns by their buffers are what pyarrow itself would make of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from exptrack_daemon.store import arrow
from exptrack_daemon.store.arrow import array_of, column_of, words_of


def test_columns_are_what_pyarrow_says_in_one_piece_or_several_with_nulls_and_cut() -> None:
    whole = pa.chunked_array([[1.5, None, 3.0], [], [None], [float("inf"), -0.0]], pa.float64())
    for first in range(7):
        for last in range(first, 7):
            column = whole.slice(first, last - first)
            expected = column.to_numpy()
            np.testing.assert_array_equal(array_of(column, np.float64), expected)
    times = pa.chunked_array([[5, 6], [7]], pa.timestamp("ns", tz="UTC"))
    assert array_of(times.slice(1), np.int64).tolist() == [6, 7]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 1000])
def test_numbers_become_what_pyarrow_makes_of_them(length: int) -> None:
    random = np.random.default_rng(length)
    values, missing = random.normal(size=length), random.random(length) < 0.3
    for mask in (None, missing, np.zeros(length, bool), np.ones(length, bool)):
        assert column_of(values, pa.float64(), mask).equals(pa.array(values, mask=mask))
    steps = np.arange(2 * length)[::2]
    assert column_of(steps, pa.int64()).equals(pa.array(steps))


@pytest.mark.parametrize("words", [[], ["a"], ["", "\u00df\n", "a"], [None, "x", None], [None]])
def test_texts_become_what_pyarrow_makes_of_them(
    words: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words_of(words).equals(pa.array(words, pa.string()))
    monkeypatch.setattr(arrow, "_MOST_TEXT_BYTES", 0)
    assert words_of(words).equals(pa.array(words, pa.string()))
