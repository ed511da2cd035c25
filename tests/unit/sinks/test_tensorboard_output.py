"""One file on disk: whole batches or nothing, and bytes survive a sync that failed."""

import pytest

from exptrack_daemon.sinks.tensorboard.output import Output
from tests.support.faulty_files import FaultyFiles


@pytest.fixture
def files():
    return FaultyFiles()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_no_descriptor_is_kept_past_a_sync(files, path):
    output = Output(files, path, 0)
    output.append(b"one")
    assert output.is_open
    output.sync()
    assert (output.is_open, files.opened, path.read_bytes()) == (False, 0, b"one")


def test_a_failed_append_leaves_the_file_as_it_was(files, path):
    output = Output(files, path, 0)
    output.append(b"one")
    files.fail_next("append")
    with pytest.raises(OSError, match="No space"):
        output.append(b"second")
    assert (output.size, path.read_bytes()) == (3, b"one")


def test_a_tail_that_could_not_be_cut_is_cut_by_the_next_append(files, path):
    output = Output(files, path, 0)
    output.append(b"one")
    files.fail_next("append", "truncate")
    with pytest.raises(OSError, match="No space"):
        output.append(b"second")
    assert path.read_bytes() == b"onesec"
    output.append(b"two")
    assert path.read_bytes() == b"onetwo"


def test_bytes_that_a_failed_sync_lost_are_written_again(files, path):
    output = Output(files, path, 0)
    output.append(b"safe")
    output.sync()
    output.append(b"one")
    output.append(b"two")
    files.fail_next("sync")
    with pytest.raises(OSError, match="Input/output"):
        output.sync()
    assert path.read_bytes() == b"safe" + bytes(6)
    output.sync()
    assert path.read_bytes() == b"safeonetwo"


def test_an_append_after_a_failed_sync_mends_the_file_first(files, path):
    output = Output(files, path, 0)
    output.append(b"one")
    files.fail_next("sync", "append", "append")
    for act in (output.sync, lambda: output.append(b"two"), lambda: output.append(b"two")):
        with pytest.raises(OSError):  # noqa: PT011  # which one is the test above's business
            act()
    output.append(b"two")
    output.sync()
    assert path.read_bytes() == b"onetwo"


def test_a_cut_goes_back_before_what_was_synced(files, path):
    output = Output(files, path, 0)
    output.append(b"one")
    output.sync()
    output.cut(1)
    output.append(b"x")
    output.sync()
    assert path.read_bytes() == b"ox"
