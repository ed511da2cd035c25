"""What replacing a file durably means when something goes wrong half way."""

from __future__ import annotations

import os

import pytest

from exptrack_daemon.files import OsFiles, replace_durably
from tests.support.faulty_files import FaultyFiles


def test_a_file_is_replaced_whole(tmp_path):
    for data in (b"old", b"new and longer", b""):
        replace_durably(OsFiles(), tmp_path / "f", data)
        assert (tmp_path / "f").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("act", ["append", "sync"])
def test_a_failure_leaves_the_old_content_and_no_descriptor(tmp_path, act):
    files = FaultyFiles()
    replace_durably(files, tmp_path / "f", b"old")
    files.fail_next(act)
    with pytest.raises(OSError, match=r"No space|Input/output"):
        replace_durably(files, tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert files.opened == 0
    replace_durably(files, tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"


def test_a_left_over_of_a_kill_is_in_nobodys_way(tmp_path):
    (tmp_path / "f.tmp").write_bytes(b"half of someth")
    replace_durably(OsFiles(), tmp_path / "f", b"whole")
    assert (tmp_path / "f").read_bytes() == b"whole"


def test_folders_and_files_are_private_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        OsFiles().make_directory(tmp_path / "a" / "b" / "c")
        OsFiles().open_append(tmp_path / "a" / "f").close()
    finally:
        os.umask(old)
    for path in (tmp_path / "a").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_a_link_is_not_followed_for_appending(tmp_path):
    (tmp_path / "target").write_bytes(b"theirs")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        OsFiles().open_append(tmp_path / "link")
