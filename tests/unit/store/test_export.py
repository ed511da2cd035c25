"""Exports: exact values, whole files, nothing a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
import math
import sys

import pyarrow.parquet as pq
import pytest

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.store.export import (
    MissingExtra,
    export_to,
    json_line,
    points_by_columns,
    seconds,
    unguarded,
    write_csv,
    write_jsonl,
    write_parquet,
    write_parquet_columns,
    writer_for,
)
from exptrack_daemon.store.live import TailTooLong
from exptrack_daemon.store.reader import Point, open_home
from tests.support.homes import HomeBuilder
from tests.support.stores import deliver

NS = 1_700_000_000_123_456_789


def points(*values, name="m"):
    return [Point(name, step, NS, value, 0) for step, value in enumerate(values)]


def as_csv(given, **options):
    stream = io.BytesIO()
    write_csv(given, stream, **options)
    return list(csv.reader(io.StringIO(stream.getvalue().decode(), newline="")))


def as_jsonl(given):
    stream = io.BytesIO()
    write_jsonl(given, stream)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def as_parquet(given):
    stream = io.BytesIO()
    write_parquet(given, stream)
    return pq.read_table(io.BytesIO(stream.getvalue()))


def test_csv_has_the_promised_columns_and_exact_values():
    lines = as_csv(points(0.1 + 0.2, 2**63 - 1, True, None, "text"))
    assert lines[0] == ["name", "step", "time", "value", "rank"]
    assert [line[3] for line in lines[1:]] == [
        "0.30000000000000004",
        str(2**63 - 1),
        "true",
        "",
        "text",
    ]
    assert lines[1] == ["m", "0", "1700000000.123456789", "0.30000000000000004", "0"]


def test_times_are_exact_seconds():
    assert [seconds(t) for t in (0, 1, 10**9, NS)] == [
        *("0.000000000", "0.000000001", "1.000000000", "1700000000.123456789")
    ]


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@x", "\tx", "\rx", "'x"])
def test_no_text_of_a_csv_is_run_by_a_spreadsheet(text):
    (_, line) = as_csv(points(text, name=text))
    assert (line[0], line[3]) == (f"'{text}", f"'{text}")
    assert unguarded(line[0]) == text


def test_numbers_are_never_guarded():
    assert [line[3] for line in as_csv(points(-1.5, -7, -math.inf))[1:]] == ["-1.5", "-7", "-inf"]


@pytest.mark.parametrize(
    "text", ['a,"b"\nc', "a\rb", "", "ü€😀", "\x1b[31m", "x" * 10_000, "nul\0"]
)
def test_odd_texts_come_back_from_every_format(text):
    given = points(text, name=f"n{text}")
    assert as_csv(given)[1][3] == text
    assert (as_jsonl(given)[0]["value"], as_jsonl(given)[0]["name"]) == (text, f"n{text}")
    assert as_parquet(given)["text"].to_pylist() == [text]


def test_what_goes_to_a_terminal_is_cleaned():
    lines = as_csv(points("\x1b[31m", name="a\x07"), clean=lambda text: text.replace("\x1b", "?"))
    assert lines[1][3] == "?[31m"


def test_json_lines_are_ascii_and_keep_what_is_not_a_number():
    line = json_line(Point("\x1bü", 1, NS, math.nan, 2))
    assert line.isascii()
    assert "\x1b" not in line
    assert math.isnan(json.loads(line)["value"])
    assert [
        json.loads(json_line(p))["value"] for p in points(math.inf, -math.inf, None, False)
    ] == [*(math.inf, -math.inf, None, False)]


def test_parquet_is_float64_and_keeps_beside_it_what_that_cannot_hold():
    table = as_parquet(points(0.1, 2**53, 2**53 + 1, 2**64 - 1, True, "s", None, math.nan))
    assert [str(field.type) for field in table.schema][1:4] == [
        "int64",
        "timestamp[ns, tz=UTC]",
        "double",
    ]
    assert table["text"].to_pylist() == [
        None,
        None,
        str(2**53 + 1),
        str(2**64 - 1),
        None,
        "s",
        None,
        None,
    ]
    values = table["value"].to_pylist()
    assert values[:2] + values[4:7] == [0.1, 2.0**53, 1.0, None, None]
    assert math.isnan(values[7])
    assert table["time"].cast("int64").to_pylist()[0] == NS


def test_many_points_go_in_several_row_groups():
    stream = io.BytesIO()
    write_parquet((Point(f"m{i % 3}", i, NS, float(i), 0) for i in range(150_000)), stream)
    file = pq.ParquetFile(stream)
    assert file.metadata.num_row_groups == 3
    assert file.read()["step"].to_pylist() == list(range(150_000))


def test_an_empty_run_is_an_empty_file_with_columns():
    assert as_csv([]) == [["name", "step", "time", "value", "rank"]]
    assert as_jsonl([]) == []
    assert as_parquet([]).column_names[:5] == ["name", "step", "time", "value", "rank"]


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "run.csv"
    target.write_text("old")

    def broken():
        yield from points(1.0)
        raise RuntimeError("torn")

    with pytest.raises(RuntimeError):
        export_to(target, write_csv, broken())
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["run.csv"]
    export_to(target, write_csv, points(1.0))
    assert target.read_text().startswith("name,")
    assert [path.name for path in tmp_path.iterdir()] == ["run.csv"]


def test_what_is_no_plain_file_is_written_straight(tmp_path):
    target = tmp_path / "null"
    target.symlink_to("/dev/null")
    export_to(target, write_csv, points(1.0))
    assert target.is_symlink()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ExptrackError, match=r"cannot write .*nowhere"):
        export_to(tmp_path / "nowhere" / "x.csv", write_csv, points(1.0))
    with pytest.raises(ExptrackError, match="Is a directory"):
        export_to(tmp_path, write_csv, points(1.0))


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"pip install 'exptrack\[export\]'"):
        writer_for("parquet")
    assert writer_for("jsonl") is write_jsonl


def test_parquet_from_columns_is_parquet_from_points(tmp_path):
    run = HomeBuilder(tmp_path).run("r")
    trainer, sampler = run.stream(), run.stream(role="sampler")
    odd = [1, True, None, "x", float("nan"), float("inf"), 2**53, 2**53 + 1, -(2**63), 0.1]
    for step, value in enumerate(odd * 3):
        trainer.log({"a": value, "b": 1.5}, step)
        sampler.log({"cpu": 1.0}, step)
    deliver(tmp_path, "r")
    trainer.log({"late": 1.0}, 99)
    run.close()
    reader = open_home(tmp_path)
    for system in (False, True):
        one, other = io.BytesIO(), io.BytesIO()
        write_parquet(reader.points("r", system=system), one)
        write_parquet_columns(reader.columns("r", system=system), other)
        tables = [pq.read_table(io.BytesIO(file.getvalue())) for file in (one, other)]
        assert repr(tables[0].to_pylist()) == repr(tables[1].to_pylist())
        assert tables[0].schema == tables[1].schema
        assert_same_lines(reader, system=system)


def assert_same_lines(reader, *, system):
    for write in (write_csv, write_jsonl):
        one, other = io.BytesIO(), io.BytesIO()
        write(reader.points("r", system=system), one)
        write(points_by_columns(reader, "r", system=system), other)
        assert one.getvalue() == other.getvalue()


def test_where_too_much_is_in_no_part_the_journal_takes_over_where_columns_ended(
    tmp_path, monkeypatch
):
    run = HomeBuilder(tmp_path).run("r")
    trainer = run.stream()
    for step in range(9):
        trainer.log({"a": step, "b": "text"}, step)
    reader = open_home(tmp_path)
    (chunk,) = reader.columns("r")

    def broken(*_args, **_options):
        yield chunk
        raise TailTooLong

    for step in range(9, 20):
        trainer.log({"a": step}, step)
    run.close()
    with monkeypatch.context() as patch:
        patch.setattr(reader, "columns", broken)
        assert_same_lines(reader, system=False)
    monkeypatch.setitem(sys.modules, "exptrack_daemon.store.live", None)
    assert_same_lines(reader, system=False)
