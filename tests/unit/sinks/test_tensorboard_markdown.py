"""Markdown: foreign text is shown, not interpreted, and what was left out is said."""

import json

import pytest

from exptrack_daemon.errors import BatchRejected
from exptrack_daemon.sinks.tensorboard.markdown import (
    alert_markdown,
    pairs_markdown,
    table_markdown,
)
from exptrack_proto.records import Alert, Table


def table(columns, rows):
    text = rows if isinstance(rows, str) else json.dumps(rows)
    return Table(name="t", step=1, time_ns=1, columns=columns, rows=text)


def test_a_table_is_a_markdown_table():
    shown = table_markdown(table(["a", "b"], [[1, "x"], [None, 2.5]]))
    assert shown == "| a | b |\n| --- | --- |\n| 1 | x |\n| null | 2.5 |"


def test_cells_cannot_break_out_of_the_table():
    shown = table_markdown(table(["a|b"], [["<script>|\n*_`"]]))
    assert shown.splitlines()[0] == "| a&#124;b |"
    assert shown.splitlines()[2] == "| &#60;script&#62;&#124;<br>&#42;&#95;&#96; |"


def test_short_rows_are_filled_and_long_ones_cut():
    assert table_markdown(table(["a", "b"], [[1], [1, 2, 3]])).splitlines()[2:] == [
        "| 1 |  |",
        "| 1 | 2 |",
    ]


def test_what_is_past_the_cap_is_counted():
    shown = table_markdown(table([f"c{n}" for n in range(60)], [[1]] * 1_200))
    assert shown.endswith("*Left out here: 1,000 of 1,200 rows and 10 of 60 columns.*")
    assert shown.count("\n| ") == 1 + 200  # the rule below the head, and the rows


def test_a_long_cell_is_cut():
    assert len(table_markdown(table(["a"], [["x" * 9_000]]))) < 600


@pytest.mark.parametrize("rows", ["{", '{"a": 1}', "[1, 2]", "[" * 100_000])
def test_rows_that_are_no_rows_are_rejected_by_name(rows):
    with pytest.raises(BatchRejected, match="table 't' at step 1"):
        table_markdown(table(["a"], rows))


def test_an_alert_has_its_level_and_title():
    alert = Alert(time_ns=1, title="loss_is *NaN*", text="see step 7", level="error")
    assert alert_markdown(alert) == "**ERROR: loss&#95;is &#42;NaN&#42;**\n\nsee step 7"
    assert alert_markdown(Alert(time_ns=1, title="x")) == "**INFO: x**"


def test_pairs_stand_one_below_the_other():
    assert pairs_markdown({"lr": 0.1}).splitlines()[-1] == "| lr | 0.1 |"
