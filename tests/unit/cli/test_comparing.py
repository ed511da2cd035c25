"""compare: what differs, last and best values, means over seeds, and the picture."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.cli.comparison import Compared, comparison_of, spread_of
from exptrack_proto.records import Row
from tests.support.homes import START_NS, HomeBuilder

HOSTILE = "\x1b[31m\x1b]0;pwned\x07\n\u202e" + "y" * 900
NAN = float("nan")


@pytest.fixture
def home(tmp_path):
    builder = HomeBuilder(tmp_path / "home")
    for lr in (1, 2):
        for seed in range(3):
            run = builder.run(f"lr{lr}s{seed}")
            stream = run.stream(
                name=f"lr{lr}-seed{seed}", config={"opt": {"lr": lr}, "seed": seed, "same": 1}
            )
            losses = [3.0, lr - 0.5 + seed / 10, lr + seed / 10]
            stream.rows(
                *[Row(s, START_NS, {"val/loss": v, "lr": lr}) for s, v in enumerate(losses)]
            )
            stream.log({"val/acc": lr / 10 if seed else NAN}, 3)
            run.close()
    run = builder.run("bad")
    run.stream(name=HOSTILE, config={HOSTILE: HOSTILE}).log({HOSTILE: 1.0, "val/loss": 9.0})
    run.close()
    return builder


def run_cli(home, *arguments, code=0):
    result = CliRunner().invoke(app, [*arguments, "--home", str(home.path)], env={"COLUMNS": "80"})
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout if not code else result.output


def test_two_runs_side_by_side(home):
    lines = [line.split() for line in run_cli(home, "compare", "lr1s0", "lr2s1").splitlines()]
    assert ["opt.lr", "1", "2"] in lines
    assert ["last", "val/loss", "1", "*", "2.1"] in lines
    assert ["best", "val/loss", "0.5", "*", "1.6"] in lines
    assert ["last", "val/acc", "nan", "0.2"] in lines
    assert not any("same" in line for line in lines)


def test_what_is_best_can_be_said(home):
    lines = run_cli(home, "compare", "lr1s0", "lr2s1", "--goal", "max").splitlines()
    words = [line.split() for line in lines]
    assert ["best", "val/loss", "3", "3"] in words
    assert ["last", "val/loss", "1", "2.1", "*"] in words
    assert any(line.startswith("best, as asked: val/loss highest") for line in lines)
    told = json.loads(run_cli(home, "compare", "lr1s0", "lr2s1", "--goal", "min", "--json"))
    assert {metric["goal"] for metric in told["metrics"]} == {"min"}
    assert "--goal is min or max, not up" in run_cli(
        home, "compare", "lr1s0", "lr2s1", "--goal", "up", code=2
    )


def test_more_runs_below_each_other(home):
    shown = run_cli(home, "compare", "lr1s0", "lr1s1", "lr2s0", "lr2s1")
    assert "OPT.LR" in shown
    assert any(line.split()[:3] == ["lr2-seed1", "2", "1"] for line in shown.splitlines())


def test_seeds_are_grouped_with_mean_and_deviation(home):
    runs = [f"lr{lr}s{seed}" for lr in (1, 2) for seed in range(3)]
    shown = run_cli(home, "compare", *runs, "--group-by", "name")
    assert "lr1 ×3" in shown
    assert "1.1 ± 0.1 *" in shown
    document = json.loads(run_cli(home, "compare", *runs, "--group-by", "opt.lr", "--json"))
    first, second = document["groups"]
    assert (first["name"], first["runs"]) == ("opt.lr=1", runs[:3])
    assert second["last"]["val/loss"] == pytest.approx({"mean": 2.1, "std": 0.1, "runs": 3})
    assert second["last"]["val/acc"]["runs"] == 2
    assert document["differences"] == ["opt.lr"]


def test_the_document_holds_only_what_differs(home):
    document = json.loads(run_cli(home, "compare", "lr1s0", "lr2s0", "--json"))
    assert document["runs"][0]["config"] == {"opt.lr": 1}
    assert document["runs"][0]["best"] == {"val/loss": 0.5, "val/acc": None}
    assert document["runs"][0]["last"]["val/acc"] == "NaN"
    goals = {metric["name"]: metric["goal"] for metric in document["metrics"]}
    assert goals == {"val/loss": "min", "val/acc": "max"}


def test_a_picture_too(home, tmp_path):
    target = tmp_path / "x.png"
    run_cli(home, "compare", "lr1s0", "lr2s0", "-o", str(target), "--size", "6x4")
    assert target.read_bytes().startswith(b"\x89PNG")
    run_cli(home, "compare", "lr1s0", "lr1s1", "--group-by", "opt.lr", "-o", str(target))


def test_hostile_text_reaches_no_terminal_raw(home):
    for extra in ([], ["--json"], ["--group-by", HOSTILE]):
        shown = run_cli(home, "compare", "bad", "lr1s0", *extra)
        assert all(line.isprintable() for line in shown.splitlines())
        assert extra == ["--json"] or max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["lr1s0"], 2, "at least two runs"),
        (["lr1s0", "lr1s0"], 2, "at least two runs"),
        (["lr1s0", "nope"], 3, "no run"),
        (["lr1s0", "lr2s0", "-m", "val/lozz"], 3, "did you mean val/loss"),
    ],
)
def test_what_can_not_be_compared_is_said(home, arguments, code, words):
    assert words in run_cli(home, "compare", *arguments, code=code)


def test_what_is_best_needs_a_difference():
    runs = [Compared("a", "a", {}, {}, {}), Compared("b", "b", {}, {}, {})]
    compared = comparison_of(runs, ["loss"], None, grouped=False)
    assert compared.best_of("loss", [1.0, 2.0, None, NAN]) == {0}
    assert compared.best_of("val/acc", [1.0, 2.0]) == {1}
    assert compared.best_of("loss", [1.0, 1.0]) == set()
    assert compared.best_of("loss", [None, 1.0]) == set()


def test_a_spread_leaves_out_what_is_not_finite():
    spread = spread_of([1.0, 3.0, NAN, None, "x", 10**400])
    assert (spread.mean, spread.std, spread.runs) == (2.0, pytest.approx(2**0.5), 2)
    assert spread_of([NAN]) is None
    assert spread_of([True]).std is None
