"""Every truncation and every flipped bit of a small journal, and worse: only what was touched is lost."""

from __future__ import annotations

import os
from random import Random

import pytest

from exptrack_daemon.journal.reader import Flaw, JournalReader, segment_path
from exptrack_daemon.journal.segment import FrameRecord, interpret, salt_of, scan
from tests.support.journals import (
    DIRECTORY,
    RUN,
    append,
    commit,
    open_frame,
    open_journal,
    read_found,
    rows_frame,
)
from tests.support.memory_files import MemoryFiles

EVERY = 1 if os.environ.get("EXPTRACK_TORTURE") else 13
"""Of the bits, each thirteenth: an odd number, so that all bits of a byte have their turn."""


def small_journal() -> MemoryFiles:
    """Three segments of less than 4 KiB, the newest with a committed tail."""
    files = MemoryFiles()
    journal = open_journal(files, segment_bytes=1_200)
    commit(journal, open_frame())
    for sequence in range(1, 22):
        append(journal, rows_frame(sequence, pad=sequence * 37 % 90))
        if sequence % 3 == 0:
            journal.commit()
    journal.close()
    return files


FILES = small_journal()
FRAMES = [bytes(found.frame) for found in read_found(FILES)[0]]
SEGMENTS = {number: bytes(FILES.read(segment_path(DIRECTORY, number))) for number in (1, 2, 3)}


def frames_at(number: int) -> list[tuple[int, int, bytes]]:
    """Where the frames of a segment stand, by the scanner."""
    places = []
    for found in scan(SEGMENTS[number], 0, salt_of(RUN, number)):
        meaning = interpret(found.payload)
        if isinstance(meaning, FrameRecord):
            places.append((found.offset, found.end, bytes(meaning.frame)))
    return places


def damaged(number: int, data: bytes) -> MemoryFiles:
    files = MemoryFiles()
    files.make_directory(DIRECTORY)
    for other, whole in SEGMENTS.items():
        files.open_append(segment_path(DIRECTORY, other)).append(data if other == number else whole)
    return files


def expect(files: MemoryFiles, touched: set[bytes], *, says_so: bool = True) -> list[Flaw]:
    """All frames but the touched ones are read, in order; a missing one has its flaw."""
    found, flaws, _ = read_found(files)
    got = [bytes(item.frame) for item in found]
    assert [frame for frame in FRAMES if frame in set(got)] == got
    missing = set(FRAMES) - set(got)
    assert missing <= touched
    records = [FRAMES.index(frame) for frame in got]
    assert [item.start.record for item in found] == records
    if missing and says_so:
        assert flaws
    return flaws


def test_the_small_journal_is_small_and_whole():
    assert len(FRAMES) == 22
    assert sum(map(len, SEGMENTS.values())) <= 4_096
    assert [len(frames_at(number)) for number in SEGMENTS] == [8, 9, 5]


@pytest.mark.parametrize("number", SEGMENTS)
def test_a_flipped_bit_costs_the_frame_it_touches(number):
    data = SEGMENTS[number]
    places = frames_at(number)
    for bit in range(0, len(data) * 8, EVERY):
        copy = bytearray(data)
        copy[bit // 8] ^= 1 << bit % 8
        touched = {frame for start, end, frame in places if start <= bit // 8 < end}
        files = damaged(number, bytes(copy))
        unmarked = set()
        if number == 3 and bit // 8 >= last_mark():
            unmarked = tail()  # without its last mark nothing says that the tail counts …
        flaws = expect(files, touched | unmarked, says_so=not unmarked)
        assert touched or unmarked or not flaws or flaws[0].offset <= bit // 8
        open_journal(files).close()  # … until the next process has made it durable
        expect(files, touched)


def last_mark() -> int:
    return max(found.offset for found in scan(SEGMENTS[3], 0, salt_of(RUN, 3)))


def tail() -> set[bytes]:
    """The frames between the last two marks of the newest segment."""
    seen: list[list[bytes]] = [[]]
    for found in scan(SEGMENTS[3], 0, salt_of(RUN, 3)):
        meaning = interpret(found.payload)
        if isinstance(meaning, FrameRecord):
            seen[-1].append(bytes(meaning.frame))
        else:
            seen.append([])
    return set(next(group for group in reversed(seen) if group))


@pytest.mark.parametrize("number", SEGMENTS)
def test_a_truncation_costs_what_stood_after_it(number):
    places = frames_at(number)
    for size in range(0, len(SEGMENTS[number]), 1 if EVERY == 1 else 3):
        files = damaged(number, SEGMENTS[number][:size])
        touched = {frame for _, end, frame in places if end > size}
        unmarked = {frame for _, _, frame in places} if number == 3 else set()
        expect(files, touched | unmarked, says_so=number != 3)
        journal = open_journal(files)
        expect(files, touched, says_so=number != 3)
        commit(journal, rows_frame(22))  # and the journal goes on
        assert bytes(read_found(files)[0][-1].frame) == rows_frame(22)


@pytest.mark.parametrize("number", SEGMENTS)
def test_zeroed_or_overwritten_sectors_cost_the_frames_in_them(number):
    data = SEGMENTS[number]
    random = Random(number)
    for start in range(0, len(data), 64):
        for junk in (bytes(128), random.randbytes(128), data[:128]):
            copy = bytearray(data)
            copy[start : start + 128] = junk[: len(data) - start]
            touched = {
                f for begin, end, f in frames_at(number) if begin < start + 128 and end > start
            }
            unmarked = tail() if number == 3 and start + 128 > last_mark() else set()
            expect(damaged(number, bytes(copy)), touched | unmarked, says_so=not unmarked)


def test_segments_in_each_others_place_are_never_read_as_each_other():
    swapped = damaged(1, SEGMENTS[2])
    found, flaws, _ = read_found(swapped)
    assert [bytes(item.frame) for item in found] == [
        frame for number in (2, 3) for _, _, frame in frames_at(number)
    ]
    assert flaws


@pytest.mark.parametrize("number", SEGMENTS)
def test_a_missing_segment_is_seen_and_costs_itself(number):
    files = damaged(number, b"")
    files.remove(segment_path(DIRECTORY, number))
    expect(files, {frame for _, _, frame in frames_at(number)}, says_so=number != 3)


def test_a_piece_of_the_journal_inside_a_frame_is_never_taken_for_a_record():
    """The payload repeats what stands before it; then the sizes around it are damaged."""
    files = MemoryFiles()
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    past = FILES.read(segment_path(DIRECTORY, 1)) + files.read(segment_path(DIRECTORY, 1))
    data = rows_frame(1)[:39] + past
    commit(journal, data, rows_frame(2))
    path = segment_path(DIRECTORY, 1)
    place = bytes(files.read(path)).index(data) - 24
    for offset in range(place, place + 7):
        copy = bytearray(files.read(path))
        copy[offset] ^= 0xFF
        hurt = MemoryFiles()
        hurt.make_directory(DIRECTORY)
        hurt.open_append(path).append(copy)
        reading = JournalReader(hurt, DIRECTORY, RUN).read()
        assert [bytes(found.frame) for found in reading.frames] == [rows_frame(0), rows_frame(2)]
        assert len(reading.flaws) == 1


def test_random_damage_of_a_large_segment_costs_little_and_never_raises():
    files = MemoryFiles()
    journal = open_journal(files)
    random = Random(1)
    frames = [
        rows_frame(sequence, pad=random.choice((10, 3_000, 70_000))) for sequence in range(40)
    ]
    commit(journal, *frames)
    path = segment_path(DIRECTORY, 1)
    whole = files.read(path)
    for _ in range(60):
        copy = bytearray(whole)
        start, size = random.randrange(len(whole)), random.choice((1, 7, 600, 40_000))
        copy[start : start + size] = random.randbytes(min(size, len(whole) - start))
        hurt = MemoryFiles()
        hurt.make_directory(DIRECTORY)
        hurt.open_append(path).append(copy)
        for max_bytes in (1, 5_000, 1 << 22):
            found, flaws, _ = read_found(hurt, max_bytes=max_bytes)
            got = [bytes(item.frame) for item in found]
            kept = set(got)
            assert [frame for frame in frames if frame in kept] == got
            if start + size < len(whole) - 40:
                assert len(got) >= 40 - 2 - size // 40
                assert len(got) == 40 or flaws
