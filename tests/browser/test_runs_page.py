"""The Runs page, as somebody uses it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import Window
from tests.browser.studio import Studio

sync = pytest.importorskip("playwright.sync_api")
expect = sync.expect
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
ROWS = "table.runs tbody tr[data-run]"


def test_all_runs_stand_in_the_list_with_what_happened_to_them(
    studio: Studio, window: Window, picture: Callable[..., None]
) -> None:
    page = window.open(studio, "/runs")
    expect(page.locator(ROWS)).to_have_count(13)
    expect(page.locator("tr[data-run=run05]")).to_contain_text("7 rows lost")
    expect(page.locator("tr[data-run=run06]")).to_contain_text("failed")
    expect(page.locator("tr[data-run=run07]")).to_contain_text("crashed")
    expect(page.get_by_text("The daemon is stopped")).to_be_visible()
    picture(page, "studio-runs")


def test_a_filter_finds_and_a_wrong_one_says_where(studio: Studio, window: Window) -> None:
    window.allowed.add("400 (Bad Request)")
    page = window.open(studio, "/runs")
    expect(page.locator(ROWS)).to_have_count(13)
    page.get_by_label("Filter runs").fill("config.lr=0.1 and tag:baseline")
    expect(page.locator(ROWS)).to_have_count(3)
    page.get_by_label("Filter runs").fill("lr<<")
    expect(page.locator("#filter-words")).to_contain_text("the filter can't be read")
    page.get_by_label("Filter runs").fill("")
    page.get_by_label("Search runs").fill("lr2-seed0")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator("#filter-words")).to_be_empty()
    page.get_by_label("Search runs").fill("nobody is called so")
    expect(page.get_by_text("No run is like this")).to_be_visible()


def test_columns_sort_and_groups_are_kept_in_the_address(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/runs?columns=train/loss")
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("searchbox", name="Search the list").fill("optimizer")
    page.get_by_label("config.optimizer.beta").check()
    expect(page.locator("tr[data-run=run00]")).to_contain_text("0.9")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Name").click()
    expect(page.locator(ROWS).first).to_contain_text("resnet-lr0-seed0")
    page.get_by_label("Group by").select_option("config.seed")
    expect(page.locator(".group-name")).to_have_text(["0", "1", "2", "–"])
    page.reload()
    expect(page.locator(".group-name")).to_have_count(4)
    expect(page.locator("th", has_text="config.optimizer.beta")).to_be_visible()


def test_ticked_runs_go_to_charts(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/runs")
    page.get_by_label("Choose resnet-lr0-seed1").check()
    page.get_by_label("Choose resnet-lr1-seed1").check()
    page.get_by_role("button", name="Charts", exact=True).click()
    expect(page).to_have_url(re.compile("#/charts\\?runs=run01,run04"))
    expect(page.locator(".runlist li")).to_have_count(2)


def test_tags_and_notes_are_edited_where_they_stand(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/runs?q=lr3-seed2")
    page.get_by_label("Edit tags of resnet-lr3-seed2").click()
    page.keyboard.press("End")
    page.keyboard.type(", best")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_text(["sweep", "best"])
    page.get_by_label("Edit notes of resnet-lr3-seed2").click()
    page.keyboard.type("left alone")
    page.keyboard.press("Escape")
    page.get_by_label("Edit notes of resnet-lr3-seed2").click()
    page.keyboard.type("look again")
    page.keyboard.press("Enter")
    page.reload()
    row = page.locator("tr[data-run=run11]")
    expect(row).to_contain_text("best")
    expect(row).to_contain_text("look again")
    expect(row).not_to_contain_text("left alone")


def test_the_list_goes_by_keyboard(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/runs")
    expect(page.locator(ROWS)).to_have_count(13)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator(ROWS).first.get_by_role("checkbox").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator(ROWS).nth(1).get_by_role("checkbox")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("h1.name")).to_contain_text("resnet-lr3-seed2")


def test_an_empty_home_says_what_to_type(
    empty: Studio, window: Window, picture: Callable[..., None]
) -> None:
    page = window.open(empty, "/runs")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    expect(page.locator("pre")).to_contain_text("import exptrack_agent as xt")
    picture(page, "studio-empty")
    page.goto(f"{empty.address}/#/charts")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()


def test_of_a_thousand_runs_only_those_in_view_are_in_the_page(
    crowded: Studio, window: Window
) -> None:
    page = window.open(crowded, "/runs?sort=name")
    expect(page.locator(".count")).to_have_text("1,201 runs")
    expect(page.locator(ROWS).first).to_be_visible()
    assert page.locator(ROWS).count() < 60
    page.locator(".frame").evaluate("frame => frame.scrollTo(0, frame.scrollHeight)")
    expect(page.locator(ROWS).last).to_have_attribute("aria-rowindex", "1202")
    assert page.locator(ROWS).count() < 60
    asked = [url for url in window.requests if "/runs?" in url and "offset" in url]
    assert len(asked) <= 8
