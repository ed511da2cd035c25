"""Writing a journal: what was committed survives anything, and nothing counts twice."""

from __future__ import annotations

import errno
from random import Random

import msgspec
import pytest

from exptrack_daemon.errors import JournalNewer
from exptrack_daemon.files import OsFiles
from exptrack_daemon.journal.reader import JournalReader, segment_numbers, segment_path
from exptrack_daemon.journal.segment import (
    SegmentHeader,
    fragment,
    frame_record,
    header_record,
    interpret,
    mark_record,
    salt_of,
    scan,
)
from exptrack_daemon.journal.writer import MIB, Journal, JournalConfig, StreamEnd
from exptrack_proto.frame import parse
from tests.support.homes import TurnedClock
from tests.support.journals import (
    DIRECTORY,
    RUN,
    STREAM,
    append,
    close_frame,
    commit,
    open_frame,
    open_journal,
    read_found,
    read_frames,
    rows_frame,
)
from tests.support.memory_files import RUNS, Failure, MemoryFiles, Stopped

OTHER = b"another-16-bytes"
FULL = Failure(errno.ENOSPC)


@pytest.fixture
def files() -> MemoryFiles:
    return MemoryFiles()


def numbers(files: MemoryFiles) -> list[int]:
    return segment_numbers(files, DIRECTORY)


def header(files: MemoryFiles, number: int) -> SegmentHeader:
    data = files.read(segment_path(DIRECTORY, number))
    return interpret(next(scan(data, 0, salt_of(RUN, number))).payload)


def flip(files: MemoryFiles, number: int, offset: int) -> None:
    files.seen[segment_path(DIRECTORY, number)].data[offset] ^= 0x10


def cut(files: MemoryFiles, number: int, size: int) -> None:
    del files.seen[segment_path(DIRECTORY, number)].data[size:]


def after_power_cut(files: MemoryFiles, seed: int) -> list[bytes]:
    """What a new process finds and makes readable."""
    left = files.crash(Random(seed))
    open_journal(left)
    return read_frames(left)


def test_segments_have_at_least_a_mebibyte():
    with pytest.raises(ValueError, match="at least 1 MiB"):
        JournalConfig(segment_bytes=MIB - 1)


def test_opening_a_journal_that_does_not_exist_writes_nothing(files):
    journal = open_journal(files)
    journal.commit()
    journal.close()
    assert files.log == []
    assert (journal.position.segment, journal.streams, journal.durable) == (0, {}, {})


def test_frames_are_seen_once_they_are_committed_and_not_before(files):
    journal = open_journal(files)
    append(journal, rows_frame(0, 3), rows_frame(3))
    assert read_frames(files) == []
    assert journal.durable.get(STREAM, 0) == 0
    assert journal.uncommitted_bytes > 0
    journal.commit()
    assert read_frames(files) == [rows_frame(0, 3), rows_frame(3)]
    assert (journal.durable, journal.uncommitted_bytes) == ({STREAM: 4}, 0)
    assert (journal.position.record, journal.position.rows) == (2, 4)


def test_a_commit_with_nothing_new_costs_no_sync(files):
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    syncs = files.calls["sync"]
    journal.commit()
    assert files.calls["sync"] == syncs


def test_a_mark_is_written_after_the_sync_and_before_the_acknowledgement(files):
    journal = open_journal(files)
    append(journal, rows_frame(0))
    begun = len(files.log)
    journal.commit()
    assert files.log[begun:] == ["sync", "append"]


def test_a_segment_gets_its_name_when_it_is_durable(files):
    append(open_journal(files), rows_frame(0))
    made = [act for act in files.log if act != "append"]
    assert made == [
        "make_directory",
        "sync_directory",
        "sync_directory",
        "open",
        "sync",
        "rename",
        "sync_directory",
    ]
    assert files.durable_folders >= {DIRECTORY, DIRECTORY.parent}


def test_a_full_segment_is_followed_by_the_next(files):
    journal = open_journal(files, segment_bytes=500)
    frames = [rows_frame(sequence, pad=100) for sequence in range(20)]
    append(journal, *frames)
    journal.close()
    assert len(numbers(files)) > 4
    assert read_frames(files) == frames
    for before, number in zip(numbers(files), numbers(files)[1:], strict=False):
        assert header(files, number).previous == before
        assert header(files, number).previous_end == files.size(segment_path(DIRECTORY, before))


def test_a_new_process_goes_on_in_a_new_segment(files):
    frames = [open_frame(), rows_frame(1), open_frame(OTHER), close_frame(2)]
    commit(open_journal(files), *frames)
    journal = open_journal(files)
    assert journal.streams == {STREAM: StreamEnd(3, True), OTHER: StreamEnd(1, False)}
    assert journal.durable == {STREAM: 3, OTHER: 1}
    commit(journal, rows_frame(1, stream=OTHER))
    assert numbers(files) == [1, 2]
    assert header(files, 2).streams == [(STREAM, 3, True), (OTHER, 1, False)]
    assert read_frames(files) == [*frames, rows_frame(1, stream=OTHER)]


def test_reopening_without_news_writes_nothing(files):
    """The folder is synced, for the sake of the newest name."""
    open_journal(files).close()
    commit(open_journal(files), rows_frame(0))
    begun = len(files.log)
    for _ in range(3):
        open_journal(files).close()
    assert files.log[begun:] == ["sync_directory"] * 3


@pytest.mark.parametrize("seed", range(8))
def test_a_name_that_the_last_process_did_not_sync_is_durable_before_its_frames_are_promised(
    files, seed
):
    commit(open_journal(files), rows_frame(0))
    append(open_journal(files), rows_frame(1))
    files.stop_before(len(files.log) + 7)  # adopting it: after the rename, before the sync
    with pytest.raises(Stopped):
        open_journal(files)
    assert files.log[-1] == "rename"
    left = files.kill()
    assert open_journal(left).durable == {STREAM: 2}
    assert after_power_cut(left, seed) == [rows_frame(0), rows_frame(1)]


def test_frames_after_the_last_mark_are_adopted_by_copying_them_durably(files):
    journal = open_journal(files)
    commit(journal, rows_frame(0, 2))
    append(journal, rows_frame(2), rows_frame(3, 4))  # … and the process is killed
    before = files.read(segment_path(DIRECTORY, 1))
    again = open_journal(files)
    assert again.durable == {STREAM: 7}
    assert (again.position.record, again.position.rows) == (3, 7)
    assert files.read(segment_path(DIRECTORY, 1)) == before
    after = files.crash(Random(1))
    assert read_frames(after) == [rows_frame(0, 2), rows_frame(2), rows_frame(3, 4)]


def test_a_torn_tail_is_left_and_the_frames_before_it_are_adopted(files):
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    append(journal, rows_frame(1), rows_frame(2))
    cut(files, 1, files.size(segment_path(DIRECTORY, 1)) - 1)
    again = open_journal(files)
    assert again.durable == {STREAM: 2}
    commit(again, rows_frame(2))
    assert read_frames(files) == [rows_frame(0), rows_frame(1), rows_frame(2)]


def test_damage_after_the_last_mark_ends_what_is_adopted(files):
    journal = open_journal(files)
    append(journal, rows_frame(0), rows_frame(1), rows_frame(2))
    place = files.read(segment_path(DIRECTORY, 1)).index(rows_frame(1))
    flip(files, 1, place + 40)
    assert open_journal(files).durable == {STREAM: 1}
    assert read_frames(files) == [rows_frame(0)]


def test_damage_before_the_last_mark_is_passed_over(files):
    commit(open_journal(files), rows_frame(0), rows_frame(1), rows_frame(2))
    place = files.read(segment_path(DIRECTORY, 1)).index(rows_frame(2))
    flip(files, 1, place + 40)
    journal = open_journal(files)
    assert journal.durable == {STREAM: 2}  # the rest is asked for again …
    assert journal.position.record == 3  # … and gets ordinals that nobody has seen
    commit(journal, rows_frame(2))
    found, flaws, _ = read_found(files)
    assert [item.start.record for item in found] == [0, 1, 3]
    assert [item.start.rows for item in found] == [0, 1, 3]
    assert len(flaws) == 1


def test_a_damaged_header_costs_nothing_but_itself(files):
    commit(open_journal(files), open_frame(), rows_frame(1))
    commit(open_journal(files), rows_frame(2), close_frame(3))
    flip(files, 2, 20)
    journal = open_journal(files)
    assert journal.streams == {STREAM: StreamEnd(4, True)}
    assert (journal.position.record, journal.position.rows) == (4, 2)
    commit(journal, open_frame(OTHER))
    found, flaws, _ = read_found(files)
    assert [bytes(item.frame) for item in found] == [
        open_frame(),
        rows_frame(1),
        rows_frame(2),
        close_frame(3),
        open_frame(OTHER),
    ]
    assert flaws


def test_a_journal_whose_only_header_is_damaged_goes_on(files):
    commit(open_journal(files), open_frame(), rows_frame(1))
    flip(files, 1, 20)
    journal = open_journal(files)
    assert journal.durable == {STREAM: 2}
    assert len(read_found(files)[0]) == 2


def test_a_missing_segment_is_no_reason_to_stop(files):
    for sequence in range(3):
        commit(open_journal(files), rows_frame(sequence))
    files.remove(segment_path(DIRECTORY, 2))
    journal = open_journal(files)
    assert journal.durable == {STREAM: 3}
    commit(journal, rows_frame(3))
    found, flaws, _ = read_found(files)
    assert [item.start.record for item in found] == [0, 2, 3]
    assert "segment is missing (1 frames)" in flaws[0].reason


@pytest.mark.parametrize("part", [0, 0.5, 0.99, 1])
def test_a_failed_write_takes_back_everything_since_the_last_commit(files, part):
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    append(journal, rows_frame(1))
    files.fail_next("append", Failure(errno.ENOSPC, part))
    with pytest.raises(OSError, match="No space"):
        append(journal, rows_frame(2))
    assert journal.streams == {STREAM: StreamEnd(1)}
    assert (journal.position.record, journal.uncommitted_bytes) == (1, 0)
    commit(journal, rows_frame(1), rows_frame(2))
    assert numbers(files) == [1, 2]
    assert read_frames(files) == [rows_frame(0), rows_frame(1), rows_frame(2)]


def test_a_failed_sync_is_never_asked_again_and_its_frames_do_not_count(files):
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    append(journal, rows_frame(1))
    files.fail_next("sync")
    with pytest.raises(OSError, match="Input/output"):
        journal.commit()
    assert journal.durable == {STREAM: 1}
    commit(journal, rows_frame(1, 2))
    journal.close()
    assert after_power_cut(files, 2) == [rows_frame(0), rows_frame(1, 2)]


def test_after_a_failed_sync_a_new_process_does_not_trust_that_file(files):
    """Its pages count as clean, and are not on the disk."""
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    append(journal, rows_frame(1))
    files.fail_next("sync")
    with pytest.raises(OSError, match="Input/output"):
        journal.commit()
    again = open_journal(files)
    durable = again.durable[STREAM]
    assert len(read_frames(files.crash(Random(3)))) == durable


def test_adopting_on_a_failing_disk_is_tried_again_in_another_file(files):
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    append(journal, rows_frame(1))
    for act in ("append", "sync", "rename", "sync_directory", "open"):
        files.fail_next(act, FULL)
        with pytest.raises(OSError, match="No space"):
            open_journal(files)
    assert numbers(files) == [1]
    assert open_journal(files).durable == {STREAM: 2}
    assert read_frames(files.crash(Random(4))) == [rows_frame(0), rows_frame(1)]


def test_the_tail_of_an_abandoned_segment_is_never_read(files):
    """Even when all of it stands there, mark and all: the error said that it does not count."""
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    append(journal, rows_frame(1))
    files.fail_next("append", Failure(errno.EIO, part=1))
    with pytest.raises(OSError, match="Input/output"):
        journal.commit()
    commit(journal, rows_frame(1, 3))
    assert read_frames(files) == [rows_frame(0), rows_frame(1, 3)]
    assert open_journal(files).durable == {STREAM: 4}


def test_a_stream_closed_by_a_frame_that_failed_is_open_again(files):
    journal = open_journal(files)
    commit(journal, open_frame())
    append(journal, close_frame(1))
    files.fail_next("sync")
    with pytest.raises(OSError, match="Input/output"):
        journal.commit()
    assert journal.streams == {STREAM: StreamEnd(1, False)}
    append(journal, open_frame(OTHER))
    files.fail_next("sync")
    with pytest.raises(OSError, match="Input/output"):
        journal.commit()
    assert journal.streams == {STREAM: StreamEnd(1, False)}


@pytest.mark.parametrize("act", ["open", "append", "sync", "rename", "sync_directory"])
def test_a_full_disk_does_not_leave_piles_of_segments(files, act):
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    files.fail_next("sync")
    append(journal, rows_frame(1))
    with pytest.raises(OSError, match="Input/output"):
        journal.commit()
    files.failing[act] = FULL
    for _ in range(20):
        with pytest.raises(OSError, match="No space"):
            append(journal, rows_frame(1))
    assert files.names(DIRECTORY) == ["00000001.seg"]
    files.failing.clear()
    commit(journal, rows_frame(1))
    assert read_frames(files) == [rows_frame(0), rows_frame(1)]


def test_what_cannot_be_removed_is_not_read_either(files):
    """The sync of the directory failed and the name came back: an empty segment that costs nothing."""
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    files.fail_next("sync")
    append(journal, rows_frame(1))
    with pytest.raises(OSError, match="Input/output"):
        journal.commit()
    files.failing = {"sync_directory": FULL, "remove": FULL}
    with pytest.raises(OSError, match="No space"):
        append(journal, rows_frame(1))
    files.failing.clear()
    commit(journal, rows_frame(1))
    assert numbers(files) == [1, 2, 3]
    assert read_frames(files) == [rows_frame(0), rows_frame(1)]
    assert open_journal(files).durable == {STREAM: 2}


def test_frames_that_were_adopted_twice_are_read_once(files):
    """The first copy's name could not be made durable and was removed; a power cut brought it back."""
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    append(journal, rows_frame(1), rows_frame(2))
    open_journal(files)
    path = segment_path(DIRECTORY, 2)
    first_copy = files.seen.pop(path)
    again = open_journal(files)
    files.rename(path, segment_path(DIRECTORY, 3))
    again.close()
    third = files.seen[segment_path(DIRECTORY, 3)]
    third.data[:] = renumbered(bytes(third.data), 2, 3)
    files.seen[path] = first_copy
    assert numbers(files) == [1, 2, 3]
    assert read_frames(files) == [rows_frame(0), rows_frame(1), rows_frame(2)]
    assert open_journal(files).durable == {STREAM: 3}


def renumbered(data: bytes, old: int, new: int) -> bytes:
    """The same segment as it would be under another number."""
    made = b""
    for found in scan(data, 0, salt_of(RUN, old)):
        payload = found.payload
        meaning = interpret(payload)
        if isinstance(meaning, SegmentHeader):
            payload = header_record(msgspec.structs.replace(meaning, segment=new))
        made += fragment(bytes(payload), len(made), salt_of(RUN, new))
    return made


def test_the_folders_names_are_durable_before_anything_is_promised(files):
    """Also when the first attempt to make them so failed after they were made."""
    journal = open_journal(files)
    files.fail_next("sync_directory")
    with pytest.raises(OSError, match="Input/output"):
        append(journal, rows_frame(0))
    commit(journal, rows_frame(0))
    assert after_power_cut(files, 5) == [rows_frame(0)]


@pytest.mark.parametrize("act", ["sync", "append", "close", "open"])
def test_a_failed_rotation_loses_nothing_that_was_promised(files, act):
    journal = open_journal(files, segment_bytes=300)
    commit(journal, rows_frame(0, pad=300))
    append(journal)
    files.fail_next(act)
    with pytest.raises(OSError, match="Input/output"):
        append(journal, rows_frame(1))
    commit(journal, rows_frame(1))
    assert read_frames(files) == [rows_frame(0, pad=300), rows_frame(1)]


def test_a_file_whose_close_fails_is_not_closed_again(files):
    journal = open_journal(files)
    append(journal, rows_frame(0))
    files.fail_next("close")
    with pytest.raises(OSError, match="Input/output"):
        journal.close()
    journal.close()
    assert open_journal(files).durable == {STREAM: 1}


def newer_segment(files: MemoryFiles) -> bytes:
    files.make_directory(DIRECTORY)
    data = fragment(b"H\x02\xff", 0, salt_of(RUN, 1))
    files.open_append(segment_path(DIRECTORY, 1)).append(data)
    return data


def test_a_journal_of_a_newer_version_is_refused_untouched(files):
    data = newer_segment(files)
    begun = len(files.log)
    with pytest.raises(JournalNewer):
        open_journal(files)
    with pytest.raises(JournalNewer):
        JournalReader(files, DIRECTORY, RUN).read()
    assert files.log[begun:] == []
    assert files.read(segment_path(DIRECTORY, 1)) == data


def written_by_hand(files: MemoryFiles, *records: bytes) -> None:
    files.make_directory(DIRECTORY)
    file = files.open_append(segment_path(DIRECTORY, 1))
    for record in (header_record(SegmentHeader(RUN, 1, 0, 0, 0, 0, 0, [])), *records):
        file.append(fragment(record, file.size, salt_of(RUN, 1)))


def test_a_journal_with_frames_of_a_newer_version_is_refused_untouched(files):
    newer = b"XT\x02" + rows_frame(1)[3:]
    written_by_hand(files, frame_record(0, 0, rows_frame(0)), frame_record(1, 1, newer))
    begun = len(files.log)
    with pytest.raises(JournalNewer, match="version 2"):
        open_journal(files)
    assert files.log[begun:] == []


def test_a_frame_that_only_a_bug_could_write_is_passed_over(files):
    written_by_hand(
        files,
        b"?",
        frame_record(0, 0, rows_frame(0)),
        frame_record(1, 1, b"XT"),
        mark_record(0, 2, 1),
    )
    journal = open_journal(files)
    assert journal.durable == {STREAM: 1}
    assert journal.position.record == 2


def test_a_segment_of_another_run_is_none_of_ours(files):
    commit(open_journal(files, run_id="other"), rows_frame(0))
    journal = open_journal(files)
    assert journal.durable == {}
    commit(journal, rows_frame(0))
    assert numbers(files) == [1, 2]
    assert [bytes(item.frame) for item in read_found(files)[0]] == [rows_frame(0)]


def test_names_that_are_no_segments_are_left_alone(files):
    files.make_directory(DIRECTORY)
    names = ["1.seg", "²².seg", "000000001.seg", "00000003.segs", "x.seg", "00000002.tmp"]
    for name in names:
        files.open_append(DIRECTORY / name).append(b"?")
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    assert numbers(files) == [1]
    assert set(names) < set(files.names(DIRECTORY))


def test_a_crash_between_two_files_leaves_no_half_made_segment(files):
    commit(open_journal(files), rows_frame(0))
    journal = open_journal(files)
    files.fail_next("rename")
    files.failing["remove"] = FULL
    with pytest.raises(OSError, match="Input/output"):
        append(journal, rows_frame(1))
    files.failing.clear()
    assert files.names(DIRECTORY) == ["00000001.seg", "next.tmp"]
    commit(open_journal(files), rows_frame(1))
    assert files.names(DIRECTORY) == ["00000001.seg", "00000002.seg"]


def test_every_single_fault_and_every_crash_after_it_keeps_what_was_promised():
    """One fault at each call in turn; then a power cut."""

    def work(files: MemoryFiles) -> int:
        durable = 0
        for _ in range(2):
            for _ in range(5):
                try:
                    journal = open_journal(files, segment_bytes=700)
                    durable = max([durable, *journal.durable.values()])
                    for _ in range(6):
                        reached = max([e.next for e in journal.streams.values()], default=0)
                        commit(journal, rows_frame(reached, 2, pad=reached * 31 % 200))
                        durable = max(journal.durable.values())
                    break
                except OSError:
                    continue
        return durable

    whole = MemoryFiles()
    work(whole)
    for number in range(len(whole.log)):
        for error in (errno.EIO, errno.ENOSPC):
            files = MemoryFiles()
            files.failures[number] = Failure(error, part=number % 3 / 2)
            durable = work(files)
            for left in (files.crash(Random(number)), files.kill()):
                open_journal(left)
                found = read_frames(left)
                ends = [parse(frame).end for frame in found]
                assert ends == list(range(2, 2 * len(ends) + 1, 2))
                assert max(ends, default=0) >= durable


def test_a_real_disk_holds_the_same(tmp_path):
    directory = tmp_path / "runs" / RUN / "journal"
    config = JournalConfig(segment_bytes=MIB)
    frames = [rows_frame(sequence, pad=200_000) for sequence in range(12)]
    for part in (frames[:7], frames[7:]):
        journal = Journal(OsFiles(), directory, RUN, TurnedClock(), config)
        commit(journal, *part)
        journal.close()
    reader = JournalReader(OsFiles(), directory, RUN)
    found = [bytes(f.frame) for reading in reader.read_all() for f in reading.frames]
    assert found == frames
    assert len(segment_numbers(OsFiles(), directory)) == 3
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700


def test_the_home_is_not_made_by_the_journal(files):
    append(open_journal(files), rows_frame(0))
    assert RUNS in files.durable_folders
