"""A sink's cursor: replaced whole, and never misread."""

from __future__ import annotations

from random import Random

import pytest

from exptrack_daemon.journal.cursor import CURSOR_VERSION, Cursor, load_cursor, save_cursor
from exptrack_daemon.journal.position import START, Position
from tests.support.memory_files import RUNS, Failure, MemoryFiles

PATH = RUNS / "run" / "cursors" / "store.json"
CURSOR = Cursor(
    Position(2, 77, 5, 9), 5, 9, {"run": {"json": ["{}"]}}, {"offset": 3, "f": 1e300}, 1
)


def saved(cursor: Cursor = CURSOR) -> MemoryFiles:
    files = MemoryFiles()
    files.make_directory(PATH.parent)
    for folder in (RUNS, PATH.parent.parent):
        files.sync_directory(folder)
    save_cursor(files, PATH, cursor)
    return files


def test_a_cursor_comes_back_as_it_was():
    loaded = load_cursor(saved(), PATH)
    assert loaded.position == Position(2, 77, 5, 9)
    assert loaded == Cursor(**{**fields(CURSOR), "check": loaded.check})


def fields(cursor: Cursor) -> dict[str, object]:
    return {name: getattr(cursor, name) for name in Cursor.__slots__}


def test_without_a_file_a_sink_begins_at_the_start():
    assert load_cursor(MemoryFiles(), PATH) == Cursor()
    assert Cursor().position == START


def test_a_cursor_of_a_newer_version_is_not_read_as_ours():
    newer = Cursor(Position(2, 77, 5, 9), version=CURSOR_VERSION + 1)
    assert load_cursor(saved(newer), PATH) == Cursor()


def rewritten(data: bytes) -> MemoryFiles:
    files = MemoryFiles()
    files.make_directory(PATH.parent)
    files.open_append(PATH).append(data)
    return files


def test_every_flipped_bit_gives_the_cursor_or_a_fresh_one():
    data = saved().read(PATH)
    whole = load_cursor(saved(), PATH)
    for bit in range(len(data) * 8):
        copy = bytearray(data)
        copy[bit // 8] ^= 1 << bit % 8
        assert load_cursor(rewritten(bytes(copy)), PATH) in (whole, Cursor())


@pytest.mark.parametrize("data", [b"", b"\xff", b"null", b"[" * 100_000, b'{"state":' * 100_000])
def test_what_is_no_cursor_gives_a_fresh_one(data):
    assert load_cursor(rewritten(data), PATH) == Cursor()
    assert load_cursor(rewritten(saved().read(PATH)[:-9]), PATH) == Cursor()


@pytest.mark.parametrize("seed", range(40))
def test_a_crash_while_saving_leaves_the_old_cursor_or_the_new_one(seed):
    files = saved()
    after = Cursor(Position(3, 1, 6, 10), 6, 10)
    random = Random(seed)
    files.failures[len(files.log) + random.randrange(9)] = Failure(part=0.5)
    try:
        save_cursor(files, PATH, after)
        is_saved = True
    except OSError:
        is_saved = False
    left = load_cursor(files.crash(random), PATH).position
    assert left == after.position or (not is_saved and left == CURSOR.position)


@pytest.mark.parametrize("seed", range(8))
def test_the_first_cursor_makes_its_folder_durable(seed):
    files = MemoryFiles()
    files.make_directory(PATH.parent.parent)
    files.sync_directory(RUNS)
    save_cursor(files, PATH, CURSOR)
    assert load_cursor(files.crash(Random(seed)), PATH).position == CURSOR.position
