"""Reading back: points are counted over a writer's folders, and damage is found."""

import pytest

from exptrack_daemon.sinks.tensorboard.readback import count_points, event_files, read_events
from exptrack_daemon.sinks.tensorboard.records import RecordDamaged
from tests.support.tensorboard_journal import Journal, project, stream


@pytest.fixture
def folder(tmp_path):
    journal = Journal().open().rows([(0, {"a": 1.0, "b": 2.0}), (1, {"a": 1.0}), (0, {"a": 3.0})])
    journal.rows([(0, {"a": 1.0})], stream(rank=1))
    return project(tmp_path, journal)


def test_late_points_count_and_other_ranks_count_for_themselves(folder):
    assert count_points(folder) == {"a": 3, "b": 1}
    assert count_points(folder / "rank_1") == {"a": 1}


def test_a_record_that_is_being_written_is_left_out(folder):
    path = event_files(folder)[0]
    path.write_bytes(path.read_bytes()[:-1])
    assert count_points(folder)["a"] == 2


def test_damage_is_named_with_its_file(folder):
    path = event_files(folder)[0]
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(RecordDamaged, match=str(path)):
        list(read_events(path))
