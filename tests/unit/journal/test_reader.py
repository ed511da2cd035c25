"""Reading a journal from anywhere, whole or damaged, at rest or while it is written."""

from __future__ import annotations

import pytest

from exptrack_daemon.journal.position import START, Position
from exptrack_daemon.journal.reader import JournalReader, read_header, segment_numbers, segment_path
from exptrack_daemon.journal.segment import (
    BLOCK_BYTES,
    fragment,
    frame_record,
    mark_record,
    salt_of,
)
from tests.support.journals import (
    DIRECTORY,
    RUN,
    append,
    commit,
    open_frame,
    open_journal,
    read_found,
    read_frames,
    rows_frame,
)
from tests.support.memory_files import MemoryFiles


@pytest.fixture
def files() -> MemoryFiles:
    return MemoryFiles()


def three_segments(files: MemoryFiles) -> list[bytes]:
    frames = [rows_frame(n, 2, pad=n * 17 % 300) for n in range(0, 60, 2)]
    for start in (0, 10, 20):
        journal = open_journal(files)
        for frame in frames[start : start + 10]:
            commit(journal, frame)
        journal.close()
    return frames


def data_of(files: MemoryFiles, number: int) -> bytearray:
    return files.seen[segment_path(DIRECTORY, number)].data


def test_nothing_is_read_where_nothing_is(files):
    reading = JournalReader(files, DIRECTORY, RUN).read()
    assert (reading.frames, reading.flaws, reading.next) == ([], [], START)


@pytest.mark.parametrize("max_bytes", [0, 1, 100, 333, 1_000, 1 << 22])
def test_a_journal_is_read_whole_in_pieces_of_any_size(files, max_bytes):
    assert read_frames(files, max_bytes=max_bytes) == []
    assert three_segments(files) == read_frames(files, max_bytes=max_bytes)


def test_reading_goes_on_from_the_beginning_and_the_end_of_any_frame(files):
    frames = three_segments(files)
    found, _, _ = read_found(files)
    for number, item in enumerate(found):
        assert read_frames(files, item.start, 500) == frames[number:]
        assert read_frames(files, item.end, 500) == frames[number + 1 :]


def test_reading_goes_on_from_the_start_of_any_segment(files):
    frames = three_segments(files)
    for number in (1, 2, 3):
        header = read_header(files, DIRECTORY, RUN, number).header
        position = Position(number, 0, header.record, header.rows)
        assert read_frames(files, position) == frames[header.record :]


def test_a_live_reader_sees_what_is_committed_and_only_once(files):
    journal = open_journal(files, segment_bytes=700)
    reader = JournalReader(files, DIRECTORY, RUN)
    position, seen = START, []
    for sequence in range(40):
        append(journal, rows_frame(sequence, pad=sequence * 7 % 90))
        before = reader.read(position)
        assert before.frames == [] or len(seen) + len(before.frames) <= sequence
        if sequence % 3 == 0:
            journal.commit()
        for reading in reader.read_all(position):
            seen += [bytes(found.frame) for found in reading.frames]
            position = reading.next
    journal.close()
    seen += read_frames(files, position)
    assert seen == [rows_frame(n, pad=n * 7 % 90) for n in range(40)]


@pytest.mark.parametrize("max_bytes", [1, 100, 5_000, 1 << 22])
def test_damage_that_a_read_cuts_through_costs_no_frame_after_it(files, max_bytes):
    journal = open_journal(files)
    frames = [rows_frame(sequence, pad=9_000) for sequence in range(20)]
    commit(journal, *frames)
    commit(open_journal(files), rows_frame(20))
    data_of(files, 1)[20_000:50_000] = b"\x03\x01" * 15_000
    found, flaws, _ = read_found(files, max_bytes=max_bytes)
    kept = [frames.index(bytes(item.frame)) for item in found[:-1]]
    assert kept == [0, 1, *range(6, 20)]
    assert bytes(found[-1].frame) == rows_frame(20)
    assert len(flaws) == 1
    assert flaws[0].offset < 20_000
    assert flaws[0].end >= 50_000


def test_damage_in_the_newest_segment_is_told_once_a_mark_follows(files):
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    append(journal, rows_frame(1))
    at = bytes(data_of(files, 1)).index(rows_frame(1))
    data_of(files, 1)[at] ^= 1
    assert read_frames(files) == [rows_frame(0)]
    commit(journal, rows_frame(2))
    found, flaws, _ = read_found(files)
    assert [item.start.record for item in found] == [0, 2]
    assert [flaw.reason for flaw in flaws] == ["checksum"]


def test_a_destroyed_end_of_a_segment_is_counted(files):
    frames = three_segments(files)
    data = data_of(files, 2)
    data[len(data) - 800 :] = bytes(800)
    found, flaws, _ = read_found(files)
    missing = len(frames) - len(found)
    assert missing > 1
    (flaw,) = flaws
    assert flaw.reason == f"{missing} frames are missing"
    assert (flaw.segment, flaw.end) == (2, len(data))


def test_a_last_mark_that_a_power_cut_took_is_no_flaw(files):
    frames = three_segments(files)
    del data_of(files, 2)[-5:]
    assert read_frames(files) == frames


def test_a_missing_first_segment_is_told(files):
    frames = three_segments(files)
    files.remove(segment_path(DIRECTORY, 1))
    found, flaws, _ = read_found(files)
    assert [bytes(item.frame) for item in found] == frames[10:]
    assert [flaw.reason for flaw in flaws] == ["segment is missing"]


def test_a_segment_missing_under_a_reader_is_told_and_the_next_is_read(files):
    frames = three_segments(files)
    found, _, _ = read_found(files)
    files.remove(segment_path(DIRECTORY, 2))
    after, flaws, _ = read_found(files, found[14].end)
    assert [bytes(item.frame) for item in after] == frames[20:]
    assert [flaw.reason for flaw in flaws] == ["segment is missing"]


def test_a_segment_that_vanishes_between_two_reads_stops_nobody(files):
    three_segments(files)
    reader = JournalReader(files, DIRECTORY, RUN)
    first = reader.read(max_bytes=500)
    data = data_of(files, 1)
    files.remove(segment_path(DIRECTORY, 1))
    second = reader.read(first.next)
    assert second.frames[0].start.record == 10
    assert "missing" in second.flaws[0].reason
    assert data


def test_a_segment_without_a_header_is_read_by_its_marks(files):
    frames = three_segments(files)
    data_of(files, 2)[10] ^= 1
    found, flaws, _ = read_found(files)
    assert [bytes(item.frame) for item in found] == frames
    assert [(flaw.segment, flaw.offset) for flaw in flaws] == [(2, 0)]


def test_a_segment_that_holds_nothing_at_all_is_told(files):
    frames = three_segments(files)
    data_of(files, 2)[:] = b"?" * 5_000
    found, flaws, _ = read_found(files)
    assert [bytes(item.frame) for item in found] == frames[:10] + frames[20:]
    assert flaws


def test_a_destroyed_segment_that_a_newer_process_went_on_after_is_told(files):
    commit(open_journal(files), rows_frame(0))
    data_of(files, 1)[:] = b""
    commit(open_journal(files), rows_frame(0))
    found, flaws, _ = read_found(files)
    assert [bytes(item.frame) for item in found] == [rows_frame(0)]
    assert [flaw.reason for flaw in flaws] == ["the segment has no header"]


def test_a_reader_never_goes_back(files):
    """The mark that it read to was damaged later, so the frames before it were copied on."""
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    commit(journal, rows_frame(1))
    _, _, position = read_found(files)
    data_of(files, 1)[-1] ^= 1
    again = open_journal(files)
    commit(again, rows_frame(2))
    found, flaws, _ = read_found(files, position)
    assert [bytes(item.frame) for item in found] == [rows_frame(2)]
    assert flaws == []
    assert read_frames(files) == [rows_frame(0), rows_frame(1), rows_frame(2)]


def test_a_segment_that_its_maker_took_back_is_no_flaw(files):
    """Its name could not be made durable, so the same frames were written into the one after it."""
    commit(open_journal(files), rows_frame(0))
    commit(open_journal(files), rows_frame(1))
    _, _, position = read_found(files)
    files.remove(segment_path(DIRECTORY, 2))
    journal = open_journal(files)
    journal._number = 2
    commit(journal, rows_frame(1), rows_frame(2))
    found, flaws, _ = read_found(files, position)
    assert [bytes(item.frame) for item in found] == [rows_frame(2)]
    assert flaws == []


def by_hand(files: MemoryFiles, *records: bytes) -> None:
    append(open_journal(files), rows_frame(0))
    data = data_of(files, 1)
    for record in records:
        data += fragment(record, len(data), salt_of(RUN, 1))


def test_a_gap_in_the_ordinals_is_a_flaw_by_itself(files):
    by_hand(files, frame_record(3, 4, rows_frame(4)), b"?", mark_record(0, 7, 9))
    found, flaws, position = read_found(files)
    assert [(item.start.record, item.start.rows) for item in found] == [(0, 0), (3, 4)]
    assert [flaw.reason for flaw in flaws] == ["2 frames are missing", "3 frames are missing"]
    assert (position.record, position.rows) == (7, 9)


def test_a_header_with_very_many_streams_is_read(files):
    journal = open_journal(files, segment_bytes=1 << 24)
    streams = [number.to_bytes(16, "big") for number in range(8_000)]
    commit(journal, *(open_frame(stream) for stream in streams))
    commit(open_journal(files), rows_frame(1, stream=streams[5]))
    segment = read_header(files, DIRECTORY, RUN, 2)
    assert segment.first > 4 * BLOCK_BYTES
    assert len(segment.header.streams) == 8_000
    assert len(read_frames(files)) == 8_001
    assert open_journal(files).durable[streams[5]] == 2


def test_a_header_is_none_where_there_is_none(files):
    three_segments(files)
    data_of(files, 1)[3] ^= 1
    data_of(files, 2)[:] = data_of(files, 3)
    data_of(files, 3)[:] = fragment(b"?", 0, salt_of(RUN, 3))
    assert [read_header(files, DIRECTORY, RUN, number) for number in (1, 2, 3)] == [None] * 3
    assert segment_numbers(files, DIRECTORY) == [1, 2, 3]


def test_a_newest_segment_without_its_header_is_told():
    """It gets its name when its header is durable: this is rot, and acknowledged frames may be gone."""
    files = MemoryFiles()
    commit(open_journal(files), rows_frame(0))
    commit(open_journal(files), rows_frame(1))
    data = files.seen[segment_path(DIRECTORY, 2)].data
    data[:] = bytes(len(data))
    found, flaws, _ = read_found(files)
    assert [bytes(item.frame) for item in found] == [rows_frame(0)]
    assert [(flaw.segment, flaw.reason) for flaw in flaws] == [(2, "the segment has no header")]


def test_a_reader_that_remembers_makes_names_durable_before_it_hands_anything_out():
    files = MemoryFiles()
    commit(open_journal(files), rows_frame(0))
    files.durable.clear()  # its maker was killed before it synced the folder
    reader = JournalReader(files, DIRECTORY, RUN, remembers=True)
    files.fail_next("sync_directory")
    with pytest.raises(OSError, match="Input/output"):
        reader.read()
    assert len(reader.read().frames) == 1
    assert list(files.durable) == [segment_path(DIRECTORY, 1)]
    begun = len(files.log)
    assert len(JournalReader(files, DIRECTORY, RUN).read().frames) == 1
    assert reader.read(reader.read().next).frames == []
    assert files.log[begun:] == []


def test_only_the_next_segment_says_where_one_ends():
    """The second, a short one, is missing: the third speaks of its end, and not of the first's."""
    files = MemoryFiles()
    first = [rows_frame(sequence, pad=100) for sequence in range(9)]
    commit(open_journal(files), *first)
    commit(open_journal(files), rows_frame(9))
    commit(open_journal(files), rows_frame(10))
    files.remove(segment_path(DIRECTORY, 2))
    found, flaws, _ = read_found(files)
    assert [bytes(item.frame) for item in found] == [*first, rows_frame(10)]
    assert [flaw.reason for flaw in flaws] == ["segment is missing (1 frames)"]
