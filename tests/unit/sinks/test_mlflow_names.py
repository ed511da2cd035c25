"""How names become MLflow's: as they are where it takes them, told apart where not."""

from __future__ import annotations

import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptrack_daemon.sinks.mlflow.names import (
    MAX_KEY_CHARS,
    Keys,
    experiment,
    file_name,
    key,
    labels,
    tag_key,
)
from exptrack_daemon.sinks.shown_names import ShownNames

TRICKY = st.text(alphabet="ab_x25f/.\\%:~ é\n", max_size=12)


def read_back(taken):
    return re.sub(
        r"_x([0-9a-f]*)_", lambda found: chr(int(found[1], 16)) if found[1] else "", taken
    )


@pytest.mark.parametrize("name", ["loss", "train/loss", "pos_x", "a.b-c d:e", "é", "_x", "a_x5"])
def test_a_name_that_mlflow_takes_stays(name):
    assert key(name) == name


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("50%", "50_x25_"),
        ("", "_x_"),
        (".", "_x2e_"),
        ("a//b", "a_x2f__x2f_b"),
        ("/a", "_x2f_a"),
        ("a\n", "a_xa_"),
        ("_x5f_", "_x5f_x5f_"),
        ("_x4#", "_x5f_x4_x23_"),
    ],
)
def test_what_it_does_not_take_is_spelled_out(name, taken):
    assert key(name) == taken


@given(TRICKY | st.text(max_size=20))
def test_every_key_is_one_that_mlflow_takes_and_can_be_read_back(name):
    taken = key(name)
    assert re.fullmatch(r"[/\w.\- :]+", taken)
    assert posixpath.normpath(taken) == taken
    assert not taken.startswith((".", "/"))
    assert read_back(taken) == name


@given(TRICKY, TRICKY)
def test_no_two_names_share_a_key_tag_or_file(one, other):
    for made in (key, tag_key, file_name):
        assert (made(one) == made(other)) == (one == other)


def test_long_names_are_cut_and_still_differ():
    first, second = key("n" * 300 + "1"), key("n" * 300 + "2")
    assert len(first) == MAX_KEY_CHARS
    assert first != second
    assert len(experiment("lab/", "p" * 1_024)) == 500


def test_tags_that_mean_something_to_mlflow_or_us_do_not():
    assert labels(["mlflow.user", "exptrack.place", "plain"]) == {
        "mlflow_x2e_user": "true",
        "exptrack_x2e_place": "true",
        "plain": "true",
    }


def test_files_never_leave_their_folder():
    assert file_name("../../etc/passwd") == "_x2e_.~..~etc~passwd"
    assert "/" not in file_name("/a/b")


def test_shown_names_never_make_two_metrics_of_a_row_one():
    keys = Keys(ShownNames({"a": "loss"}))
    assert keys.of_row(["a", "loss"], "") == ["loss", "loss'".replace("'", "_x27_")]
    assert keys.of_row(["a"], "rank_1/") == ["rank_1/loss"]
