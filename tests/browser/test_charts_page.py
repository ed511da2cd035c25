"""The Charts page: what is drawn is what was logged; zoom, search, live, media."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import exptrack_agent as xt
from tests.browser.conftest import Window
from tests.browser.homes import NAN_STEP, GrowingRun
from tests.browser.studio import Studio
from tests.support.homes import HomeBuilder
from tests.support.processes import Daemon

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

sync = pytest.importorskip("playwright.sync_api")
expect = sync.expect
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def card(page: Page, name: str) -> Locator:
    return page.locator(f'section.card[aria-label="{name}"]')


def drawn(page: Page, name: str) -> Locator:
    """The card, once its chart is there."""
    found = card(page, name)
    expect(found.locator("canvas").first).to_be_visible()
    expect(found.locator(".words")).not_to_have_text("…")
    return found


def drag(page: Page, over: Locator, start: float, end: float) -> None:
    box = over.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, y, steps=4)
    page.mouse.up()


def charts_asked(window: Window) -> int:
    return sum(url.endswith("/api/v1/charts") for url in window.requests)


def test_a_chart_shows_what_was_logged_and_what_the_api_tells(
    studio: Studio, window: Window
) -> None:
    page = window.open(studio, "/charts?runs=run00&q=^lr|eval")
    lr = drawn(page, "lr")
    lr.get_by_role("button", name="as a table").click()
    cells = lr.locator("tbody tr td").all_inner_texts()
    assert [round(float(text), 6) for text in cells[:2]] == pytest.approx([1e-3, 0], abs=3e-6)
    assert [float(text) for text in cells[2:4]] == pytest.approx([5e-7, 1e-3], rel=1e-3)
    question = {"runs": ["run00"], "names": ["eval/loss"], "x": "step", "cells": 500}
    told = page.request.post(
        f"{studio.address}/api/v1/charts",
        data=json.dumps(question),
        headers={"Accept": "application/json", "Origin": studio.address},
    ).json()
    means = [value for value in told["values"][0][0][0] if isinstance(value, float)]
    words = drawn(page, "eval/loss").locator(".words")
    expect(words).to_have_text(f"Last ≈ {means[-1]:.5g}.")


def test_nan_stands_out_with_its_very_step_until_its_run_is_taken_out(
    studio: Studio, window: Window, picture: Callable[..., None]
) -> None:
    page = window.open(studio, "/charts?runs=run00,run01,run03,run04&q=loss|accuracy")
    loss = drawn(page, "train/loss")
    expect(loss.locator(".badge.bad")).to_have_text(f"NaN/∞ at step {NAN_STEP}")
    expect(loss.locator(".words")).to_contain_text("3 NaN or infinite")
    assert red_pixels(loss) > 20
    picture(page, "studio-charts")
    page.get_by_label("Draw resnet-lr0-seed1").uncheck()
    expect(loss.locator(".badge.bad")).to_be_hidden()
    page.get_by_label("Take resnet-lr0-seed1 out").click()
    expect(page.locator(".runlist li")).to_have_count(3)


def red_pixels(chart: Locator) -> int:
    """How many pixels of the canvas have the colour of the marks."""
    count: int = chart.locator(".uplot canvas").first.evaluate(
        """canvas => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let red = 0;
          for (let at = 0; at < data.length; at += 4)
            red += data[at] > 190 && data[at + 1] < 60 && data[at + 2] < 80 && data[at + 3] > 60;
          return red;
        }"""
    )
    return count


def test_a_drag_zooms_all_charts_with_one_request_and_a_double_click_goes_back(
    studio: Studio, window: Window
) -> None:
    page = window.open(studio, "/charts?runs=run00,run01&q=train")
    over = drawn(page, "train/loss").locator(".u-over")
    drawn(page, "train/accuracy")
    before = charts_asked(window)
    with page.expect_response("**/api/v1/charts"):
        drag(page, over, 0.25, 0.5)
    expect(page).to_have_url(re.compile(r"lo=\d+&hi=\d+"))
    with page.expect_response("**/api/v1/charts"):
        page.get_by_role("button", name="step", exact=False).filter(has_text="×").click()
    expect(page).not_to_have_url(re.compile("lo="))
    assert charts_asked(window) == before + 2  # one for all charts, each time
    drag(page, over, 0.5, 0.75)
    expect(page).to_have_url(re.compile(r"lo=\d+&hi=\d+"))
    over.dblclick()
    expect(page).not_to_have_url(re.compile("lo="))


def test_scales_smoothing_and_the_pointer_ask_the_server_nothing(
    studio: Studio, window: Window
) -> None:
    page = window.open(studio, "/charts?runs=run00,run03,run04&q=train/loss")
    loss = drawn(page, "train/loss")
    before = charts_asked(window)
    expect(loss.locator(".words")).to_contain_text("off the scale")
    page.get_by_role("button", name="Fit all").click()
    expect(loss.locator(".words")).not_to_contain_text("off the scale")
    page.get_by_label("Smoothing").fill("0.9")
    page.get_by_role("button", name="Log y").click()
    expect(page).to_have_url(re.compile("smooth=0.9&log=1&all=1"))
    the_pointer_reads_out_values_and_marks_the_run(page, loss)
    assert charts_asked(window) == before


def the_pointer_reads_out_values_and_marks_the_run(page: Page, chart: Locator) -> None:
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    tip = chart.locator(".tip")
    expect(tip.locator("li")).to_have_count(3)
    values = [float(text) for text in tip.locator("b").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    expect(page.locator(".runlist li.pointed")).to_have_count(1)
    page.mouse.move(5, 300)
    expect(tip).to_be_hidden()


def test_the_x_axis_may_be_time_or_epoch(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/charts?runs=run00,run01&q=train/loss")
    words = drawn(page, "train/loss").locator(".words")
    # a run's start is the opening of its first stream, a moment before its first row
    for x, shown in (("relative", "33"), ("time", "2023-"), ("epoch", "epoch 7")):
        page.get_by_label("x axis").select_option(x)
        expect(words).to_contain_text(re.compile(f"first at .*{shown}"))
        expect(page).to_have_url(re.compile(f"x={x}"))


def test_a_layout_is_kept_by_name_and_by_address(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/charts?runs=run00&q=lr&log=1")
    drawn(page, "lr")
    page.get_by_role("button", name="Layouts").click()
    page.get_by_label("Name of the layout").fill("mine")
    page.get_by_role("button", name="Keep").click()
    page.goto(f"{studio.address}/#/charts?runs=run01")
    drawn(page, "epoch")
    page.get_by_role("button", name="Layouts").click()
    page.get_by_role("link", name="mine").click()
    expect(page.get_by_role("button", name="Log y")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("section.card")).to_have_count(1)


def test_of_three_thousand_metrics_only_those_in_view_are_drawn(
    crowded: Studio, window: Window
) -> None:
    page = window.open(crowded, "/charts?runs=wide1")
    expect(page.locator(".count")).to_contain_text("3,000 metrics")
    drawn(page, "group0/metric0")
    assert page.locator("section.card").count() <= 24
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    drawn(page, "group29/metric2999")
    assert page.locator("section.card").count() <= 24
    page.get_by_label("Search metrics").fill("metric(7|8)$")
    expect(page.locator(".count")).to_contain_text("2 metrics of 3000")
    drawn(page, "group7/metric7")


def test_a_running_run_grows_and_only_it_is_asked_for(
    home: Path, daemon: Daemon, own: Studio, window: Window
) -> None:
    HomeBuilder(home).finished_run("run00", rows=3, name="short")
    own.begin()
    with xt.init("vision", name="growing", run_id="live1", home=home, autostart=False) as run:
        for step in range(300):
            run.log({"loss": 0.5, "live/value": float(step)}, step=step)
        run.flush(timeout_s=20)
        page = window.open(own, "/charts?runs=live1,run00&q=live/value|loss")
        words = drawn(page, "live/value").locator(".words")
        expect(page.locator(".runlist li", has_text="growing")).to_contain_text("running")
        expect(words).to_contain_text("29")
        with page.expect_request(lambda request: request.url.endswith("/charts")) as asked:
            for step in range(300, 400):
                run.log({"loss": 0.5, "live/value": float(step)}, step=step)
        assert set(json.loads(asked.value.post_data or "")["runs"]) <= {"live1", "run00"}
        expect(words).to_contain_text("39")
    expect(page.locator(".runlist li", has_text="growing")).not_to_contain_text("running")


def look_until(page: Page, words: Locator, shown: str) -> None:
    """Come back to the page again and again: a run that nobody holds is asked for every ten seconds only."""
    for _ in range(40):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_timeout(250)
        if shown in words.inner_text():
            return
    raise AssertionError(f"{words.inner_text()!r} does not hold {shown!r}")


def test_a_grid_that_has_grown_is_fetched_anew_and_so_are_media(
    home: Path, own: Studio, window: Window
) -> None:
    run = GrowingRun(home, "growing1")
    run.grow(300)
    run.say("at first")
    own.begin()
    page = window.open(own, "/charts?runs=growing1")
    words = drawn(page, "live/value").locator(".words")
    expect(words).to_have_text("Last 299.")
    for rows, shown in ((100, "Last 399."), (2_000, "≈ 239")):
        run.grow(rows)
        look_until(page, words, shown)
    said = page.locator(".mediacard.text")
    expect(said).to_contain_text("at first")
    run.say("later")
    look_until(page, said, "later")
    expect(said.get_by_role("slider")).to_have_value("1")
    run.end()


def test_media_stand_below_with_their_steps(
    studio: Studio, window: Window, picture: Callable[..., None]
) -> None:
    page = window.open(studio, "/charts?runs=media1&q=nothing")
    image = page.locator(".mediacard.image")
    image.scroll_into_view_if_needed()
    expect(image.locator("img")).to_have_js_property("complete", True)
    expect(image).to_contain_text("at 30")
    image.get_by_role("slider").fill("0")
    expect(image).to_contain_text("at 0")
    expect(page.locator(".mediacard.text")).to_contain_text("Once upon a time, 30")
    expect(page.locator(".mediacard.table")).to_contain_text("dog")
    heat = page.locator(".mediacard.histogram canvas")
    heat.scroll_into_view_if_needed()
    expect(heat).to_have_attribute("aria-label", re.compile("4 histograms from step 0 to 30"))
    picture(page, "studio-media")
