"""Whatever is logged reads back from every export, to the bit."""

from __future__ import annotations

import csv
import io
import json
import math

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from exptrack_daemon.store.export import unguarded, write_csv, write_jsonl, write_parquet
from exptrack_daemon.store.reader import Point

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.one_of(st.floats(), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none(), texts)
points = st.lists(
    st.builds(
        Point,
        name=texts,
        step=st.integers(-(2**63), 2**63 - 1),
        time_ns=st.integers(0, 2**63 - 1),
        value=values,
        rank=st.integers(0, 1 << 24),
    ),
    max_size=20,
)


def same(one, two):
    """Equal, of one type, NaN and the sign of zero included."""
    return type(one) is type(two) and (repr(one) == repr(two))


def nanoseconds(text):
    whole, rest = text.split(".")
    assert len(rest) == 9
    return int(whole) * 10**9 + int(rest)


def from_cell(cell, like):
    if isinstance(like, bool):
        return {"true": True, "false": False}[cell]
    if isinstance(like, str):
        return unguarded(cell)
    if like is None:
        return None if cell == "" else cell
    return type(like)(cell)


@given(points)
@settings(deadline=None)
def test_csv_reads_back(given_points):
    stream = io.BytesIO()
    write_csv(given_points, stream)
    lines = list(csv.reader(io.StringIO(stream.getvalue().decode("utf-8"), newline="")))[1:]
    assert len(lines) == len(given_points)
    for (name, step, time, value, rank), point in zip(lines, given_points, strict=True):
        assert (unguarded(name), int(step), int(rank)) == (point.name, point.step, point.rank)
        assert nanoseconds(time) == point.time_ns
        assert same(from_cell(value, point.value), point.value)
        if isinstance(point.value, str):
            assert not value.startswith(("=", "+", "-", "@", "\t", "\r"))


@given(points)
@settings(deadline=None)
def test_json_lines_read_back(given_points):
    stream = io.BytesIO()
    write_jsonl(given_points, stream)
    lines = stream.getvalue().decode("ascii").splitlines()
    assert len(lines) == len(given_points)
    for line, point in zip(lines, given_points, strict=True):
        read = json.loads(line, parse_float=str)
        assert (read["name"], read["step"], read["rank"]) == (point.name, point.step, point.rank)
        assert nanoseconds(read["time"]) == point.time_ns
        assert same(json.loads(line)["value"], point.value)


@given(points)
@settings(deadline=None)
def test_parquet_reads_back(given_points):
    stream = io.BytesIO()
    write_parquet(given_points, stream)
    table = pq.read_table(io.BytesIO(stream.getvalue()))
    columns = {name: table[name].to_pylist() for name in ("name", "step", "value", "rank", "text")}
    columns["time"] = table["time"].cast("int64").to_pylist()
    for row, point in enumerate(given_points):
        got = Point(
            *(columns[name][row] for name in ("name", "step", "time")), None, columns["rank"][row]
        )
        assert got == point._replace(value=None)
        value, text = columns["value"][row], columns["text"][row]
        if isinstance(point.value, str):
            assert (value, text) == (None, point.value)
        elif point.value is None:
            assert (value, text) == (None, None)
        elif isinstance(point.value, float) and math.isnan(point.value):
            assert math.isnan(value)
        else:
            assert same(value, float(point.value))
            if text is not None or not isinstance(point.value, float):
                assert point.value == (int(text) if text is not None else value)
