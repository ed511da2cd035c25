"""Whether a reader's answers are those of the whole journal, read naively."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from exptrack_daemon.store.columns import Points
from exptrack_daemon.store.reader import HomeReader
from exptrack_daemon.store.scanning import metrics_of, series_of
from exptrack_daemon.store.series import Axis, Cells, cells_of

Window: TypeAlias = tuple[Axis, int, int, int]
"""Axis, lo, hi, width."""


def check_answers(reader: HomeReader, names: Sequence[str], windows: Sequence[Window]) -> None:
    """Metrics, series, cells and columns of run `r`, of ranks 0 and 1 and of the sampler."""
    entries = list(reader._entries("r"))
    assert reader.notices == []
    assert reader.metrics("r") == metrics_of(entries)
    for rank in (0, 1):
        for system in (False, True):
            expected = series_of(entries, names, rank=rank, system=system)
            found = reader.series("r", names, rank=rank, system=system)
            for name in names:
                for column in ("steps", "times_ns", "values"):
                    np.testing.assert_array_equal(
                        getattr(found[name], column), getattr(expected[name], column)
                    )
            for axis, lo, hi, width in windows:
                window: dict[str, Any] = {"axis": axis, "lo": lo, "hi": hi, "width": width}
                cells = reader.cells("r", names, rank=rank, system=system, **window)
                for name in names:
                    assert_same(cells[name], cells_of(expected[name], **window))
    for system in (False, True):
        columns = [c for chunk in reader.columns("r", system=system) for c in as_tuples(chunk)]
        assert repr(columns) == repr([tuple(p) for p in reader.points("r", system=system)])


def assert_same(found: Cells, expected: Cells) -> None:
    """Equal in all but the rounding of a mean."""
    assert (found.x0, found.width) == (expected.x0, expected.width)
    for column in ("count", "min", "max", "last", "last_ns", "nan", "pos_inf", "neg_inf"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column), column)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9, atol=1e-6)


def as_tuples(points: Points) -> list[tuple[Any, ...]]:
    """As `HomeReader.points` gives them."""
    keys = [points.keys[number] for number in points.series]
    return [
        (key.name, int(points.steps[at]), int(points.times_ns[at]), points.scalar(at), key.rank)
        for at, key in enumerate(keys)
    ]
