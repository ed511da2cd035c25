"""What holds for every page: no attack runs, no barrier stands, a lost server comes back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from exptrack_daemon.web.app import STATIC
from tests.browser.conftest import Window
from tests.browser.homes import ATTACKS
from tests.browser.studio import Studio
from tests.support.homes import HomeBuilder

sync = pytest.importorskip("playwright.sync_api")
expect = sync.expect
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PAGES = {
    "runs": "/runs",
    "charts": "/charts?runs=run00,run01,run04",
    "compare": "/compare?runs=run00,run01,run04",
    "run": "/run/run05",
    "media": "/run/media1",
}


def settle(page: sync.Page) -> None:
    """Until nothing is being fetched."""
    page.wait_for_load_state("networkidle")
    expect(page.locator("main h1").first).to_be_visible()


def test_no_attack_in_any_field_runs(hostile: Studio, window: Window) -> None:
    window.allowed.update(("422", "404"))
    ids = ",".join(f"hostile{at}" for at in range(len(ATTACKS)))
    page = window.open(hostile, "/runs")
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    for route in (
        "/runs",
        f"/charts?runs={ids}",
        f"/compare?runs={ids}",
        "/run/hostile0",
        "/run/hostile2",
    ):
        page.goto(f"{hostile.address}/#{route}")
        settle(page)
        assert page.evaluate("window.hacked") is None, route
        assert (
            page.locator("main script, main iframe, main svg[onload], main img[onerror]").count()
            == 0
        )
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, route
        page.set_viewport_size({"width": 1280, "height": 800})
    expect(page.locator("h1.name")).to_contain_text('"><svg onload=window.hacked=1>')


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_barrier_in_light_and_dark_and_fits_a_phone(
    studio: Studio, window: Window, picture: Callable[..., None], name: str
) -> None:
    page = window.open(studio, PAGES[name], bypass_csp=True)  # axe is put into the page
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        settle(page)
        picture(page, f"{name}-1280-{theme}")
        assert barriers(page) == {}, theme
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    picture(page, f"{name}-390-dark")


def barriers(page: sync.Page) -> dict[str, str]:
    """What axe finds: by rule, the first element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]})
    return {one["id"]: one["nodes"][0]["html"][:200] for one in found.response["violations"]}


def test_the_theme_is_chosen_and_kept(studio: Studio, window: Window) -> None:
    page = window.open(studio, "/runs")
    page.get_by_role("button", name="Theme: system").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    assert dark == "rgb(17, 19, 24)"


def test_a_server_that_goes_is_told_and_comes_back_by_itself(
    home: Path, own: Studio, window: Window
) -> None:
    window.allowed.update(("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"))
    own.begin()
    page = window.open(own, "/runs")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    port = own.port
    own.end()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_text("server does not answer")).to_be_visible()
    expect(page.locator(".daemon")).to_have_text("Server gone")
    own.begin(port)
    expect(page.get_by_text("server does not answer")).to_be_hidden()
    expect(page.locator(".daemon")).to_have_text(re.compile("Daemon"))
    own.end()
    HomeBuilder(home).finished_run("meanwhile", rows=1, name="meanwhile")
    own.begin(port)  # perhaps nobody noticed, and still the page is not one of the server before
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("tr[data-run=meanwhile]")).to_be_visible()


def test_a_browser_without_the_token_is_told_what_to_do(studio: Studio, window: Window) -> None:
    window.allowed.update(("403", "401"))
    page = window.open(studio, "/runs")
    expect(page.locator("table.runs")).to_be_visible()
    page.context.clear_cookies()
    page.goto(f"{studio.address}/#/charts")
    expect(page.get_by_text("This browser is not signed in").first).to_be_visible()


def test_what_is_vendored_is_what_the_list_says() -> None:
    listed = re.findall(r"`(vendor/\S+)` .*`([0-9a-f]{64})`", (STATIC / "VENDORED.md").read_text())
    assert len(listed) == 2
    for path, sha256 in listed:
        assert hashlib.sha256((STATIC / path).read_bytes()).hexdigest() == sha256, path


def test_no_page_holds_inline_script_or_style() -> None:
    text = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|style=|<script>|\son[a-z]+=|https?://", text)
    for path in STATIC.glob("js/**/*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", path.read_text()
        ), path
