"""plot: files, charts in the terminal, and words for what can not be drawn."""

from __future__ import annotations

import re

import pytest
from PIL import Image
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.plots import KINDS
from exptrack_proto.records import Row
from tests.support.homes import START_NS, HomeBuilder

HOSTILE = "\x1b[31m\x1b]0;pwned\x07 $\\frac$ 训练 🚀\n\u202e" + "y" * 900


@pytest.fixture
def home(tmp_path):
    builder = HomeBuilder(tmp_path / "home")
    for number in range(3):
        run = builder.run(f"r{number}")
        stream = run.stream(name=f"net-seed{number}", config={"lr": 0.1, "seed": number})
        stream.rows(
            *[Row(s, START_NS + s * 10**9, {"train/loss": 1 / (s + 1), "x": s}) for s in range(50)]
        )
        run.close()
    run = builder.run("bad")
    stream = run.stream(name=HOSTILE, project=HOSTILE)
    stream.log({HOSTILE: 1.0, "nan": float("nan")}, 1)
    run.close()
    return builder


def run_cli(home, *arguments, code=0, **environment):
    result = CliRunner().invoke(app, [*arguments, "--home", str(home.path)], env=environment)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout if not code else result.output


def test_a_file_of_each_format(home, tmp_path):
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        target = tmp_path / f"x.{ending}"
        run_cli(home, "plot", "r0", "-o", str(target), "--size", "6x4", "--theme", "dark")
        assert target.read_bytes().startswith(start)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (660, 440)


def test_the_kind_follows_from_what_is_asked(home, tmp_path):
    small = ["-o", str(tmp_path / "x.png"), "--size", "4x3", "--dpi", "30"]

    def drawn(*arguments):
        result = CliRunner().invoke(app, ["plot", *arguments, *small, "--home", str(home.path)])
        assert result.exit_code == 0, result.output
        return result.stderr.partition(" ")[0]

    assert drawn("r0") == "training"
    assert drawn("r0", "r1") == "metrics"
    assert drawn("r0", "--metric", "x", "--log") == "metrics"
    assert drawn("bad") == "metrics"
    assert drawn("r0", "r1", "r2", "--group-by", "name") == "seeds"
    assert drawn("r0", "r1", "--kind", "seeds", "--interval", "minmax") == "seeds"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_without_a_file_there_is_a_chart_as_wide_as_the_terminal(home, width):
    shown = run_cli(home, "plot", "r0", "r1", COLUMNS=str(width))
    lines = shown.splitlines()
    assert width * 0.7 < max(map(len, lines)) <= width
    assert "train/loss" in lines
    assert any("━━ net-seed1" in line for line in lines)
    assert re.search("[\u2801-\u28ff]", shown)


def test_no_colours_into_a_pipe(home):
    assert "\x1b" not in run_cli(home, "plot", "r0", "r1", NO_COLOR="1")


def test_hostile_names_are_drawn_and_reach_no_terminal_raw(home, tmp_path):
    shown = run_cli(home, "plot", "bad")
    assert all(line.isprintable() for line in shown.splitlines())
    assert "no finite value" in shown
    run_cli(home, "plot", "bad", "r0", "--metric", "*", "-o", str(tmp_path / "x.svg"))


def test_the_kinds_are_listed(home):
    shown = run_cli(home, "plot", "--list")
    assert all(kind in shown for kind in KINDS)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "name at least one run"),
        (["nope"], 3, "no run"),
        (["r0", "-m", "train/lozz"], 3, "did you mean train/loss"),
        (["r0", "-o", "x.gif"], 2, "png, svg, pdf"),
        (["r0", "-o", "/nowhere/x.png"], 5, "cannot write"),
        (["r0", "--kind", "systemx"], 2, "did you mean system"),
        (["r0", "--kind", "gradients", "-o", "x.png"], 3, "log_gradients"),
        (["r0", "--kind", "system"], 2, "needs a file"),
        (["r0", "--size", "big"], 2, "8x5"),
        (["r0", "--smooth", "0.9"], 2, "share of the x axis"),
        (["r0", "--x", "epoch"], 3, "no metric of epochs"),
        (["r0", "--theme", "pink", "-o", "x.png"], 2, "no theme"),
    ],
)
def test_what_can_not_be_drawn_says_what_can(home, arguments, code, words):
    shown = run_cli(home, "plot", *arguments, code=code)
    assert words in shown
    assert "Traceback" not in shown
