from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exptrack_daemon.store.pieces import PartUnusable
from exptrack_daemon.store.row_groups import FORMAT, META, RowGroups, Span
from tests.support.homes import HomeBuilder

ROWS, SIZE = 47, 10


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> RowGroups:
    """Rows 0 to 46, ten a group; `x` is twice the row's number."""
    return written(tmp_path_factory.mktemp("rows") / "x.parquet")


def written(path: Path, version: int = FORMAT) -> RowGroups:
    table = pa.table({"x": pa.array([2 * row for row in range(ROWS)], pa.int64())})
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.add_key_value_metadata({META: msgspec.json.encode({"format": version})})
        writer.write_table(table, row_group_size=SIZE)
    return RowGroups(path)


spans = st.tuples(st.integers(0, ROWS - 1), st.integers(1, ROWS)).map(
    lambda span: Span(span[0], min(span[1], ROWS - span[0]))
)


@given(st.lists(spans, min_size=1, max_size=6))
def test_each_span_finds_its_rows_whatever_else_is_read(file: RowGroups, asked: list[Span]) -> None:
    table, places = file.read(asked)
    column = table.column("x").to_pylist()
    pieces: list[list[int]] = [[] for _ in asked]
    for group, found in file.each(asked, ["x"]):
        assert len(group) <= SIZE
        for at, where in found:
            pieces[at] += group.column("x").to_pylist()[where]
    for span, place, piece in zip(asked, places, pieces, strict=True):
        expected = [2 * row for row in range(span.first, span.first + span.length)]
        assert column[place] == piece == expected


@example(Span(0, ROWS), 2 * SIZE - 2, 0)
@example(Span(0, ROWS), 2 * SIZE, 0)
@given(spans, st.integers(-5, 100), st.integers(0, 30))
def test_with_bounds_groups_outside_are_passed_over_and_no_row_inside_is(
    file: RowGroups, span: Span, lo: int, width: int
) -> None:
    bounded = span._replace(column="x", lo=lo, hi=lo + width)
    table, (place,) = file.read([bounded])
    found = table.column("x").to_pylist()[place]
    rows = [2 * row for row in range(span.first, span.first + span.length)]
    assert {x for x in rows if lo <= x <= lo + width} <= set(found) <= set(rows)
    assert len(table) <= width // 2 // SIZE * SIZE + 2 * SIZE


def test_what_is_gone_or_newer_or_no_parquet_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RowGroups(tmp_path / "x.parquet")
    with pytest.raises(PartUnusable, match="newer exptrack"):
        written(tmp_path / "newer.parquet", FORMAT + 1)
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    with pytest.raises(PartUnusable, match=r"junk\.parquet cannot be read"):
        RowGroups(tmp_path / "junk.parquet")
    file = written(tmp_path / "gone.parquet")
    file.path.unlink()
    with pytest.raises(FileNotFoundError):
        file.read([Span(0, 1)])


def test_neither_the_sink_nor_a_chart_imports_pandas(tmp_path: Path) -> None:
    run = HomeBuilder(tmp_path).run("r")
    stream = run.stream()
    for step in range(50):
        stream.log({"loss": 1 / (step + 1), "note": f"step {step}"}, step)
    stream.close()
    run.close()
    code = (
        "import sys; from exptrack_daemon.store.reader import open_home; home = open_home(sys.argv[1]);"
        "from pathlib import Path; from tests.support.stores import deliver; deliver(Path(sys.argv[1]), 'r');"
        "assert any(Path(sys.argv[1]).glob('runs/r/series/*.cells')), 'merged, and read again';"
        "found = home.cells('r', ['loss'], width=1, lo=0, hi=49)['loss']; home.series('r', ['loss']);"
        "print(int(found.count.sum()), 'pandas' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["50", "False"]
