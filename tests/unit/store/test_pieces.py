"""Points in memory as a part, and what is not loaded for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from exptrack_daemon.store.columns import Points, SeriesKey, sort
from exptrack_daemon.store.pieces import MemoryPart, PartName, Wanted
from tests.support.homes import HomeBuilder

LOSS = SeriesKey("trainer", 0, "loss", 1)
NOTE = SeriesKey("trainer", 0, "note", 1, is_number=False)
_YOUNG = """
import sys
from exptrack_daemon.store import open_home
reader = open_home(sys.argv[1])
assert reader.metrics("r")[0].points == 3
assert reader.series("r", ["loss"])["loss"].values.tolist() == [0, 1, 2]
assert reader.cells("r", ["loss"], width=4, lo=0, hi=3)["loss"].count.tolist() == [3]
assert not {"pyarrow", "pandas", "duckdb"} & set(sys.modules)
"""


def test_a_part_in_memory_knows_its_series_and_ends_after_its_last_point():
    columns = np.array([2, 1, 1]), np.array([20, 10, 10]), np.array([2.0, np.nan, 1.0])
    points = Points(
        *((LOSS, NOTE), np.array([0, 1, 0], np.int32), *columns),
        *(np.array([7, 6, 5]), np.array([0, 5, 0], np.uint8), {}),
    )
    part = MemoryPart(sort(points))
    assert (len(part), part.end) == (3, 8)
    ((key, place),) = part.series("trainer", 0, "loss")
    assert (key, place[1:]) == (LOSS, (2, 1, 2, 10, 20))
    assert part.series("trainer", 0, "note") == part.levels(LOSS, "step") == ()
    ((at, raw),) = part.raws([Wanted(LOSS)])
    assert (at, raw.values.tolist()) == (0, [1.0, 2.0])


def test_a_part_in_memory_may_be_empty():
    none = np.empty(0)
    part = MemoryPart(Points((), none, none, none, none, none, none, {}))
    assert (len(part), part.end, part.slices) == (0, 0, {})


def test_a_merged_part_has_cells_beside_its_points():
    assert PartName(0, 5, 0).files == ("000000000000000-000000000000005.parquet",)
    assert PartName(0, 5, 1).files[1] == "000000000000000-000000000000005.cells"


def test_a_run_that_is_in_no_part_yet_is_charted_without_a_parquet_library(tmp_path: Path):
    run = HomeBuilder(tmp_path).run("r")
    stream = run.stream()
    for step in range(3):
        stream.log({"loss": float(step)}, step)
    run.close()
    subprocess.run([sys.executable, "-c", _YOUNG, str(tmp_path)], check=True, timeout=60)
