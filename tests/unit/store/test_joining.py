"""Cells of an attempt that a later one replaced in part: cells up to the border, points for the rest."""

from __future__ import annotations

import numpy as np
import pytest

from exptrack_daemon.store.compaction import Sizes
from exptrack_daemon.store.parts import DiskPart
from exptrack_daemon.store.reader import HomeReader, open_home
from exptrack_daemon.store.scanning import series_of
from exptrack_daemon.store.series import cells_of
from exptrack_proto.records import Row
from tests.support.homes import START_NS, HomeBuilder
from tests.support.stores import deliver

BORDER, END = 1_100, 3_000
SIZES = Sizes(chunk_points=1_000, merge_parts=3, merged_points=10_000, cells_from=500)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> HomeReader:
    """A run that was resumed from step 1,100, with a spike just before that, and with equal steps."""
    home = tmp_path_factory.mktemp("home")
    run = HomeBuilder(home).run("r")
    for attempt, first in ((1, 0), (2, BORDER)):
        trainer = run.stream()
        rows = [
            Row(step, START_NS + step // 2, {"loss": float(attempt * 10_000 + number)})
            for number, step in enumerate(np.repeat(np.arange(first, END), 2).tolist())
        ]
        if attempt == 1:
            rows[2 * (BORDER - 1)] = Row(BORDER - 1, START_NS, {"loss": 1e9})
        for start in range(0, len(rows), 700):
            trainer.rows(*rows[start : start + 700])
        trainer.close()
    run.close()
    deliver(home, "r", sizes=SIZES)
    return open_home(home)


def test_there_are_cells_to_read(reader: HomeReader) -> None:
    parts = [part for part in reader.parts("r") if isinstance(part, DiskPart)]
    found = [
        level.shift for part in parts for key in part.slices for level in part.levels(key, "step")
    ]
    assert found
    assert min(found) <= 7


@pytest.mark.parametrize("width", [1, 64, 128, 256, 1024, 4096])
@pytest.mark.parametrize(("lo", "hi"), [(0, END), (BORDER - 1, BORDER), (900, 1_300)])
def test_cells_are_those_of_the_points_that_count(
    reader: HomeReader, width: int, lo: int, hi: int
) -> None:
    series = series_of(reader._entries("r"), ["loss"], rank=0, system=False)["loss"]
    assert len(reader.series("r", ["loss"])["loss"]) == len(series) == 2 * END
    for axis, first, last in (("step", lo, hi), ("time", START_NS + lo // 2, START_NS + hi // 2)):
        expected = cells_of(series, axis=axis, lo=first, hi=last, width=width)  # type: ignore[arg-type]
        found = reader.cells("r", ["loss"], axis=axis, lo=first, hi=last, width=width)["loss"]  # type: ignore[arg-type]
        for column in ("count", "min", "max", "last", "last_ns", "nan"):
            np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))
        np.testing.assert_allclose(found.mean, expected.mean)
