"""What people read: numbers, times, and texts that can do no harm."""

from __future__ import annotations

import io
import unicodedata

import pytest
from rich.console import Console

from exptrack_daemon.cli.render import (
    ago,
    clean,
    moment,
    number,
    pairs,
    plural,
    size,
    span,
    styled,
    table,
    value,
)

NOW = 1_700_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü€😀", "plain ü€😀"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("half \ud800", r"half \ud800"),
        ("nul\0", r"nul\x00"),
        ("a\u00a0b", "a b"),
    ],
)
def test_no_control_or_direction_character_gets_through(text, shown):
    assert clean(text) == shown


def test_every_character_there_is_comes_out_printable():
    everything = "".join(map(chr, range(0x3000)))
    shown = clean(everything, len(everything) + 1)
    assert shown.isprintable()
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in shown)


def test_a_long_text_is_cut_and_says_so():
    shown = clean("a" * 10_000)
    assert len(shown) == 200
    assert shown.endswith("…")


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (999, "999"), (99_999, "99,999"), (100_000, "100 k"), (1_234_567, "1.23 M"), (-5, "-5"),
     (25 * 10**9, "25 G"), (2**63, "9.22e+18")],
)  # fmt: skip
def test_numbers_read_at_a_glance(count, shown):
    assert number(count) == shown


def test_sizes_spans_and_plurals():
    assert [size(n) for n in (0, 1023, 1024, 5 * 2**30, 2**50)] == [
        *("0 B", "1023 B", "1.0 KiB", "5.0 GiB", "1024.0 TiB")
    ]
    assert [span(s) for s in (-1, 0.4, 59, 61, 3_600, 90 * 60, 3 * 86_400)] == [
        *("0 s", "0 s", "59 s", "1 min", "1 h 00 min", "1 h 30 min", "3 days")
    ]
    assert [plural(n, "row") for n in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]


@pytest.mark.parametrize(
    ("passed_s", "shown"),
    [
        (0, "just now"),
        (12, "12 s ago"),
        (180, "3 min ago"),
        (7_300, "2 h ago"),
        (3 * 86_400, "3 days ago"),
    ],
)
def test_times_are_told_as_people_do(passed_s, shown):
    assert ago(NOW - passed_s * 10**9, NOW) == shown


def test_times_long_ago_ahead_or_unknown_are_no_riddle():
    assert ago(NOW - 100 * 86_400 * 10**9, NOW) == "2023-08-06"
    assert ago(NOW + 86_400 * 10**9, NOW) == "2023-11-15"
    assert ago(0, NOW) == "–"
    assert moment(2**63 - 1).startswith("2262")
    assert moment(10**40) == "–"


def test_values_are_short():
    assert [value(v) for v in (None, True, 0.1 + 0.2, float("nan"), 7, "\x1b", {"a": 1})] == [
        *("–", "true", "0.3", "nan", "7", r"\x1b", "{'a': 1}")
    ]


def printed(renderable, width=80):
    out = io.StringIO()
    Console(file=out, width=width, markup=False, highlight=False).print(renderable)
    return out.getvalue()


def test_a_table_keeps_its_first_column_and_cuts_the_one_that_gives_way():
    shown = printed(table(("ID", "NAME~", "ROWS#"), [("a" * 30, "n" * 500, "1,234")]))
    line = shown.splitlines()[1]
    assert len(line) <= 80
    assert line.startswith("a" * 30)
    assert line.rstrip().endswith("…  1,234")


def test_what_looks_like_markup_is_text():
    shown = printed(table(("A",), [("[red]x[/red] :smile:",)]))
    assert "[red]x[/red] :smile:" in shown
    assert "[bold]" in printed(pairs([("[bold]", styled("[bold]"))]))
