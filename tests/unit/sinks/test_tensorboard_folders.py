"""Folders: one run one folder, whatever two runs are called."""

import shutil
import stat

import pytest

from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.sinks.tensorboard.folders import CLAIM, claim_folder, file_name, find_folder
from tests.support.tensorboard_journal import run_info


def test_a_run_finds_its_folder_again(tmp_path):
    folder = claim_folder(tmp_path, run_info(name="a/b"))
    assert folder == tmp_path / "mnist" / "a~2Fb"
    assert claim_folder(tmp_path, run_info(name="a/b")) == folder


def test_a_second_run_of_the_name_gets_a_folder_with_its_id(tmp_path):
    claim_folder(tmp_path, run_info(run_id="r1", name="x"))
    assert claim_folder(tmp_path, run_info(run_id="r2", name="x")).name == "x_r2"
    assert claim_folder(tmp_path, run_info(run_id="r2", name="x")).name == "x_r2"


def test_a_run_keeps_its_folder_when_the_plain_name_becomes_free(tmp_path):
    first = claim_folder(tmp_path, run_info(run_id="r1", name="x"))
    second = claim_folder(tmp_path, run_info(run_id="r2", name="x"))
    shutil.rmtree(first)
    assert find_folder(tmp_path, run_info(run_id="r2", name="x")) == second
    assert claim_folder(tmp_path, run_info(run_id="r2", name="x")) == second


def test_a_run_whose_name_is_anothers_fallback_is_told_apart(tmp_path):
    claim_folder(tmp_path, run_info(run_id="r1", name="x"))
    claim_folder(tmp_path, run_info(run_id="r3", name="x_r2"))
    assert claim_folder(tmp_path, run_info(run_id="r2", name="x")).name == "x_r2_2"


def test_a_claim_that_a_crash_left_empty_is_somebody_elses(tmp_path):
    taken = tmp_path / "mnist" / "x"
    taken.mkdir(parents=True)
    (taken / CLAIM).touch()
    assert claim_folder(tmp_path, run_info(name="x")).name == "x_r4k2"


def test_a_folder_is_found_without_making_one(tmp_path):
    assert find_folder(tmp_path, run_info()) is None
    folder = claim_folder(tmp_path, run_info())
    assert find_folder(tmp_path, run_info()) == folder
    assert find_folder(tmp_path, run_info(run_id="other")) is None


def test_a_link_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mnist").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HomeUnusable, match="link"):
        claim_folder(tmp_path, run_info())


def test_folders_and_claim_are_private(tmp_path):
    folder = claim_folder(tmp_path / "tb", run_info())
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, folder / CLAIM)]
    assert modes == [0o700, 0o700, 0o600]


def test_the_file_name_is_one_tensorboard_reads_and_depends_on_the_run_alone():
    assert file_name(run_info()) == "events.out.tfevents.1700000000.exptrack.r4k2"
