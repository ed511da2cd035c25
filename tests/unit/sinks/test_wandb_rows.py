"""Entries -> history lines, names and what is told: the pure parts of the W&B sink."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from exptrack_daemon.journal.entries import Event, Rows
from exptrack_daemon.sinks.wandb import names
from exptrack_daemon.sinks.wandb import rows as sink_rows
from exptrack_daemon.sinks.wandb.names import Keys, ShownNames
from exptrack_daemon.sinks.wandb.options import options_of
from exptrack_daemon.sinks.wandb.told import Told
from exptrack_proto import records
from exptrack_proto.records import Row
from tests.support.wandb_journal import Script, array, entries_of, stream


def lines_of(entries, first, keys=None):
    return sink_rows.lines_of(entries, first, keys or Keys())


def row_values(row, keys=None):
    return sink_rows.row_values(row, stream(), keys or Keys())


def told_after(*events, told=None) -> Told:
    return (told or Told()).after(events, Keys())


def event(item, **who) -> Event:
    return Event(stream(**who), 1, 0, item)


def rows(*values, **who) -> Rows:
    return Rows(stream(**who), 1, 0, [Row(n, 10**9, v) for n, v in enumerate(values)])


def test_every_row_and_every_media_item_is_one_line_in_journal_order():
    entries = entries_of(Script(rows=40, media_every=2))
    lines = lines_of(entries, 0)
    assert [line.number for line in lines] == list(range(42))
    assert "media/1" in lines[20].values
    assert lines[41].key == "media/2"


def test_however_a_journal_is_batched_its_lines_are_the_same():
    entries = entries_of(Script(rows=60, media_every=1))
    whole = lines_of(entries, 0)
    for size in (1, 3, 7):
        pieces = []
        for at in range(0, len(entries), size):
            pieces += lines_of(entries[at : at + size], len(pieces))
        assert pieces == whole


def test_a_row_carries_its_step_and_its_time():
    assert row_values(Row(-7, 1_500_000_000, {"a": 1.5})) == {
        "a": 1.5,
        "step": -7,
        "_timestamp": 1.5,
    }


def test_a_users_own_step_is_kept():
    values = row_values(Row(5, 0, {"step": 99}))
    assert (values["step"], values["exptrack/step"]) == (99, 5)


def test_keys_that_wandb_would_swallow_are_renamed_so_that_nothing_collides():
    values = row_values(Row(0, 0, {"": 1, "(empty)": 2, "_step": 3, "_step (renamed)": 4}))
    told = {key: value for key, value in values.items() if key not in ("step", "_timestamp")}
    assert sorted(told.values()) == [1, 2, 3, 4]
    assert told["(empty)"] == 2
    assert "" not in told
    assert "_step" not in told


def test_other_ranks_are_told_apart_and_the_sampler_has_no_step():
    lines = lines_of(
        [rows({"a": 1, "": 2}, rank=2), rows({"system/cpu": 3}, role="sampler", rank=1)], 0
    )
    assert lines[0].values.keys() == {"rank_2/a", "rank_2/(empty)", "step", "_timestamp"}
    assert lines[1].values.keys() == {"system/cpu", "_timestamp"}


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        (["a", "a", " b "], ["a", "b"]),
        (["", "  ", "\x00"], []),
        (["x" * 70], ["x" * 64]),
        (["two\nlines"], ["two lines"]),
    ],
)
def test_tags_are_cleaned(given, cleaned):
    assert names.clean_tags(given) == cleaned


def test_file_names_are_short_clean_and_different():
    long = ["a" * 1000 + end for end in "xy"]
    files = [
        names.media_file_key(name) for name in [*long, "ok/name 1", "nul\x00", "nul_", "\ud800"]
    ]
    assert len(set(files)) == len(files)
    assert all(len(file.encode()) < 200 and "\x00" not in file for file in files)
    assert files[2] == "ok/name 1"


def test_projects_and_labels_are_what_wandb_takes():
    assert names.project_name("team/project #1?") == "team-project -1-"
    assert names.project_name(" ") == "uncategorized"
    assert names.label("x" * 200) == "x" * 128
    assert names.label("") is None
    assert names.run_identity("A-run.1") == "A-run.1"
    assert names.run_identity("a/b") != names.run_identity("a:b")


# -- what is told --------------------------------------------------------------------------------------


def test_config_and_summary_are_merged_and_survive_the_state():
    told = told_after(
        event(records.ConfigUpdate(time_ns=0, config='{"a": 1, "b": 1}')),
        event(records.ConfigUpdate(time_ns=0, config='{"b": 2, "_wandb": 3}')),
        event(records.Summary(time_ns=0, values='{"best": 5}'), rank=1),
        event(records.Hparams(time_ns=0, hparams='{"h": 1}', metrics='{"m": 2}')),
        event(records.Note(time_ns=0, text="one")),
        event(records.Note(time_ns=0, text="two")),
    )
    assert told.config == {"a": 1, "b": 2, "h": 1}  # `_wandb` is the drop-in's word to the sink
    assert told.summary == {"rank_1/best": 5, "m": 2}
    assert told.notes == "one\ntwo"
    assert Told.from_state(json.loads(json.dumps(told.to_state()))) == told


@pytest.mark.parametrize(
    ("status", "exit_code", "wanted"),
    [
        ("finished", 0, 0),
        ("finished", 7, 0),
        ("failed", 3, 3),
        ("failed", None, 1),
        ("crashed", 0, 1),
        ("failed", -15, -15),
    ],
)
def test_a_close_of_rank_0_ends_the_run(status, exit_code, wanted):
    close = records.Close(time_ns=0, status=status, exit_code=exit_code)
    assert told_after(event(close)).exit_code == wanted
    assert told_after(event(close, rank=1)).exit_code is None
    assert told_after(event(close, role="sampler")).exit_code is None


def test_a_new_attempt_opens_the_run_again_with_its_config():
    opened = records.Open(time_ns=0, project="p", name="n", config='{"lr": 2}')
    ended = Told(exit_code=0)
    assert told_after(event(opened), told=ended) == Told()
    assert told_after(event(opened, attempt=2), told=ended) == Told(config={"lr": 2})


def test_a_huge_config_is_left_out_of_the_state():
    huge = json.dumps({"x": "y" * 500_000})
    told = told_after(event(records.ConfigUpdate(time_ns=0, config=huge)))
    assert len(json.dumps(told.to_state())) < 1_000
    assert len(told.config["x"]) == 500_000


@pytest.mark.parametrize("text", ["[1]", "{", "null"])
def test_a_config_that_is_no_object_says_nothing(text):
    assert told_after(event(records.ConfigUpdate(time_ns=0, config=text))) == Told()


def test_a_broken_media_item_keeps_its_line_and_says_what_is_wrong():
    pixels = array(np.zeros((2, 2), dtype=np.uint8))
    broken = records.Array(dtype="u1", shape=[3, 3], data=pixels.data)
    image = records.Image(name="x", step=1, time_ns=0, pixels=broken)
    first, second = lines_of([event(image), rows({"a": 1})], 5)
    assert "4 bytes are no u1 3×3" in first.attachment.html
    assert (first.number, second.number) == (5, 6)


# -- what the run asks for -----------------------------------------------------------------------------


def asking(**options):
    return options_of(replace(Script().info, sink_options={"wandb": options}))


def test_a_run_names_its_metrics_and_its_step():
    names_ = {"train/loss": "Loss", "epoch/*": "Epoch/*", "epoch/deep/*": "Deep/*"}
    keys = asking(names=names_, step_name="train/step").keys
    row = Row(3, 0, {"train/loss": 1, "epoch/a": 2, "epoch/deep/b": 3, "epoch": 4, "_step": 5})
    assert row_values(row, keys) == {
        "Loss": 1,
        "Epoch/a": 2,
        "Deep/b": 3,
        "epoch": 4,
        "_step (renamed)": 5,
        "train/step": 3,
        "_timestamp": 0,
    }


def test_a_metric_of_the_steps_name_is_kept_whatever_that_name_is():
    keys = asking(step_name="train/step").keys
    values = row_values(Row(3, 0, {"train/step": 9}), keys)
    assert (values["train/step"], values["exptrack/step"]) == (9, 3)


def test_options_of_the_wrong_kind_are_passed_over():
    odd = asking(names=["x"], step_name=3, entity=None, unknown=1)
    assert (odd.entity, odd.keys.step, bool(odd.keys.shown)) == (None, "step", False)
    assert options_of(Script().info).keys.step == "step"
    assert asking(entity="team").entity == "team"
    assert ShownNames({"a": "b"}).of("c") == "c"
