from __future__ import annotations

from exptrack_daemon.journal.entries import Event, Rows, Stream
from exptrack_daemon.store.columns import (
    Gathering,
    SeriesKey,
    concat,
    in_journal_order,
    sort,
    without_sampler,
)
from exptrack_proto.records import Close, Row

TRAINER = Stream("aa", 0, 1, 1, "trainer", "host", 1, 1)
SAMPLER = Stream("bb", 0, 1, 1, "sampler", "host", 1, 1)


def rows(ordinal: int, *found: tuple[int, dict[str, object]], stream: Stream = TRAINER) -> Rows:
    made = [Row(step, step * 10, values) for step, values in found]  # type: ignore[arg-type]
    return Rows(stream, ordinal, ordinal, made)


def closing(stream: Stream = TRAINER) -> Event:
    return Event(stream, 9, 9, Close(time_ns=1, status="finished"))


def test_a_chunk_ends_after_the_row_that_fills_it() -> None:
    gathering = Gathering(3)
    found = gathering.take(rows(0, *((step, {"a": 1.0, "b": 2.0}) for step in range(5))))
    assert [(len(chunk.points), chunk.row) for chunk in found if chunk.points] == [(4, 2), (4, 4)]
    assert (len(gathering), gathering.row) == (2, 5)


def test_borders_do_not_depend_on_how_rows_come() -> None:
    whole, single = Gathering(5), Gathering(5)
    made = [(step, {"a": float(step), **({"b": 1} if step % 2 else {})}) for step in range(20)]
    chunks = whole.take(rows(0, *made))
    others = [chunk for n, row in enumerate(made) for chunk in single.take(rows(n, row))]
    assert [chunk.row for chunk in chunks] == [chunk.row for chunk in others]
    for chunk, other in zip(chunks, others, strict=True):
        assert chunk.points is not None
        assert other.points is not None
        assert chunk.points.ordinals.tolist() == other.points.ordinals.tolist()
        assert chunk.points.values.tolist() == other.points.values.tolist()


def test_rows_that_come_again_are_passed_over() -> None:
    gathering = Gathering(100)
    gathering.take(rows(0, (0, {"a": 1.0}), (1, {"a": 2.0})))
    gathering.take(rows(0, (0, {"a": 1.0}), (1, {"a": 2.0}), (2, {"a": 3.0})))
    assert gathering.open_points().values.tolist() == [1.0, 2.0, 3.0]


def test_a_chunk_ends_where_every_trainer_has_closed() -> None:
    gathering = Gathering(100)
    other = Stream("cc", 1, 2, 1, "trainer", "host", 1, 1)
    gathering.take(rows(0, (0, {"a": 1.0})))
    gathering.take(rows(1, (0, {"cpu": 1.0}), stream=SAMPLER))
    gathering.take(rows(2, (0, {"a": 1.0}), stream=other))
    assert gathering.take(closing()) == []
    (chunk,) = gathering.take(closing(other))
    assert chunk.is_end
    assert chunk.points is not None
    assert [key.name for key in chunk.points.keys] == ["cpu", "a", "a"]
    assert gathering.take(closing(SAMPLER)) == []
    (again,) = gathering.take(closing())
    assert again.points is None


def test_every_value_is_kept_exactly_and_texts_stand_apart() -> None:
    gathering = Gathering(100)
    logged = [1.5, 1, True, None, "x", "", 2**53 + 1, -(2**63), 2**53 - 1, False, 10**400]
    gathering.take(rows(0, *((step, {"a": value}) for step, value in enumerate(logged))))
    points = gathering.open_points()
    assert points.keys == (
        SeriesKey("trainer", 0, "a", 1, is_number=False),
        SeriesKey("trainer", 0, "a", 1, is_number=True),
    )
    ordered = in_journal_order(points, 0, 100)
    found = [ordered.scalar(at) for at in range(len(ordered))]
    assert repr(found) == repr(logged)


def test_points_are_sorted_by_key_then_step_then_ordinal() -> None:
    gathering = Gathering(100)
    gathering.take(rows(0, (5, {"b": 1.0}), (3, {"b": 2.0, "a": 3.0}), (5, {"b": 4.0})))
    points = gathering.open_points()
    assert [key.name for key in points.keys] == ["a", "b"]
    assert points.steps.tolist() == [3, 3, 5, 5]
    assert points.values.tolist() == [3.0, 2.0, 1.0, 4.0]


def test_nothing_can_be_joined_and_sorted_too() -> None:
    assert len(sort(concat([]))) == 0
    assert Gathering(1).open_points().keys == ()


def test_the_samplers_points_are_left_out_unless_asked_for() -> None:
    gathering = Gathering(100)
    gathering.take(rows(0, (0, {"a": 1.0})))
    gathering.take(rows(1, (0, {"cpu": 2.0}), stream=SAMPLER))
    points = gathering.open_points()
    assert in_journal_order(points, 0, 9).values.tolist() == [1.0, 2.0]
    assert in_journal_order(points, 1, 9).values.tolist() == [2.0]
    assert without_sampler(points).values.tolist() == [1.0]
