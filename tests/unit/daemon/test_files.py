"""What replacing a file durably means when something goes wrong half way."""

from __future__ import annotations

import os
import resource

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


def test_a_write_that_the_system_takes_in_part_is_no_success(tmp_path):
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    file = OsFiles().open_append(tmp_path / "f")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, old[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            file.append(bytes(1_500))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        file.close()
    assert (tmp_path / "f").stat().st_size == 1_000


def test_a_sync_asks_the_device(tmp_path):
    """A pipe is the one file that says no."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    file = OsFiles().open_append(tmp_path / "pipe")
    with pytest.raises(OSError, match="Invalid argument"):
        file.sync()
    file.close()
    os.close(reader)
