"""Every file system that stands under the production code does the same: the real one and the fakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptrack_daemon.files import OsFiles
from tests.support.faulty_files import FaultyFiles
from tests.support.memory_files import RUNS, MemoryFiles


@pytest.fixture(params=["os", "faulty", "memory"])
def files(request):
    return {"os": OsFiles, "faulty": FaultyFiles, "memory": MemoryFiles}[request.param]()


@pytest.fixture
def root(files, tmp_path):
    root = RUNS if isinstance(files, MemoryFiles) else tmp_path / "root"
    files.make_directory(root)
    return root


def put(files, path: Path, *parts: bytes) -> None:
    file = files.open_append(path)
    for part in parts:
        file.append(part)
    file.sync()
    file.close()


def test_a_file_grows_and_is_read_from_any_place(files, root):
    put(files, root / "f", b"abc", memoryview(b"defg"), b"")
    assert files.read(root / "f") == b"abcdefg"
    assert files.read(root / "f", 3) == b"defg"
    assert files.read(root / "f", 3, 2) == b"de"
    assert files.read(root / "f", 5, 100) == b"fg"
    assert files.read(root / "f", 99) == b""
    assert files.size(root / "f") == 7


def test_opening_again_goes_on_at_the_end_and_knows_the_size(files, root):
    put(files, root / "f", b"abc")
    file = files.open_append(root / "f")
    assert file.size == 3
    file.append(b"d")
    assert file.size == 4
    file.close()
    assert files.read(root / "f") == b"abcd"


def test_what_is_cut_off_is_gone_and_appending_goes_on_there(files, root):
    if isinstance(files, MemoryFiles):
        pytest.skip("refuses to cut, since a journal's segment is never cut")
    file = files.open_append(root / "f")
    file.append(b"abcdef")
    file.truncate(2)
    assert file.size == 2
    file.append(b"X")
    file.close()
    assert files.read(root / "f") == b"abX"


def test_names_are_sorted_and_a_missing_folder_has_none(files, root):
    for name in ("b", "a", "c"):
        put(files, root / name, b"")
    assert files.names(root) == ["a", "b", "c"]
    assert files.names(root / "missing") == []


def test_a_folder_is_made_with_its_parents_and_again_without_a_fuss(files, root):
    for _ in range(2):
        files.make_directory(root / "x" / "y")
    assert files.exists(root / "x" / "y")
    put(files, root / "x" / "y" / "f", b"1")
    files.sync_directory(root / "x" / "y")
    assert files.read(root / "x" / "y" / "f") == b"1"


def test_a_rename_replaces_and_removing_twice_is_fine(files, root):
    put(files, root / "old", b"old")
    put(files, root / "new", b"new")
    files.rename(root / "new", root / "old")
    assert files.read(root / "old") == b"new"
    assert not files.exists(root / "new")
    for _ in range(2):
        files.remove(root / "old")
    assert not files.exists(root / "old")


def test_what_is_missing_is_said_to_be_missing(files, root):
    with pytest.raises(FileNotFoundError):
        files.read(root / "missing")
    with pytest.raises(FileNotFoundError):
        files.size(root / "missing")
    with pytest.raises(FileNotFoundError):
        files.open_append(root / "nowhere" / "f")
