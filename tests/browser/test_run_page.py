"""The Run page and the comparison: what happened, in words, and what differs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import Window
from tests.browser.studio import Studio

sync = pytest.importorskip("playwright.sync_api")
expect = sync.expect
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def test_lost_rows_are_told_with_number_and_reason(
    studio: Studio, window: Window, picture: Callable[..., None]
) -> None:
    page = window.open(studio, "/run/run05")
    expect(page.get_by_text("7 rows could not be kept")).to_be_visible()
    ledger = page.get_by_role("region", name="Loss ledger")
    expect(ledger.locator("tbody tr")).to_have_count(1)
    expect(ledger).to_contain_text("ring full")
    expect(page.get_by_role("region", name="Config").first).to_contain_text("optimizer.beta")
    expect(page.locator(".aside img.there")).to_be_visible()
    picture(page, "studio-run")


def test_a_crash_and_a_failure_say_so(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/run/run07")
    expect(page.locator(".notice.bad").filter(has_text="This run crashed")).to_be_visible()
    page.goto(f"{studio.address}/#/run/run06")
    expect(page.get_by_text("This run failed (exit code 1)")).to_be_visible()
    expect(page.get_by_text("Empty: every row that was logged is here.")).to_be_visible()


def test_alerts_notes_and_artifacts_are_shown(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/run/media1")
    expect(page.get_by_text("Loss is high")).to_be_visible()
    expect(page.get_by_text("changed the schedule")).to_be_visible()
    expect(page.get_by_role("region", name="Artifacts").last).to_contain_text("/models/a.pt")
    expect(page.get_by_role("region", name="Artifacts").last).to_contain_text("4 KiB")


def test_a_run_that_is_not_there_says_so(studio: Studio, window: Window) -> None:
    window.allowed.add("404 (Not Found)")
    page = window.open(studio, "/run/nobody")
    expect(page.get_by_role("heading", name="There is no such run")).to_be_visible()
    page.goto(f"{studio.address}/#/nowhere")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()


def test_name_and_notes_are_edited(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/run/run10")
    page.get_by_label("Edit notes").click()
    page.get_by_role("textbox", name="notes").fill("first line\nsecond line")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".notes .text")).to_have_text("first line\nsecond line")
    page.reload()
    expect(page.locator(".notes .text")).to_have_text("first line\nsecond line")


def test_the_comparison_shows_differences_and_seeds(
    studio: Studio, window: Window, picture: Callable[..., None]
) -> None:
    page = window.open(studio, "/compare?runs=run00,run01,run02,run04")
    config = page.get_by_role("region", name="Config differences").last
    expect(config.locator("tbody th")).to_have_text(["lr", "seed"])
    expect(page.get_by_text("2 other settings the same.")).to_be_visible()
    seeds = page.get_by_role("region", name="Over seeds").last
    expect(seeds.locator("thead")).to_contain_text("3 seeds")
    expect(seeds.locator("tbody td").first).to_contain_text("±")
    expect(seeds.locator("tbody td").nth(1)).to_contain_text("(n = 1)")
    values = page.get_by_role("region", name="Final and best values").last
    expect(values.locator("td.winner")).to_have_count(3)
    picture(page, "studio-compare")
    page.get_by_label("lr: neither less nor more is better").click()
    expect(page.get_by_label("lr: less is better")).to_be_focused()
    expect(page).to_have_url(re.compile("better=-lr"))
    expect(values.locator("tr", has_text="lr").locator(".best")).to_have_count(4)
    page.get_by_role("heading", name="Curves").scroll_into_view_if_needed()
    expect(page.locator("section.card canvas").first).to_be_visible()


def test_one_run_is_compared_with_those_that_are_chosen(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/run/run00")
    page.get_by_role("link", name="Compare with").click()
    expect(page.get_by_role("heading", name="Compare resnet-lr0-seed0 with")).to_be_visible()
    expect(page.get_by_role("button", name="Compare these")).to_be_disabled()
    page.get_by_label("resnet-lr1-seed0").check()
    page.get_by_role("button", name="Compare these").click()
    expect(page.get_by_role("region", name="Config differences").last).to_be_visible()
