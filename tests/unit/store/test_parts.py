from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from exptrack_daemon.store import parts
from exptrack_daemon.store.columns import Points, SeriesKey, sort
from exptrack_daemon.store.parts import DiskPart, cells_bytes, part_bytes
from exptrack_daemon.store.pieces import MemoryPart, PartName, PartUnusable, Wanted

N = 150_000
LOSS, ACC = SeriesKey("trainer", 0, "loss", 1), SeriesKey("trainer", 0, "acc", 1)


def made(n: int = N) -> Points:
    """Two series of n points each, as logged in rows of two."""
    steps = np.repeat(np.arange(n), 2)
    values = np.sin(np.arange(2 * n) / 100)
    ordinals = np.arange(2 * n)
    series = (ordinals % 2).astype(np.int32)
    kinds = np.zeros(2 * n, np.uint8)
    return sort(Points((LOSS, ACC), series, steps, steps * 1000, values, ordinals, kinds, {}))


def put(folder: Path, points: Points, level: int = 1) -> DiskPart:
    name = PartName(0, len(points), level)
    (folder / name.file).write_bytes(part_bytes(points))
    if level:
        (folder / name.cells_file).write_bytes(cells_bytes(points, 1000))
    return DiskPart(folder, name)


def test_a_part_gives_back_what_was_put_in(tmp_path: Path) -> None:
    points = made(1000)
    part = put(tmp_path, points, level=0)
    found = part.points()
    assert found.keys == points.keys
    for column in ("series", "steps", "times_ns", "values", "ordinals", "kinds"):
        np.testing.assert_array_equal(getattr(found, column), getattr(points, column))
    assert part.slices == MemoryPart(points).slices
    assert part.levels(LOSS, "step") == ()


def test_a_narrow_window_reads_few_row_groups_and_misses_nothing(tmp_path: Path) -> None:
    part = put(tmp_path, made())
    pieces = [raw for _, raw in part.raws([Wanted(LOSS, "step", 100_000, 100_010)])]
    steps = np.concatenate([raw.steps for raw in pieces])
    assert len(steps) <= 2 * parts.GROUP_ROWS, "its own group, and one that it shares"
    assert set(range(100_000, 100_011)) <= set(steps.tolist())
    assert len(part.raw(LOSS).steps) == N
    by_time = [raw for _, raw in part.raws([Wanted(ACC, "time", 5_000, 6_000)])]
    assert {5_000, 6_000} <= set(np.concatenate([raw.times_ns for raw in by_time]).tolist())
    assert list(part.raws([Wanted(ACC, "step", 10**9, 10**9 + 1)])) == []


def test_many_series_are_read_at_once_each_in_pieces_by_step(tmp_path: Path) -> None:
    points = made()
    for part in (put(tmp_path, points), MemoryPart(points)):
        found: dict[int, list[np.ndarray]] = {0: [], 1: []}
        for at, raw in part.raws([Wanted(LOSS), Wanted(ACC)]):
            found[at].append(raw.values)
        for at, key in enumerate((LOSS, ACC)):
            np.testing.assert_array_equal(np.concatenate(found[at]), part.raw(key).values)


def test_cells_of_several_levels_can_be_read_at_once_and_in_part(tmp_path: Path) -> None:
    part = put(tmp_path, made())
    finest, of_acc = part.levels(LOSS, "step")[0], part.levels(ACC, "time")[0]
    whole, counts = part.cells([(of_acc, 0, N * 1000), (finest, 0, N), (finest, 10, 11)])
    first, second, _ = np.split(whole.count, np.cumsum(counts)[:-1])
    assert (first.sum(), second.sum()) == (N, N)
    assert {10, 11} <= set(whole.cell[-counts[2] :].tolist())


def test_anybody_can_read_the_files(tmp_path: Path) -> None:
    part = put(tmp_path, made(100), level=0)
    table = pq.read_table(part.path)
    assert set(table.column("name").to_pylist()) == {"loss", "acc"}
    assert str(table.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    assert pq.ParquetFile(part.path).metadata.row_group(0).num_rows <= parts.GROUP_ROWS


def test_bytes_are_a_function_of_the_points() -> None:
    assert part_bytes(made(500)) == part_bytes(made(500))
    assert cells_bytes(made(5000), 1000) == cells_bytes(made(5000), 1000)


def test_damage_is_seen_wherever_it_is(tmp_path: Path) -> None:
    points = made(5_000)
    part = put(tmp_path, points)
    data = bytearray(part.path.read_bytes())
    data[len(data) // 2] ^= 1
    part.path.write_bytes(data)
    with pytest.raises(PartUnusable, match="cannot be read"):
        DiskPart(tmp_path, part.name).points()
    part.path.write_bytes(data[: len(data) // 3])
    with pytest.raises(PartUnusable):
        DiskPart(tmp_path, part.name)
    part.path.unlink()
    with pytest.raises(FileNotFoundError):
        DiskPart(tmp_path, part.name)


def test_a_part_of_a_newer_exptrack_and_one_under_another_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = put(tmp_path, made(10), level=0)
    other = PartName(5, 25, 0)
    (tmp_path / other.file).write_bytes(part.path.read_bytes())
    with pytest.raises(PartUnusable, match="not the part"):
        DiskPart(tmp_path, other)
    monkeypatch.setattr(parts, "FORMAT", 2)
    with pytest.raises(PartUnusable, match="newer exptrack"):
        put(tmp_path, made(10), level=0)


def test_a_part_of_texts_alone_has_no_cells(tmp_path: Path) -> None:
    points = made(2)
    key = SeriesKey("trainer", 0, "note", 1, is_number=False)
    odd = replace(
        points,
        keys=(key,),
        series=np.zeros(4, np.int32),
        values=np.full(4, np.nan),
        kinds=np.array([4, 5, 4, 5], np.uint8),
        ordinals=np.arange(4),
        texts={0: "a", 2: "ß"},
    )
    part = put(tmp_path, odd)
    found = part.points()
    assert [found.scalar(at) for at in range(4)] == ["a", None, "ß", None]
    assert part.series("trainer", 0, "note") == ()
