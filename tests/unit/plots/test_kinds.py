"""Every kind of picture through the door: files that open, the same each time, whatever runs hold."""

from __future__ import annotations

import io
import threading

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from exptrack_daemon.errors import RunNotFound
from exptrack_daemon.plots import FORMATS, KINDS, PlotRefused, figure, render
from exptrack_daemon.store.reader import open_home
from exptrack_proto.records import Row
from tests.support.homes import START_NS, HomeBuilder

HOSTILE = (
    "\x1b[31m\x1b]0;pwned\x07 $\\frac{1}{0}$ --><script>alert(1)</script> 训练 🚀 \u202egnp\n"
    + "y" * 900
)


@pytest.fixture
def reader(home):
    builder = HomeBuilder(home)
    builder.finished_run("r", rows=30)
    run = builder.run("hostile")
    stream = run.stream(name=HOSTILE, project=HOSTILE, config={HOSTILE: HOSTILE, "n": 1})
    for step in range(30):
        stream.log({HOSTILE: float(step), "$x^$": 1.0, "loss": float("nan"), "_m": 2.0}, step)
    run.close()
    builder.run("empty").stream()
    return open_home(home)


def test_a_picture_is_a_file_that_opens(reader):
    png = render(reader, "training", ["r"], size=(8, 5), dpi=50)
    assert Image.open(io.BytesIO(png)).size == (400, 250)
    assert render(reader, "training", ["r"], format="svg").startswith(b"<?xml")
    assert render(reader, "training", ["r"], format="pdf").startswith(b"%PDF")


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_same_run_gives_the_same_bytes_and_another_theme_others(reader, file_format):
    one, two, dark = (
        render(reader, "metrics", ["r"], format=file_format, theme=theme, size=(4, 3), dpi=40)
        for theme in ("light", "light", "dark")
    )
    assert one == two
    assert one != dark


@pytest.mark.parametrize("file_format", FORMATS)
def test_hostile_text_does_not_break_or_inject(reader, file_format):
    made = render(reader, "metrics", ["hostile", "r"], format=file_format)
    assert b"<script" not in made
    assert b"\x1b[31m" not in made


def test_the_settings_of_the_user_are_neither_used_nor_changed(reader):
    plain = render(reader, "training", ["r"])
    with mpl.rc_context({"axes.facecolor": "red", "text.usetex": True, "font.size": 30.0}):
        before = dict(mpl.rcParams)
        assert render(reader, "training", ["r"]) == plain
        assert dict(mpl.rcParams) == before


def test_threads_do_not_disturb_each_other(reader):
    wanted = {theme: render(reader, "training", ["r"], theme=theme) for theme in ("light", "dark")}
    found = []

    def work(theme):
        found.append(render(reader, "training", ["r"], theme=theme) == wanted[theme])

    threads = [threading.Thread(target=work, args=(theme,)) for theme in [*wanted] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 6


@pytest.mark.parametrize(
    ("kind", "runs", "options", "words"),
    [
        ("traininx", ["r"], {}, "did you mean training"),
        ("training", ["r", "hostile"], {}, "shows one run"),
        ("training", ["r"], {"theme": "pink"}, "no theme"),
        ("training", ["r"], {"format": "gif"}, "no format"),
        ("training", ["r"], {"log": True}, "means nothing"),
        ("training", ["r"], {"smoth": 0.1}, "did you mean smooth"),
        ("training", ["r"], {"smooth": 0.9}, "share of the x axis"),
        ("training", ["r"], {"size": (1000, 1)}, "inches"),
        ("training", ["r"], {"dpi": 100_000}, "too large"),
        ("metrics", ["r"], {"x": "minute"}, "x is one of"),
        ("metrics", ["r"], {"x": "wall", "log_x": True}, "no logarithm"),
    ],
)
def test_what_can_not_be_drawn_is_refused_with_a_word_on_what_can(
    reader, kind, runs, options, words
):
    with pytest.raises(PlotRefused, match=words):
        render(reader, kind, runs, **options)


def test_a_run_that_is_not_there_is_said(reader):
    with pytest.raises(RunNotFound):
        render(reader, "training", ["nope"])


def test_every_kind_says_what_it_shows():
    assert all(len(kind.says) > 20 for kind in KINDS.values())


@pytest.mark.parametrize("kind", ["metrics", "seeds"])
def test_steps_however_far_apart_stand_in_order(home, kind):
    run = HomeBuilder(home).run("far")
    steps = [-(2**63), -5, 0, 2**62, 2**63 - 1]
    run.stream().rows(*[Row(step, START_NS, {"loss": 1.0}) for step in steps])
    run.close()
    drawn = figure(open_home(home), kind, ["far"])
    assert (np.diff(drawn.axes[0].lines[0].get_xdata()) > 0).all()
