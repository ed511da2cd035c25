"""The fold: what entries add up to."""

from __future__ import annotations

import math

from exptrack_daemon.journal.entries import Event, Rows, Stream
from exptrack_daemon.store.facts import fresh, take_info
from exptrack_proto.records import (
    Alert,
    Artifact,
    Close,
    ConfigUpdate,
    Loss,
    Note,
    Open,
    Row,
    Summary,
)
from tests.support.homes import HomeBuilder

RANK0 = Stream("00" * 16, 0, 2, 1, "trainer", "node1", 1, 10)
RANK1 = Stream("11" * 16, 1, 2, 1, "trainer", "node1", 2, 10)
SAMPLER = Stream("22" * 16, 0, 1, 1, "sampler", "node1", 3, 10)


def rows(stream, first, *values, step=None):
    made = [
        Row(first + i if step is None else step, 100 + first + i, v) for i, v in enumerate(values)
    ]
    return Rows(stream, first, 0, made)


def test_rows_points_and_last_values_are_counted():
    facts = fresh("r")
    facts.fold(rows(RANK0, 1, {"a": 1.0, "b": 2}, {"a": 3.0}))
    assert (facts.rows, facts.points, facts.last_step, facts.updated_ns) == (2, 3, 2, 102)
    assert facts.summary == {"a": 3.0, "b": 2}


def test_folding_an_entry_again_changes_nothing():
    facts = fresh("r")
    entry = rows(RANK0, 1, {"a": 1.0}, {"a": 2.0})
    close = Event(RANK0, 3, 2, Close(time_ns=9, status="finished", exit_code=0))
    loss = Event(RANK1, 5, 2, Loss(time_ns=9, first=1, last=4, reason="full"))
    for _ in range(3):
        facts.fold(entry)
        facts.fold(close)
        facts.fold(loss)
    assert (facts.rows, facts.points, len(facts.ledger), facts.lost_items) == (2, 2, 1, 4)


def test_of_an_entry_that_came_partly_before_only_the_new_rows_count():
    facts = fresh("r")
    facts.fold(rows(RANK0, 1, {"a": 1.0}, {"a": 2.0}))
    facts.fold(rows(RANK0, 2, {"a": 9.0}, {"a": 3.0}))
    assert (facts.rows, facts.summary["a"]) == (3, 3.0)


def test_rank_0_has_the_say_on_values_that_other_ranks_log_too():
    facts = fresh("r")
    facts.fold(rows(RANK0, 1, {"loss": 0.5}))
    facts.fold(rows(RANK1, 1, {"loss": 99.0, "only1": 7}))
    assert facts.summary == {"loss": 0.5, "only1": 7}


def test_what_the_user_sets_as_summary_stands_above_what_was_logged():
    facts = fresh("r")
    facts.fold(Event(RANK0, 1, 0, Summary(time_ns=1, values='{"acc": 0.9, "note": "best"}')))
    facts.fold(rows(RANK0, 2, {"acc": 0.1}))
    assert facts.summary == {"acc": 0.9, "note": "best"}


def test_half_a_surrogate_pair_in_a_summary_name_does_not_get_through():
    facts = fresh("r")
    facts.fold(Event(RANK0, 1, 0, Summary(time_ns=1, values='{"\\ud800": 1}')))
    assert facts.summary == {"?": 1}


def test_the_sampler_counts_apart():
    facts = fresh("r")
    facts.fold(rows(SAMPLER, 1, {"gpu": 93.0}, step=10**9))
    assert (facts.rows, facts.system_rows, facts.system_points) == (0, 1, 1)
    assert facts.last_step is None
    assert facts.values.system == {"gpu": 93.0}
    assert facts.summary == {}


def test_the_last_step_is_the_highest_of_the_newest_attempt():
    facts = fresh("r")
    second = Stream("33" * 16, 0, 1, 2, "trainer", "node1", 9, 20)
    facts.fold(rows(RANK0, 1, {"a": 1}, step=500))
    facts.fold(rows(RANK0, 2, {"a": 1}, step=3))
    assert facts.last_step == 500
    facts.fold(rows(second, 1, {"a": 1}, step=100))
    facts.fold(rows(RANK0, 3, {"a": 1}, step=900))
    assert (facts.last_step, facts.attempts, facts.ranks) == (100, 2, 1)


def test_negative_steps_and_nan_are_kept():
    facts = fresh("r")
    facts.fold(rows(RANK0, 1, {"a": math.nan}, step=-(2**63)))
    assert facts.last_step == -(2**63)
    assert math.isnan(facts.summary["a"])


def test_config_updates_are_merged_whatever_order_the_run_becomes_known_in():
    facts = fresh("r")
    facts.fold(Event(RANK0, 1, 0, ConfigUpdate(time_ns=1, config='{"lr": 2, "new": 1}')))
    known = fresh("r").run
    take_info(facts, type(known)("r", "p", "n", 5, config={"lr": 1, "seed": 0}))
    assert facts.run.config == {"lr": 2, "new": 1, "seed": 0}
    assert facts.run.name == "n"


def test_alerts_and_losses_are_kept_in_order():
    facts = fresh("r")
    facts.fold(Event(RANK0, 1, 0, Alert(time_ns=1, title="a", text="t", level="error")))
    facts.fold(Event(RANK1, 9, 0, Loss(time_ns=2, first=3, last=8, reason="full")))
    assert facts.alerts == [(1, "error", "a", "t")]
    assert facts.ledger[0].rank == 1
    assert facts.ledger[0].items == 6


def test_an_open_or_a_media_item_only_moves_the_stream_on():
    facts = fresh("r")
    facts.fold(Event(RANK0, 0, 0, Open(time_ns=44, project="p", name="n")))
    assert facts.streams[RANK0.stream_id].next == 1
    assert facts.updated_ns == 44


def test_notes_and_artifacts_are_kept():
    facts = fresh("r")
    facts.fold(Event(RANK0, 0, 0, Note(time_ns=5, text="looks good")))
    file = Artifact(time_ns=6, step=7, name="best", type="model", path="/m.pt", size_bytes=8)
    facts.fold(Event(RANK0, 1, 0, file))
    assert facts.notes == [(5, "looks good")]
    assert facts.artifacts == [(6, 7, "best", "model", "/m.pt", 8, "", "{}")]


def test_a_wide_run_folds_right(tmp_path):
    home = HomeBuilder(tmp_path)
    run = home.run()
    stream = run.stream()
    for step in range(3):
        stream.log({f"m{i}": float(i + step) for i in range(3_000)}, step)
    from exptrack_daemon.store import open_home

    facts = open_home(home.path).view(run.run_id).facts
    assert (facts.points, len(facts.summary), facts.summary["m2999"]) == (9_000, 3_000, 3_001.0)
