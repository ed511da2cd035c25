"""Damage that needs a journal of its own; tests/torture/damage.py does all to a small one."""

from __future__ import annotations

from random import Random

from exptrack_daemon.journal.reader import JournalReader, segment_path
from tests.support.journals import DIRECTORY, RUN, commit, open_journal, read_found, rows_frame
from tests.support.memory_files import MemoryFiles


def test_a_piece_of_the_journal_inside_a_frame_is_never_taken_for_a_record():
    """The payload repeats what stands before it; then the sizes around it are damaged."""
    files = MemoryFiles()
    journal = open_journal(files)
    commit(journal, rows_frame(0))
    past = files.read(segment_path(DIRECTORY, 1))
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
