"""Settings: argument before environment before default, and what cannot be is said at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exptrack_agent import Misuse
from exptrack_agent.settings import (
    BoxLimits,
    home_path,
    host_name,
    identity,
    mode_of,
    resume_of,
    ring_root,
    run_id_from,
)
from exptrack_daemon.home import Home
from exptrack_proto.limits import MAX_FRAME_BYTES
from exptrack_proto.ring import DATA_OFFSET


def test_the_home_is_the_argument_else_the_environment_else_below_the_users(tmp_path, monkeypatch):
    assert home_path(tmp_path, {"EXPTRACK_HOME": "/else"}) == tmp_path
    assert home_path(None, {"EXPTRACK_HOME": str(tmp_path)}) == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home_path(None, {}) == tmp_path / ".exptrack"
    assert home_path("~/x", {}) == tmp_path / "x"


def test_links_in_the_home_are_resolved_so_that_all_processes_mean_the_same_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert home_path(tmp_path / "link") == tmp_path / "real"


@pytest.mark.parametrize("home", [5, b"bytes", "a\0b", "~nobody-of-this-name/x", object()])
def test_a_home_that_can_be_none_is_a_misuse_that_names_the_setting(home):
    with pytest.raises(Misuse, match="EXPTRACK_HOME"):
        home_path(home)


def test_the_mode_is_the_argument_else_the_environment_else_online():
    assert mode_of("offline", {"EXPTRACK_MODE": "disabled"}) == "offline"
    assert mode_of(None, {"EXPTRACK_MODE": "disabled"}) == "disabled"
    assert mode_of(None, {"EXPTRACK_MODE": ""}) == "online"
    assert mode_of(None, {}) == "online"
    with pytest.raises(Misuse, match="not 'on'"):
        mode_of("on", {})


@pytest.mark.parametrize(
    ("given", "policy"),
    [("never", "never"), ("allow", "allow"), ("must", "must"), (True, "allow"), (False, "never")],
)
def test_resume_policies(given, policy):
    assert resume_of(given) == policy


@pytest.mark.parametrize("given", ["yes", None, 1.5])
def test_no_resume_policy(given):
    with pytest.raises(Misuse):
        resume_of(given)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (0, 1, 0)),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, (3, 8, 1)),
        ({"RANK": "3", "WORLD_SIZE": "8"}, (3, 8, 0)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 2, 0)),
        ({"PMI_RANK": "5", "PMI_SIZE": "6", "MPI_LOCALRANKID": "1"}, (5, 6, 1)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_LOCALID": "2"}, (2, 4, 2)),
        ({"RANK": "x", "WORLD_SIZE": "8"}, (0, 1, 0)),
        ({"RANK": "0", "WORLD_SIZE": "2", "SLURM_PROCID": "7", "SLURM_NTASKS": "8"}, (0, 2, 0)),
        ({"RANK": "9", "WORLD_SIZE": "0"}, (9, 10, 0)),
    ],
)
def test_ranks_as_torchrun_mpi_and_slurm_set_them(environ, expected):
    assert identity(environ) == expected


def test_an_empty_run_id_in_the_environment_is_none():
    assert run_id_from({"EXPTRACK_RUN_ID": ""}) is None
    assert run_id_from({"EXPTRACK_RUN_ID": "a"}) == "a"


def test_agent_and_daemon_look_for_rings_in_the_same_place(tmp_path):
    assert ring_root(tmp_path) in Home(tmp_path).ring_roots


def test_every_item_fits_into_a_segment():
    assert BoxLimits().segment_bytes - DATA_OFFSET > MAX_FRAME_BYTES


def test_the_host_has_a_name():
    assert host_name() == os.uname().nodename
    assert Path("/") == home_path("/")
