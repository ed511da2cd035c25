"""One writer: a row is one Event, what went back is late, and nothing is written twice or lost."""

from collections import defaultdict

import pytest
from tensorboard.compat.proto.event_pb2 import Event

from exptrack_daemon.sinks.tensorboard.lanes import Lanes, Room
from exptrack_daemon.sinks.tensorboard.records import unframe
from exptrack_daemon.sinks.tensorboard.writer import Writer
from exptrack_proto.records import Row
from tests.support.tensorboard_journal import CREATED_NS, at, stream


class Page:
    """A writer and what it has written, by folder."""

    def __init__(self, room=None):
        self.records = defaultdict(list)
        self.writer = Writer(Lanes("", room or Room()), self.records, CREATED_NS)
        self.writer.enter(stream())

    def rows(self, *rows):
        self.writer.write_rows([Row(step, at(step), values) for step, values in rows])
        return self

    def events(self, folder=""):
        found = [Event.FromString(data) for _, data in unframe(b"".join(self.records[folder]))]
        assert found[0].file_version
        return found[1:]

    def points(self, folder=""):
        return [
            (event.step, value.tag, value.simple_value)
            for event in self.events(folder)
            for value in event.summary.value
        ]


@pytest.fixture
def page():
    return Page()


def test_a_row_is_one_event_with_its_values_in_order_and_its_own_time(page):
    page.rows((7, {"b": 1.5, "a": 2, "c": True}))
    [event] = page.events()
    assert event.wall_time == at(7) / 1e9
    assert page.points() == [(7, "b", 1.5), (7, "a", 2.0), (7, "c", 1.0)]


def test_the_file_begins_with_the_time_of_the_run(page):
    page.rows((7, {"a": 1.0}))
    _, data = next(unframe(b"".join(page.records[""])))
    assert Event.FromString(data).wall_time == CREATED_NS / 1e9


def test_nothing_is_not_a_point_and_a_row_of_nothing_is_no_event(page):
    page.rows((1, {}), (2, {"a": None}), (3, {"a": None, "b": 1.0}))
    assert page.points() == [(3, "b", 1.0)]
    assert len(page.events()) == 1


def test_strings_of_a_row_are_texts(page):
    page.rows((1, {"a": 1.0, "phase": "warm-up"}), (2, {"a": 2.0, "phase": "cool-down"}))
    texts = [
        value for event in page.events() for value in event.summary.value if value.tensor.string_val
    ]
    assert [(text.tag, text.tensor.string_val[0]) for text in texts] == [
        ("phase", b"warm-up"),
        ("phase", b"cool-down"),
    ]
    assert [value for _, tag, value in page.points() if tag == "a"] == [1.0, 2.0]


def test_a_name_that_was_a_text_and_becomes_a_number_shows_as_both(page):
    page.rows((1, {"x": "off"}), (2, {"x": 3.0}), (3, {"x": "off"}))
    assert [(step, tag) for step, tag, _ in page.points()] == [(1, "x"), (2, "x/scalar"), (3, "x")]


def test_only_the_tags_that_went_back_are_late(page):
    page.rows((5, {"a": 1.0}), (3, {"a": 2.0, "b": 3.0}))
    assert page.points() == [(5, "a", 1.0), (3, "b", 3.0)]
    assert page.points("late") == [(3, "a", 2.0)]


def test_rows_of_two_shapes_share_the_steps_of_their_common_tags(page):
    page.rows(
        (1, {"a": 1.0, "b": 1.0}), (2, {"a": 2.0, "b": 2.0}), (2, {"a": 3.0}), (3, {"a": 4.0})
    )
    assert page.points("late") == [(2, "a", 3.0)]
    assert page.points()[-1] == (3, "a", 4.0)


def test_a_new_attempt_that_goes_back_is_a_rewind_in_the_same_folder(page):
    page.rows((8, {"a": 1.0}), (9, {"a": 1.0}))
    page.writer.enter(stream(attempt=2))
    page.rows((8, {"a": 2.0}), (9, {"a": 2.0}))
    assert [step for step, _, _ in page.points()] == [8, 9, 8, 9]
    assert list(page.records) == [""]
    marks = [event.step for event in page.events() if not event.summary.value]
    assert marks == [2**63 - 1]


def test_an_older_attempts_rows_after_a_newer_ones_are_late(page):
    page.writer.enter(stream(attempt=2))
    page.rows((8, {"a": 2.0}))
    page.writer.enter(stream(attempt=1))
    page.rows((9, {"a": 1.0}))
    page.writer.enter(stream(attempt=2))
    page.rows((9, {"a": 2.0}))
    assert page.points() == [(8, "a", 2.0), (9, "a", 2.0)]
    assert page.points("late") == [(9, "a", 1.0)]


def test_notes_stand_at_the_latest_step_and_never_on_one_another(page):
    page.rows((5, {"a": 1.0}))
    for text in ("one", "two", "three"):
        page.writer.write_note("alerts", text, at(6))
    page.rows((9, {"a": 1.0}))
    page.writer.write_note("alerts", "four", at(9))
    assert [step for step, tag, _ in page.points() if tag == "alerts"] == [5, 6, 7, 9]


def test_a_saved_writer_knows_the_last_step_of_every_row(page):
    page.rows((1, {"a": 1.0}), (2, {"a": 1.0}), (3, {"a": 1.0}))
    saved, again = page.writer.state(), Page()
    again.writer = Writer(Lanes.from_state("", Room(), saved), again.records, CREATED_NS)
    again.writer.restore(saved)
    again.writer.enter(stream())
    again.rows((3, {"a": 2.0}))
    assert [folder for folder, records in again.records.items() if records] == ["late"]
    assert again.writer.last_step == 3


def test_a_metric_cannot_take_tensorboards_own_tags(page):
    page.rows((1, {"_hparams_/session_start_info": 1.0}))
    assert page.points()[0][1] == "metrics/_hparams_/session_start_info"


def test_more_shapes_than_are_kept_are_all_written(page):
    wide = 9_000
    for number in range(3):
        page.rows((number, {f"{number}/{tag}": 1.0 for tag in range(wide)}))
    assert len(page.points()) == 3 * wide
    assert len(page.writer._shapes) == 1


def test_tags_past_the_room_are_written_in_the_plain_folder():
    page = Page(Room(left=1))
    page.rows((1, {"a": 1.0, "b": 1.0}), (1, {"a": 2.0, "b": 2.0}), (2, {"b": 3.0}))
    assert page.points() == [(1, "a", 1.0), (1, "b", 1.0), (1, "b", 2.0), (2, "b", 3.0)]
    assert page.points("late") == [(1, "a", 2.0)]
