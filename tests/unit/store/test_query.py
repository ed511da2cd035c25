from __future__ import annotations

import sys
from pathlib import Path

import pytest

from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.store.reader import HomeReader, open_home
from tests.support.homes import HomeBuilder
from tests.support.stores import deliver


@pytest.fixture
def reader(tmp_path: Path) -> HomeReader:
    """Two runs: one in the store but for its last rows, one in its journal only."""
    home = HomeBuilder(tmp_path)
    for name in ("a", "b"):
        run = home.run(name)
        trainer = run.stream(config={"lr": 0.1})
        for step in range(20):
            trainer.log({"loss": float(step), "acc": 1, "note": "x"}, step)
        if name == "a":
            deliver(tmp_path, "a")
        trainer.log({"loss": 100.0}, 20)
        trainer.close()
        run.close()
    return open_home(tmp_path)


def test_several_runs_as_one_long_table(reader: HomeReader) -> None:
    table = reader.frame(["a", "b"], ["loss", "absent"])
    assert table.column_names == ["run", "name", "rank", "step", "time", "value"]
    assert table.num_rows == 42
    assert table.to_pandas().groupby("run", observed=True)["value"].max().to_dict() == {
        "a": 100.0,
        "b": 100.0,
    }
    assert set(reader.frame(["a"]).column("name").to_pylist()) == {"loss", "acc"}
    assert reader.frame([]).num_rows == 0


def test_sql_sees_every_point_once(reader: HomeReader) -> None:
    found = reader.sql(
        "SELECT run, count(*), count(value), max(value) FROM points GROUP BY 1 ORDER BY 1"
    )
    assert found.fetchall() == [("a", 61, 41, 100.0), ("b", 61, 41, 100.0)]


def test_sql_joins_points_and_runs(reader: HomeReader) -> None:
    found = reader.sql(
        "SELECT r.name, r.config, max(step) FROM points p JOIN runs r ON r.id = p.run"
        " WHERE p.name = 'loss' GROUP BY ALL",
        runs=["a"],
    )
    assert found.fetchall() == [("a", '{"lr": 0.1}', 20)]


def test_sql_over_nothing(tmp_path: Path) -> None:
    assert open_home(tmp_path).sql("SELECT count(*) FROM points, runs").fetchall() == [(0,)]


def test_without_duckdb_it_says_what_to_install(
    reader: HomeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtra, match=r"pip install 'exptrack\[query\]'"):
        reader.sql("SELECT 1")


def test_a_series_as_other_libraries_take_it(reader: HomeReader) -> None:
    series = reader.series("a", ["loss"])["loss"]
    assert series.to_arrow().column_names == ["step", "time", "value"]
    assert series.to_pandas()["value"].max() == 100.0
    assert series.to_polars()["step"].to_list() == list(range(21))
