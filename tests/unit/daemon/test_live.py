"""The open streams, in one small file."""

from __future__ import annotations

from random import Random

import pytest

from exptrack_daemon.files import OsFiles
from exptrack_daemon.live import LiveStream, LiveStreams, read_live
from exptrack_proto.frame import parse
from exptrack_proto.records import Open
from tests.support.desks import RUN, STREAM, opened
from tests.support.faulty_files import FaultyFiles
from tests.support.memory_files import RUNS, MemoryFiles

FRAME = parse(opened())
OPEN = Open(time_ns=7, project="p", name="n", rank=3, host="h", pid=42, sinks=["wandb"])


def test_what_is_open_is_found_again_by_another_process(home):
    live = LiveStreams(OsFiles(), home / "live.json")
    live.add(FRAME, OPEN)
    live.save()
    wanted = LiveStream(STREAM.hex(), RUN, 3, "h", 42, 7, ["wandb"])
    assert read_live(OsFiles(), home / "live.json") == [wanted]
    assert LiveStreams(OsFiles(), home / "live.json").all() == [wanted]


def test_a_stream_that_is_removed_is_gone_and_the_samplers_is_never_there(home):
    live = LiveStreams(OsFiles(), home / "live.json")
    live.add(FRAME, Open(time_ns=1, project="p", name="n", role="sampler"))
    assert live.all() == []
    live.add(FRAME, OPEN)
    live.remove(STREAM)
    live.save()
    assert read_live(OsFiles(), home / "live.json") == []


def test_a_file_of_an_earlier_version_and_a_damaged_one_are_both_read_without_a_fuss(home):
    path = home / "live.json"
    path.write_text(
        '[{"stream": "00", "run_id": "r", "rank": 0, "host": "h", "pid": 1, "opened_ns": 2}]'
    )
    assert read_live(OsFiles(), path)[0].sinks == ()
    for text in ("", "{", "[1]", '[{"a": 1}]', "\x00\xff"):
        path.write_text(text)
        assert read_live(OsFiles(), path) == []


def test_a_full_disk_leaves_no_descriptor_behind_and_the_change_is_saved_later(home):
    files = FaultyFiles()
    live = LiveStreams(files, home / "live.json")
    live.add(FRAME, OPEN)
    files.fail_next("append")
    live.save()
    assert files.opened == 0
    assert read_live(files, home / "live.json") == []
    live.save()
    assert len(read_live(files, home / "live.json")) == 1


def test_nothing_is_written_when_nothing_changed(home):
    LiveStreams(OsFiles(), home / "live.json").save()
    assert not (home / "live.json").exists()


@pytest.mark.parametrize("seed", range(8))
def test_what_was_saved_is_still_there_after_a_power_cut(seed):
    files, path = MemoryFiles(), RUNS.parent / "live.json"
    live = LiveStreams(files, path)
    live.add(FRAME, OPEN)
    live.save()
    assert [stream.run_id for stream in read_live(files.crash(Random(seed)), path)] == [RUN]
